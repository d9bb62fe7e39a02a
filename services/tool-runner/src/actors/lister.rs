//! Lists the tools that a person may use.

use std::sync::Arc;

use async_trait::async_trait;
use bus::Serve;
use domain::message::Principal;
use domain::tool::ToolSpec;

use crate::registry::Registry;

pub(crate) struct Lister {
    pub(crate) registry: Arc<Registry>,
}

#[async_trait]
impl Serve<Principal, Vec<ToolSpec>> for Lister {
    async fn serve(&self, principal: Principal) -> Result<Vec<ToolSpec>, String> {
        Ok(self.registry.specs(&principal.user).await)
    }
}
