//! Installing servers: what is there to be installed, and whether it starts.

use std::time::Duration;

use domain::mcp::{Launch, McpAnswer, SERVERS};
use service_kit::clock::now_ms;
use tracing::info;

use super::Plugins;
use super::launch::{check_launch, check_name};
use super::link::start;
use super::offer::agreeable;
use super::package::github_repository;
use super::source::{Found, plan, repository};
use super::watcher::MARK;
use crate::ports::{Installed, Key, McpError};
use crate::web::GitHub;

/// How long an install may take: packages are fetched.
pub(crate) const INSTALL: Duration = Duration::from_secs(300);
/// Longest package.json or pyproject.toml that is looked into, in bytes.
const MANIFEST_BYTES: usize = 1024 * 1024;

/// What an install may take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    /// What a file declared before.
    Declared,
}

impl Plugins {
    /// Starts it once, reads what it offers, and keeps it only if that went well. Whoever
    /// agreed to run it is shown what it offers, and may disable it; what reads like orders to
    /// a model waits until somebody has read it.
    pub(super) async fn install(
        &self,
        user: &str,
        key: Key,
        source: String,
        launch: Launch,
        over: Over,
    ) -> Result<McpAnswer, String> {
        check_name(&key.name)?;
        check_launch(&launch)?;
        let known = self.of(user).await?;
        // Somebody's own may have the name of everybody's, and hides it from them.
        let before = known.iter().find(|known| known.key == key);
        if before.is_none() && known.len() >= SERVERS {
            return Err(format!("{SERVERS} servers are installed already, and that is the limit"));
        }
        let is_there = format!("there is a server `{}` already; uninstall it first, or give another name", key.name);
        if before.is_some_and(|before| over == Over::Nothing || !before.source.starts_with(MARK)) {
            return Err(is_there);
        }
        let started = tokio::time::timeout(INSTALL, start(self.connector.as_ref(), &key, &launch)).await;
        let (tools, last_error) = match started {
            Ok(Ok((connection, tools))) => {
                connection.close().await;
                (tools, String::new())
            }
            // What it offers is read, and agreed to, when somebody has authorised it.
            Ok(Err(why @ McpError::Unauthorized)) if before.is_none_or(|before| before.tools.is_empty()) => {
                (Vec::new(), why.to_string())
            }
            Ok(Err(why)) => return Err(format!("not installed: {why}")),
            Err(_) => return Err(format!("not installed: it did not start within {INSTALL:?}")),
        };
        let installed = Installed {
            key,
            source,
            launch,
            is_enabled: true,
            is_reloaded: false,
            may_sample: false,
            approved: agreeable(&tools),
            tools,
            last_error,
            installed_by: user.to_owned(),
            installed_at_ms: now_ms(),
            restarts: 0,
            is_personal: false,
        };
        if let Some(before) = before {
            let name = installed.key.name.clone();
            self.replace(before, installed).await?;
            return self.one(user, &name).await;
        }
        if !self.installations.add(&installed).await.map_err(|err| err.to_string())? {
            return Err(is_there);
        }
        info!(server = installed.key.name, by = user, "installed an MCP server");
        self.with_tools(user, installed).await
    }

    /// Puts what a file declares now in the place of what it declared before. Who was authorised
    /// there stays so, and what was agreed to stays agreed to, as long as it is the same address.
    async fn replace(&self, before: &Installed, mut now: Installed) -> Result<(), String> {
        let address = |launch: &Launch| match launch {
            Launch::Http { url, .. } => Some(url.clone()),
            Launch::Stdio { .. } => None,
        };
        let is_there_still = address(&before.launch).is_some_and(|url| address(&now.launch) == Some(url));
        if is_there_still {
            now.approved.extend(before.approved.iter().cloned());
        }
        // What was given to another address goes before that is taken: whatever ends this in the middle,
        // it is seen again that something else is declared.
        let of_now = self.installations.find(&now.key).await.map_err(|err| err.to_string())?;
        if of_now.is_none_or(|of_now| of_now.launch != before.launch) {
            // Another replica came first, and somebody may have authorised it since.
            return Ok(());
        }
        if !is_there_still {
            self.authorities.forget(&now.key).await?;
            self.installations.remove_parts(&now.key.name).await.map_err(|err| err.to_string())?;
        }
        // Another replica may have come first.
        if self.installations.replace(&now, &before.launch).await.map_err(|err| err.to_string())? {
            self.servers.end(&now.key);
        }
        Ok(())
    }
}

