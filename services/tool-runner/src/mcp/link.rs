//! The way to a server that is there, and how it comes to be.

use std::sync::Arc;
use std::time::Duration;

use domain::mcp::Launch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Offered, usable};
use crate::ports::{Connection, Connector, Key, McpError};

/// Calls that one server is given at the same time.
const CALLS: usize = 8;
/// How long a call waits for others to the same server to end.
pub(super) const BUSY: Duration = Duration::from_secs(30);

/// A server that may be called, by so many at the same time.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) connection: Arc<dyn Connection>,
    places: Arc<Semaphore>,
}

impl Link {
    pub(super) fn new(connection: Arc<dyn Connection>) -> Self {
        Self { connection, places: Arc::new(Semaphore::new(CALLS)) }
    }

    /// Whether somebody asks it now.
    pub(super) fn is_asked(&self) -> bool {
        self.places.available_permits() < CALLS
    }

    /// A place among those who ask it; the error says why there is none.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, String> {
        match tokio::time::timeout(BUSY, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err("not asked: the server is busy with other calls".to_owned()),
        }
    }
}

/// Starts a server, and reads what it offers. What is another than somebody agreed to is
/// not called until they agree again.
pub(super) async fn start(
    connector: &dyn Connector,
    key: &Key,
    launch: &Launch,
) -> Result<(Arc<dyn Connection>, Vec<Offered>), McpError> {
    let connection = connector.connect(key, launch).await?;
    match list(connection.as_ref()).await {
        Ok(tools) => Ok((connection, tools)),
        Err(err) => {
            connection.close().await;
            Err(err)
        }
    }
}

pub(super) async fn list(connection: &dyn Connection) -> Result<Vec<Offered>, McpError> {
    Ok(usable(connection.tools().await?))
}
