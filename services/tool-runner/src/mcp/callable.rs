//! What servers offer: to models, which may call what was agreed to, and to people, who look at it.

use std::collections::HashSet;
use std::sync::Arc;

use domain::mcp::{McpAnswer, McpTool as ToolOf};
use domain::tool::ToolSpec;
use tracing::warn;

use super::tool::{BEFORE_CALL, McpTool};
use super::{Offered, Plugins, shown};
use crate::ports::Installed;
use crate::registry::Tool;

/// Tools of servers that a turn chooses from and searches among, at most, and all that they say of
/// themselves, in bytes: every turn's journal holds them.
const OFFERED: usize = 512;
const OFFERED_BYTES: usize = 512 * 1024;
impl Plugins {
    /// The tools that a person may call: approved ones of servers that are theirs, or
    /// everybody's, in the order of their names. One of theirs hides everybody's of the
    /// same name.
    pub(crate) async fn tools(&self, user: &str) -> Result<Vec<Arc<dyn Tool>>, String> {
        let timeout_ms = u64::try_from((self.limit + BEFORE_CALL).as_millis()).unwrap_or(u64::MAX);
        let (mut servers, mut names) = (HashSet::new(), HashSet::new());
        let (mut tools, mut bytes) = (Vec::<Arc<dyn Tool>>::new(), 0);
        for installed in self.of(user).await? {
            if !servers.insert(installed.key.name.clone()) || !installed.is_enabled {
                continue;
            }
            for offered in installed.tools.iter().filter(|offered| installed.is_approved(offered)) {
                let spec = offered.spec(&installed.key.name, timeout_ms);
                bytes += spec.description.len() + spec.schema.len();
                if tools.len() == OFFERED || bytes > OFFERED_BYTES {
                    warn!(server = installed.key.name, "more tools than one model is offered; some are left out");
                    break;
                }
                if names.insert(spec.name.clone()) {
                    tools.push(Arc::new(self.tool(spec, &installed, offered)));
                }
            }
        }
        tools.sort_by(|one, other| one.spec().name.cmp(&other.spec().name));
        Ok(tools)
    }

    fn tool(&self, spec: ToolSpec, installed: &Installed, offered: &Offered) -> McpTool {
        McpTool {
            spec,
            installed: Installed { tools: Vec::new(), ..installed.clone() },
            name: offered.name.clone(),
            servers: self.servers.clone(),
            installations: Arc::clone(&self.installations),
            calls: Arc::clone(&self.calls),
            limit: self.limit,
            limits: self.limits,
            rate_limits: Arc::clone(&self.rate_limits),
            bus: self.bus.clone(),
        }
    }

    /// The tools of all servers of a person, as far as one answer holds them.
    pub(super) async fn with_all_tools(&self, user: &str) -> Result<McpAnswer, String> {
        let (mut tools, mut names, mut bytes) = (Vec::new(), HashSet::new(), 0);
        let known = self.of(user).await?.into_iter().filter(|known| names.insert(known.key.name.clone()));
        for installed in known.collect::<Vec<_>>() {
            for tool in self.tools_of(user, &installed).await? {
                bytes += tool.name.len() + tool.description.len() + tool.schema.len();
                if bytes > OFFERED_BYTES {
                    return Ok(McpAnswer { tools, ..McpAnswer::default() });
                }
                tools.push(tool);
            }
        }
        Ok(McpAnswer { tools, ..McpAnswer::default() })
    }

    /// What a server offers to a person; to who may agree to it, what it offers to anybody.
    pub(super) async fn tools_of(&self, user: &str, installed: &Installed) -> Result<Vec<ToolOf>, String> {
        let is_everybodys = installed.shared_key().owner.is_empty();
        match is_everybodys && self.is_admin(user) {
            true => {
                let offered = self.installations.offered(&installed.key.name).await.map_err(|err| err.to_string())?;
                Ok(shown::tools(&Installed { tools: offered, ..installed.clone() }))
            }
            false => Ok(shown::tools(installed)),
        }
    }
}
