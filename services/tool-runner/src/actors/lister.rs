//! Lists the tools that a person may use.

use std::sync::Arc;

use async_trait::async_trait;
use bus::Serve;
use domain::message::Principal;
use domain::tool::{SandboxReport, ToolSpec};

use crate::registry::Registry;

pub(crate) struct Lister {
    pub(crate) registry: Arc<Registry>,
    /// Where code runs, or why none does.
    pub(crate) sandbox: SandboxReport,
}

#[async_trait]
impl Serve<Principal, SandboxReport> for Lister {
    async fn serve(&self, _: Principal) -> Result<SandboxReport, String> {
        Ok(self.sandbox.clone())
    }
}

#[async_trait]
impl Serve<Principal, Vec<ToolSpec>> for Lister {
    async fn serve(&self, principal: Principal) -> Result<Vec<ToolSpec>, String> {
        Ok(self.registry.specs(&principal.user).await)
    }
}
