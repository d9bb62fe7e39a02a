//! From what people name a server by to what would be run. Pure: nothing here runs
//! anything, and nothing of it ever goes through a shell.

use std::collections::BTreeMap;

use domain::mcp::Launch;

use super::launch::{check_name, check_url};
use super::package::{docker, github_repository, is_in_a_registry, npm, pypi, short};

/// Longest source, in bytes.
const SOURCE_BYTES: usize = 500;

/// What is there under a path, or in a repository at GitHub (`github:<owner>/<repository>`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    File,
    /// A folder with a package.json, whose program is this file in it.
    NodePackage {
        program: String,
    },
    /// A folder with a pyproject.toml that has this program.
    PythonProject {
        name: String,
    },
    Folder,
}

/// What would be run for a source, and under which name; the error is for the person.
pub(crate) fn plan(source: &str, name: &str, look: impl Fn(&str) -> Found) -> Result<(String, Launch), String> {
    let source = source.trim();
    if source.is_empty() || source.len() > SOURCE_BYTES {
        return Err(format!("name a source of at most {SOURCE_BYTES} bytes: {FORMS}"));
    }
    if source.chars().any(|c| c.is_control() || c.is_whitespace()) || source.starts_with('-') {
        return Err(format!("{source:?} is no source: it may hold no spaces and not begin with a dash; {FORMS}"));
    }
    let (launch, suggested) = launch(source, look)?;
    let name = if name.is_empty() { suggested } else { name.to_owned() };
    check_name(&name)?;
    Ok((name, launch))
}

const FORMS: &str = "npm:<package>, pypi:<package>, github:<owner>/<repository>, docker:<image>, smithery:<name>, \
                     smithery-hosted:<name>, a path, or a URL";

fn launch(source: &str, look: impl Fn(&str) -> Found) -> Result<(Launch, String), String> {
    let with = |program: &[&str], last: &str, name: &str| {
        let command = program.iter().map(|part| (*part).to_owned()).chain([last.to_owned()]).collect();
        (Launch::Stdio { command, env: BTreeMap::new() }, short(name))
    };
    const NPX: &[&str] = &["npx", "-y", "-q"];
    // The first process of a container hears no signal that it has not asked for: so it is another.
    const DOCKER: &[&str] = &["docker", "run", "-i", "--rm", "--init"];
    if let Some(package) = source.strip_prefix("npm:") {
        return Ok(with(NPX, npm(package)?, package));
    }
    if let Some(package) = source.strip_prefix("pypi:").or_else(|| source.strip_prefix("uvx:")) {
        return Ok(with(&["uvx"], pypi(package)?, package));
    }
    if let Some(image) = source.strip_prefix("docker:") {
        return Ok(with(DOCKER, docker(image)?, image));
    }
    if let Some(name) = source.strip_prefix("smithery-hosted:") {
        let name = npm(name)?;
        let url = format!("https://server.smithery.ai/{name}/mcp");
        return Ok((Launch::Http { url, headers: BTreeMap::new() }, short(name)));
    }
    if let Some(name) = source.strip_prefix("smithery:") {
        return Ok(with(&["npx", "-y", "-q", "@smithery/cli", "run"], npm(name)?, name));
    }
    if let Some(repository) = repository(source) {
        let repository = github_repository(repository)?;
        let whole = format!("github:{repository}");
        return Ok(match look(&whole) {
            Found::PythonProject { name } => {
                let from = format!("git+https://github.com/{repository}");
                with(&["uvx", "--from", &from], pypi(&name)?, repository)
            }
            _ => with(NPX, &whole, repository),
        });
    }
    if source.starts_with("https://") || source.starts_with("http://") {
        return url(source);
    }
    if source.contains("://") {
        return Err(format!("{source:?} is no address of a server: give https://…, or {FORMS}"));
    }
    if source.starts_with(['/', '.', '~']) {
        return path(source, look);
    }
    if source.starts_with('@') {
        return Ok(with(NPX, npm(source)?, source));
    }
    if is_in_a_registry(source) {
        return Ok(with(DOCKER, docker(source)?, source));
    }
    Ok(with(NPX, npm(source)?, source))
}

/// The repository at GitHub that a source names: what has a `/` and is nothing else is one too.
pub(super) fn repository(source: &str) -> Option<&str> {
    let named = source.strip_prefix("github:").or_else(|| source.strip_prefix("https://github.com/"));
    let is_bare = source.contains('/') && !source.contains(':') && !source.starts_with(['/', '.', '~', '@']);
    let repository = named.or_else(|| (is_bare && !is_in_a_registry(source)).then_some(source))?;
    Some(repository.trim_end_matches('/').trim_end_matches(".git"))
}

fn url(source: &str) -> Result<(Launch, String), String> {
    let host = check_url(source)?;
    let name = host.split(':').next().unwrap_or_default().trim_start_matches("www.").trim_start_matches("mcp.");
    let name = name.split('.').next().unwrap_or_default();
    Ok((Launch::Http { url: source.to_owned(), headers: BTreeMap::new() }, short(name)))
}

