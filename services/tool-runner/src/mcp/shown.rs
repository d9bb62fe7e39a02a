//! What people are shown of servers: no value that may be a secret, and nothing of how
//! somebody else's server is run. Pure.

use std::collections::BTreeMap;

use domain::mcp::{Launch, McpServer, McpTool, Status};
use domain::untrusted::visible;

use crate::ports::{Installed, McpError};

/// What a person may see of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sees {
    pub(super) how_it_is_run: bool,
    pub(super) why_it_failed: bool,
}

/// A server as a person sees it.
pub(super) fn server(installed: Installed, status: Status, last_error: String, sees: Sees) -> McpServer {
    let status = match status {
        _ if !installed.is_enabled => Status::Disabled,
        Status::Stopped | Status::Failed if awaits(&installed) => Status::PendingAuth,
        status => status,
    };
    McpServer {
        name: installed.key.name,
        owner: installed.key.owner,
        source: if sees.how_it_is_run { url(&installed.source) } else { kind(&installed.source) },
        launch: if sees.how_it_is_run { masked(installed.launch) } else { hidden(installed.launch) },
        status,
        tools: u32::try_from(installed.tools.len()).unwrap_or(u32::MAX),
        last_error: if sees.why_it_failed { last_error } else { String::new() },
        installed_by: installed.installed_by,
        is_reloaded: installed.is_reloaded,
        may_sample: installed.may_sample,
        installed_at_ms: installed.installed_at_ms,
    }
}

/// Whether somebody has to authorise it before anything of it is known.
fn awaits(installed: &Installed) -> bool {
    let is_far = matches!(installed.launch, Launch::Http { .. });
    is_far && installed.tools.is_empty() && installed.last_error == McpError::Unauthorized.to_string()
}

/// All that a model would read of the tools, for whoever is to agree to it.
pub(super) fn tools(installed: &Installed) -> Vec<McpTool> {
    let shown = |offered: &super::Offered| McpTool {
        name: offered.full_name(&installed.key.name),
        description: visible(&offered.description),
        schema: visible(&offered.schema),
        is_approved: installed.is_approved(offered),
        suspicion: offered.suspicion().as_str().to_owned(),
        hash: offered.hash(),
    };
    installed.tools.iter().map(shown).collect()
}

/// How a server is reached, without values that may be secrets.
fn masked(launch: Launch) -> Launch {
    let is_name = |value: &str| {
        value
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .is_some_and(|name| !name.contains(['$', '{', '}']))
    };
    let hide = |values: BTreeMap<String, String>| {
        let hidden = |value: String| if is_name(&value) { value } else { "***".to_owned() };
        values.into_iter().map(|(name, value)| (name, hidden(value))).collect()
    };
    match launch {
        Launch::Stdio { command, env } => {
            Launch::Stdio { command: command.iter().map(|part| url(part)).collect(), env: hide(env) }
        }
        Launch::Http { url: address, headers } => Launch::Http { url: url(&address), headers: hide(headers) },
    }
}

/// That there is a way to reach it, and no more.
fn hidden(launch: Launch) -> Launch {
    match launch {
        Launch::Stdio { .. } => Launch::Stdio { command: vec!["…".to_owned()], env: BTreeMap::new() },
        Launch::Http { .. } => Launch::Http { url: "…".to_owned(), headers: BTreeMap::new() },
    }
}

/// What kind of source a server was installed from. Where that is on somebody's disk, or under which
/// address, is theirs.
fn kind(source: &str) -> String {
    match source.split_once(':') {
        Some((kind @ ("npm" | "pypi" | "uvx" | "github" | "docker" | "smithery" | "smithery-hosted"), _)) => {
            kind.to_owned()
        }
        _ => "…".to_owned(),
    }
}

/// An address without what may be a key: who logs in, what is asked, what comes after `#`.
fn url(address: &str) -> String {
    let shown = bus::shown_url(address);
    match shown.split_once(['?', '#']) {
        Some((place, _)) if shown.contains("://") => format!("{place}?***"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let headers = [("A", "${TOKEN}"), ("B", "${TOKEN}secret"), ("C", "${A}-secret-${B}"), ("D", "secret")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let launch = Launch::Http { url: "https://mcp.example/x?key=secret#y".into(), headers: headers.into() };
        let shown = format!("{:?}", masked(launch));
        assert!(
            !shown.contains("secret") && shown.contains("${TOKEN}") && shown.contains("mcp.example/x?***"),
            "{shown}"
        );
        assert_eq!(url("npm:@acme/a?b"), "npm:@acme/a?b");
        let command = ["npx", "-y", "mcp-remote", "https://h.example/mcp?key=secret"].map(str::to_owned).to_vec();
        let shown = format!("{:?}", masked(Launch::Stdio { command, env: BTreeMap::new() }));
        assert!(!shown.contains("secret") && shown.contains("mcp-remote"), "{shown}");
        assert_eq!((kind("docker:acme/db").as_str(), kind("/srv/secret/x.py").as_str()), ("docker", "…"));
    }
}
