//! From what people name a server by to what would be run. Pure: nothing here runs
//! anything, and nothing of it ever goes through a shell.

use std::collections::BTreeMap;

use domain::mcp::{Launch, NAME_BYTES};

use crate::web::is_trustworthy;

/// Longest source, in bytes.
const SOURCE_BYTES: usize = 500;
/// Most arguments of a command, and longest of them, in bytes.
const ARGUMENTS: usize = 64;
const ARGUMENT_BYTES: usize = 4096;
/// Hosts that serve images of containers.
const REGISTRIES: &[&str] = &["docker.io", "ghcr.io", "gcr.io", "quay.io", "registry.", "public.ecr.aws"];

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
                     a path, or a URL";

fn launch(source: &str, look: impl Fn(&str) -> Found) -> Result<(Launch, String), String> {
    let with = |program: &[&str], last: &str, name: &str| {
        let command = program.iter().map(|part| (*part).to_owned()).chain([last.to_owned()]).collect();
        (Launch::Stdio { command, env: BTreeMap::new() }, short(name))
    };
    const NPX: &[&str] = &["npx", "-y", "-q"];
    if let Some(package) = source.strip_prefix("npm:") {
        return Ok(with(NPX, npm(package)?, package));
    }
    if let Some(package) = source.strip_prefix("pypi:").or_else(|| source.strip_prefix("uvx:")) {
        return Ok(with(&["uvx"], pypi(package)?, package));
    }
    if let Some(image) = source.strip_prefix("docker:") {
        return Ok(with(&["docker", "run", "-i", "--rm"], docker(image)?, image));
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
        return Ok(with(&["docker", "run", "-i", "--rm"], docker(source)?, source));
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

/// Whether a source begins with a host that serves images of containers.
fn is_in_a_registry(source: &str) -> bool {
    let Some((host, _)) = source.split_once('/') else { return false };
    REGISTRIES.iter().any(|registry| host.starts_with(registry)) || host.ends_with(".amazonaws.com")
}

fn url(source: &str) -> Result<(Launch, String), String> {
    let rest = source.split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains(['@', '$']) {
        return Err(format!(
            "{source:?} names no host, or holds a password or a variable there: give headers for that"
        ));
    }
    if !is_trustworthy(source) {
        return Err(
            "a server elsewhere must be reached by https://: what is said to it could be read on the way".to_owned()
        );
    }
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

/// Whether a server may be called so.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= NAME_BYTES
        && !name.contains("__")
        && !name.ends_with('_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    match fits {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name for a server: at most {NAME_BYTES} of a-z, 0-9, - and _, beginning with a letter, no \
             two _ in a row"
        )),
    }
}

/// Whether what would be run is what somebody could have planned: the fields are whole,
/// bounded, and hold nothing that a terminal would obey.
pub(crate) fn check_launch(launch: &Launch) -> Result<(), String> {
    let plain = |text: &str| text.len() <= ARGUMENT_BYTES && !text.chars().any(char::is_control);
    let named = |name: &str| {
        !name.is_empty()
            && name.len() <= 100
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    match launch {
        Launch::Stdio { command, env } => {
            let program = command.first().filter(|program| !program.is_empty() && !program.starts_with('-'));
            let fits = program.is_some() && command.len() <= ARGUMENTS && command.iter().all(|part| plain(part));
            if !fits {
                return Err(format!(
                    "a command has a program and at most {ARGUMENTS} arguments without control characters"
                ));
            }
            if env.len() > ARGUMENTS || !env.iter().all(|(name, value)| named(name) && plain(value)) {
                return Err("a variable of the environment has a name of letters, digits and _".to_owned());
            }
            Ok(())
        }
        Launch::Http { url: address, headers } => {
            url(address)?;
            if headers.len() > ARGUMENTS || !headers.iter().all(|(name, value)| named(name) && plain(value)) {
                return Err("a header has a name of letters, digits and -, and a value on one line".to_owned());
            }
            Ok(())
        }
    }
}

/// A name for a server, from what it was installed by.
fn short(text: &str) -> String {
    let last = text.trim_start_matches('@').rsplit('/').next().unwrap_or_default();
    let last = last.split(['@', ':', '=']).next().unwrap_or_default().to_ascii_lowercase();
    let plain: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_start_matches("mcp-server-").trim_start_matches("server-").trim_start_matches("mcp-");
    let plain = plain.trim_end_matches("-mcp-server").trim_end_matches("-mcp").trim_end_matches("-server");
    let begins = plain.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    begins.chars().take(NAME_BYTES).collect::<String>().trim_end_matches('-').to_owned()
}

/// A package of the npm registry, with its version if it has one.
fn npm(package: &str) -> Result<&str, String> {
    let bare = package.strip_prefix('@').unwrap_or(package);
    let parts: Vec<&str> = bare.split('/').collect();
    let is_scoped = package.starts_with('@');
    let fits = parts.len() == if is_scoped { 2 } else { 1 } && parts.iter().all(|part| is_plain(part, "-_.@"));
    let fits = fits && parts.iter().map(|part| part.matches('@').count()).sum::<usize>() <= 1;
    if fits { Ok(package) } else { Err(format!("{package:?} is no package of npm")) }
}

/// A package of PyPI, with its version if it has one.
fn pypi(package: &str) -> Result<&str, String> {
    let (name, version) = package.split_once("==").unwrap_or((package, "0"));
    let fits = is_plain(name, "-_.") && is_plain(version, "-_.+!");
    if fits { Ok(package) } else { Err(format!("{package:?} is no package of PyPI")) }
}

fn docker(image: &str) -> Result<&str, String> {
    let fits = image.split('/').all(|part| is_plain(part, "-_.:@"));
    if fits { Ok(image) } else { Err(format!("{image:?} is no image of a container")) }
}

pub(super) fn github_repository(repository: &str) -> Result<&str, String> {
    let parts: Vec<&str> = repository.split('/').collect();
    let fits = parts.len() == 2 && parts.iter().all(|part| is_plain(part, "-_."));
    if fits { Ok(repository) } else { Err(format!("{repository:?} is no <owner>/<repository>")) }
}

/// Whether a part of a name is made of letters, digits and these, and begins with the former.
fn is_plain(part: &str, others: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
        && part.len() <= 214
        && !part.contains("..")
        && part.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
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
        check("ghcr.io/acme/mcp-db:1.2", "db", "docker run -i --rm ghcr.io/acme/mcp-db:1.2");
        check("docker:mcp/time", "time", "docker run -i --rm mcp/time");
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