/// What is there under a path.
fn look(path: &str) -> Found {
    let path = std::path::Path::new(path);
    let read = |name: &str| {
        let file = path.join(name);
        let is_small =
            std::fs::metadata(&file).is_ok_and(|found| found.is_file() && found.len() <= MANIFEST_BYTES as u64);
        is_small.then(|| std::fs::read_to_string(&file).ok()).flatten()
    };
    if path.is_file() {
        return Found::File;
    }
    if !path.is_dir() {
        return Found::Nothing;
    }
    if let Some(manifest) = read("package.json").and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
    {
        let bin = match &manifest["bin"] {
            serde_json::Value::String(program) => Some(program.clone()),
            serde_json::Value::Object(programs) => {
                programs.values().find_map(|value| value.as_str().map(str::to_owned))
            }
            _ => manifest["main"].as_str().map(str::to_owned),
        };
        if let Some(program) = bin {
            return Found::NodePackage { program: program.trim_start_matches("./").to_owned() };
        }
    }
    match read("pyproject.toml").and_then(|text| python_program(&text)) {
        Some(name) => Found::PythonProject { name },
        None => Found::Folder,
    }
}

/// The program of a Python project: of those that it declares the one of its own name, or the
/// first, or else its name
/// (<https://packaging.python.org/en/latest/specifications/pyproject-toml/#entry-points>).
fn python_program(manifest: &str) -> Option<String> {
    let manifest: toml::Table = manifest.parse().ok()?;
    // Poetry had a table of its own before there was a common one.
    let poetry = || manifest.get("tool").and_then(|tools| tools.get("poetry"));
    let project = manifest.get("project").filter(|project| project.get("name").is_some()).or_else(poetry)?;
    let name = project.get("name")?.as_str()?;
    let programs = project.get("scripts").and_then(toml::Value::as_table);
    let first = programs.filter(|programs| !programs.contains_key(name)).and_then(|programs| programs.keys().next());
    Some(first.map_or(name, String::as_str).to_owned())
}

/// What a repository at GitHub is made of. One that cannot be looked into is taken for a package of
/// Node.js, and its install says what is wrong.
async fn look_at_github(github: &GitHub, repository: &str) -> Found {
    let read = |file| github.file(repository, file, MANIFEST_BYTES);
    match tokio::join!(read("package.json"), read("pyproject.toml")) {
        (Err(_), Ok(manifest)) => {
            python_program(&manifest).map_or(Found::Nothing, |name| Found::PythonProject { name })
        }
        _ => Found::Nothing,
    }
}

impl Plugins {
    pub(super) async fn plan(&self, source: &str, name: &str) -> Result<(String, Launch), String> {
        // What is no repository's name is asked for nowhere: the plan refuses it.
        let in_repository = match repository(source.trim()).filter(|repository| github_repository(repository).is_ok()) {
            Some(repository) => look_at_github(&self.github, repository).await,
            None => Found::Nothing,
        };
        plan(source, name, |place| if place.starts_with("github:") { in_repository.clone() } else { look(place) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_project_says_which_program_it_has() {
        let of = |scripts: &str| python_program(&format!("[project]\nname = \"weather\"\n{scripts}"));
        assert_eq!(of("").as_deref(), Some("weather"));
        assert_eq!(of("[project.scripts]\nweather = \"a:b\"\nother = \"a:c\"").as_deref(), Some("weather"));
        assert_eq!(of("[project.scripts]\nserve-weather = \"a:b\"").as_deref(), Some("serve-weather"));
        let poetry = "[tool.poetry]\nname = \"x\"\n[tool.poetry.scripts]\nserve-x = \"x:main\"";
        assert_eq!(python_program(poetry).as_deref(), Some("serve-x"));
        for none in ["", "[project]", "[tool.poetry]", "{"] {
            assert_eq!(python_program(none), None, "{none}");
        }
    }
}
