//! Lists the tools that a person may use.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::Serve;
use domain::policy::means;
use domain::tool::{ListTools, ToolSpec};

use crate::ports::Children;
use crate::registry::Registry;

/// How long the database may take.
const LOOKUP: Duration = Duration::from_secs(2);

pub(crate) struct Lister {
    pub(crate) registry: Arc<Registry>,
    pub(crate) children: Arc<dyn Children>,
}

#[async_trait]
impl Serve<ListTools, Vec<ToolSpec>> for Lister {
    async fn serve(&self, asked: ListTools) -> Result<Vec<ToolSpec>, String> {
        let mut specs = self.registry.specs(&asked.principal.user).await;
        if let Some(conversation) = &asked.conversation {
            // A sub-agent may have been given some alone; whether it was must be known.
            let given = tokio::time::timeout(LOOKUP, self.children.tools(conversation)).await;
            let given = given.map_err(|_| "the database of tools is slow".to_owned())?;
            let given = given.map_err(|err| err.to_string())?;
            specs.retain(|tool| given.is_empty() || given.iter().any(|pattern| means(pattern, tool)));
        }
        Ok(specs)
    }
}
