//! What a server is run as, and which of two is the newer.

use domain::mcp::Launch;

use crate::ports::Installed;

/// What a server is run as: an actor runs one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) launch: Launch,
    /// What was installed anew under the same name is another.
    installed_at_ms: i64,
    restarts: i64,
}

impl Version {
    pub(super) fn of(installed: &Installed) -> Self {
        let Installed { installed_at_ms, restarts, .. } = *installed;
        Self { launch: installed.launch.clone(), installed_at_ms, restarts }
    }

    pub(super) fn is_no_older_than(&self, other: &Self) -> bool {
        self.launch == other.launch && (self.installed_at_ms, self.restarts) >= (other.installed_at_ms, other.restarts)
    }
}
