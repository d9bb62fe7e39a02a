//! Memory, tool-runner and the stream of files, asked over the bus.

use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Endpoints};
use domain::ids::{ConversationId, FileId};
use domain::memory::{Comparison, RecallRequest, Recalled, Similarities};
use domain::tool::{ListTools, ToolSpec};

use crate::ports::{Away, Catalogue, Files, Recollection};

/// How long a comparison of tools may take; words do without.
const COMPARING: Duration = Duration::from_millis(500);
/// How long the list of tools may take.
const TOOLS: Duration = Duration::from_secs(5);
/// How long a file may take.
const FILE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) bus: Bus,
    pub(crate) files: bus::Files,
    /// How long memory may take.
    pub(crate) patience: Duration,
}

#[async_trait]
impl Recollection for Services {
    async fn recall(&self, request: &RecallRequest) -> Result<Recalled, Away> {
        self.bus.request(Endpoints::MemoryRecall, request, self.patience).await.map_err(|err| Away(err.to_string()))
    }

    async fn compare(&self, comparison: &Comparison) -> Result<Similarities, Away> {
        self.bus.request(Endpoints::MemoryCompare, comparison, COMPARING).await.map_err(|err| Away(err.to_string()))
    }
}

#[async_trait]
impl Catalogue for Services {
    async fn tools(&self, asked: &ListTools) -> Result<Vec<ToolSpec>, Away> {
        self.bus.request(Endpoints::ToolsList, asked, TOOLS).await.map_err(|err| Away(err.to_string()))
    }
}

#[async_trait]
impl Files for Services {
    async fn read(&self, conversation: &ConversationId, file: &FileId) -> Result<Option<Vec<u8>>, Away> {
        match tokio::time::timeout(FILE, self.files.read(conversation, file)).await {
            Ok(read) => read.map_err(|err| Away(err.to_string())),
            Err(_) => Err(Away(format!("a file was not read within {FILE:?}"))),
        }
    }
}