fn path(source: &str, look: impl Fn(&str) -> Found) -> Result<(Launch, String), String> {
    let file = source.trim_end_matches('/');
    let base = file.rsplit('/').next().unwrap_or_default();
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let run = |command: &[&str]| {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        Ok((Launch::Stdio { command, env: BTreeMap::new() }, short(stem)))
    };
    match look(file) {
        Found::Nothing => Err(format!("there is nothing at {source}")),
        Found::Folder => {
            Err(format!("{source} holds neither a package.json with a program nor a pyproject.toml with a name"))
        }
        Found::File if base.ends_with(".py") => run(&["python3", file]),
        Found::File if base.ends_with(".js") || base.ends_with(".mjs") || base.ends_with(".cjs") => {
            run(&["node", file])
        }
        Found::File => run(&[file]),
        Found::NodePackage { program } => run(&["node", &format!("{file}/{program}")]),
        Found::PythonProject { name } => run(&["uv", "run", "--directory", file, pypi(&name)?]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(path: &str) -> Found {
        match path {
            "/srv/time.py" | "./notes" => Found::File,
            "/srv/node-thing" => Found::NodePackage { program: "dist/index.js".into() },
            "github:acme/weather-mcp" => Found::PythonProject { name: "weather-server".into() },
            "github:acme/evil" => Found::PythonProject { name: "--with=evil".into() },
            "/srv/py-thing" => Found::PythonProject { name: "py-thing".into() },
            "/srv" => Found::Folder,
            _ => Found::Nothing,
        }
    }

    #[track_caller]
    fn check(source: &str, name: &str, expected: &str) {
        let (found, launch) = plan(source, "", look).unwrap();
        let shown = match launch {
            Launch::Stdio { command, .. } => command.join(" "),
            Launch::Http { url, .. } => url,
        };
        assert_eq!((found.as_str(), shown.as_str()), (name, expected), "{source}");
    }

    #[test]
    fn sources_say_what_would_be_run() {
        check(
            "npm:@modelcontextprotocol/server-everything",
            "everything",
            "npx -y -q @modelcontextprotocol/server-everything",
        );
        check("@playwright/mcp@0.2.1", "mcp", "npx -y -q @playwright/mcp@0.2.1");
        check("tavily-mcp", "tavily", "npx -y -q tavily-mcp");
        check("pypi:mcp-server-time==2026.1", "time", "uvx mcp-server-time==2026.1");
        let python = "uvx --from git+https://github.com/acme/weather-mcp weather-server";
        check("github:acme/weather-mcp", "weather", python);
        check("acme/weather-mcp", "weather", python);
        check("acme/weather", "weather", "npx -y -q github:acme/weather");
        check("https://github.com/acme/weather.git", "weather", "npx -y -q github:acme/weather");
        check("ghcr.io/acme/mcp-db:1.2", "db", "docker run -i --rm --init ghcr.io/acme/mcp-db:1.2");
        check("docker:mcp/time", "time", "docker run -i --rm --init mcp/time");
        check("smithery:exa", "exa", "npx -y -q @smithery/cli run exa");
        check("smithery-hosted:exa", "exa", "https://server.smithery.ai/exa/mcp");
        check("https://mcp.linear.app/mcp", "linear", "https://mcp.linear.app/mcp");
        check("http://localhost:3001/mcp", "localhost", "http://localhost:3001/mcp");
        check("/srv/time.py", "time", "python3 /srv/time.py");
        check("./notes", "notes", "./notes");
        check("/srv/node-thing", "node-thing", "node /srv/node-thing/dist/index.js");
        check("/srv/py-thing/", "py-thing", "uv run --directory /srv/py-thing py-thing");
    }

    #[test]
    fn what_is_no_source_is_refused_with_the_reason() {
        for source in [
            "",
            "evil && curl x",
            "npx evil",
            "; rm -rf /",
            "evil\nnext",
            "--help",
            "npm:--prefix",
            "npm:a/b/c",
            "npm:$(id)",
            "pypi:a;b",
            "docker:a`b`",
            "github:a/../b",
            "github:acme/evil",
            "acme/image:1.2",
            "a|b",
            "https://",
            "https://user:pass@host/",
            "http://example.org/mcp",
            "file:///etc/passwd",
            "/nowhere",
            "/srv",
        ] {
            assert!(plan(source, "", look).is_err(), "{source}");
        }
        assert!(plan("tavily-mcp", "Tavily!", look).unwrap_err().contains("no name for a server"));
        assert!(plan("tavily-mcp", "a__b", look).is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_is_planned_could_be_read_as_an_option_or_by_a_shell(source in "[a-z@/:.$;&|`'\"(){}<> -]{1,24}") {
            if let Ok((name, Launch::Stdio { command, env })) = plan(&source, "", look) {
                check_name(&name).unwrap();
                let last = command.last().unwrap();
                prop_assert!(env.is_empty() && !last.starts_with('-'));
                prop_assert!(!last.contains(|c: char| "$;&|`'\"(){}<> ".contains(c)), "{}", last);
            }
        }
    }
}
