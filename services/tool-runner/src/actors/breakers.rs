//! A breaker for each tool: one that does not answer again and again is left alone for a
//! while, so that no turn waits for it each time. Each process has its own; what fails for
//! one process only is not held against another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::tool::{ToolClass, ToolSpec};
use service_kit::breaker::Breaker;

/// Failures in a row after which a tool is left alone, as the breaker counts them.
pub(crate) const FAILURES: u32 = 3;
/// For how long.
pub(crate) const REST: Duration = Duration::from_secs(300);
/// Tools that are known to have been called, at most.
const TOOLS: usize = 4096;

#[derive(Default)]
pub(crate) struct Breakers(Mutex<HashMap<(String, String), Arc<Breaker>>>);

impl Breakers {
    /// The breaker of a tool; that of a server, or of somebody's own folder, is another one for
    /// each person: one's server of that name may be another one, and one's folder is.
    pub(crate) fn of(&self, user: &str, tool: &ToolSpec) -> Arc<Breaker> {
        let whose = if matches!(tool.class, ToolClass::Mcp | ToolClass::Sandbox) { user } else { "" };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TOOLS {
            known.retain(|_, breaker| breaker.is_failing());
        }
        if known.len() >= TOOLS {
            known.clear();
        }
        let key = (whose.to_owned(), tool.name.clone());
        Arc::clone(known.entry(key).or_insert_with(|| Arc::new(Breaker::resting_for(REST))))
    }
}
