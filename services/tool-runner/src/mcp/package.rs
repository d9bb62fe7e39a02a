//! Names of packages, images and repositories, and of servers after them. What passes here can be
//! read neither as an option nor by a shell.

use domain::mcp::NAME_BYTES;

/// Hosts that serve images of containers.
const REGISTRIES: &[&str] = &["docker.io", "ghcr.io", "gcr.io", "quay.io", "registry.", "public.ecr.aws"];

/// Whether a source begins with a host that serves images of containers.
pub(super) fn is_in_a_registry(source: &str) -> bool {
    let Some((host, _)) = source.split_once('/') else { return false };
    REGISTRIES.iter().any(|registry| host.starts_with(registry)) || host.ends_with(".amazonaws.com")
}

/// A name for a server, from what it was installed by.
pub(super) fn short(text: &str) -> String {
    let last = text.trim_start_matches('@').rsplit('/').next().unwrap_or_default();
    let last = last.split(['@', ':', '=']).next().unwrap_or_default().to_ascii_lowercase();
    let plain: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_start_matches("mcp-server-").trim_start_matches("server-").trim_start_matches("mcp-");
    let plain = plain.trim_end_matches("-mcp-server").trim_end_matches("-mcp").trim_end_matches("-server");
    let begins = plain.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    begins.chars().take(NAME_BYTES).collect::<String>().trim_end_matches('-').to_owned()
}

/// A package of the npm registry, with its version if it has one.
pub(super) fn npm(package: &str) -> Result<&str, String> {
    let bare = package.strip_prefix('@').unwrap_or(package);
    let parts: Vec<&str> = bare.split('/').collect();
    let is_scoped = package.starts_with('@');
    let fits = parts.len() == if is_scoped { 2 } else { 1 } && parts.iter().all(|part| is_plain(part, "-_.@"));
    let fits = fits && parts.iter().map(|part| part.matches('@').count()).sum::<usize>() <= 1;
    if fits { Ok(package) } else { Err(format!("{package:?} is no package of npm")) }
}

/// A package of PyPI, with its version if it has one.
pub(super) fn pypi(package: &str) -> Result<&str, String> {
    let (name, version) = package.split_once("==").unwrap_or((package, "0"));
    let fits = is_plain(name, "-_.") && is_plain(version, "-_.+!");
    if fits { Ok(package) } else { Err(format!("{package:?} is no package of PyPI")) }
}

/// An image of a container.
pub(super) fn docker(image: &str) -> Result<&str, String> {
    let fits = image.split('/').all(|part| is_plain(part, "-_.:@"));
    if fits { Ok(image) } else { Err(format!("{image:?} is no image of a container")) }
}

/// `<owner>/<repository>`.
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
