//! The person's own folder: list, read, write, delete.
//!
//! Paths are resolved by the kernel beneath an open folder (cap-std, `openat2`
//! with RESOLVE_BENEATH on Linux), so that no `..`, absolute path or symlink
//! leads out of it, also while somebody swaps a link.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use domain::tool::{Effect, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use super::whole::put;
use super::{Limits, of_group, spec, text};
use crate::registry::{Builtin, Tool};

/// Files that one listing names.
const LISTED: usize = 500;
/// How deep a listing looks.
const DEPTH: usize = 8;

#[derive(Clone, Copy)]
enum Doing {
    List,
    Read,
    Save,
    Delete,
}

struct FileTool {
    spec: ToolSpec,
    doing: Doing,
    root: Arc<Dir>,
    limits: Limits,
}

/// The folder in which every person has one; it is made if there is none.
pub(super) fn root(folder: &Path) -> std::io::Result<Arc<Dir>> {
    std::fs::create_dir_all(folder)?;
    Ok(Arc::new(Dir::open_ambient_dir(folder, ambient_authority())?))
}

/// What the name of a file may be.
pub(super) fn name_schema() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 255, "description": "Name of the file, such as notes.txt or trips/oslo.md"})
}

pub(super) fn all(root: &Arc<Dir>, limits: Limits) -> Vec<Arc<dyn Tool>> {
    let name = name_schema();
    let tool = |spec, doing| {
        Arc::new(FileTool { spec: of_group("fs", spec), doing, root: Arc::clone(root), limits }) as Arc<dyn Tool>
    };
    vec![
        tool(
            spec("list_local_files", "Lists the person's own files.", Effect::ReadOnly, Risk::Safe, json!({}), &[]),
            Doing::List,
        ),
        tool(
            spec(
                "read_local_file",
                "Reads one of the person's own text files.",
                Effect::ReadOnly,
                Risk::Safe,
                json!({"filename": name}),
                &["filename"],
            ),
            Doing::Read,
        ),
        tool(
            spec(
                "save_to_local",
                "Writes a text file into the person's own folder, over an older one of that name.",
                // The same content again changes nothing more.
                Effect::Idempotent,
                Risk::Safe,
                json!({"filename": name, "content": {"type": "string"}}),
                &["filename", "content"],
            ),
            Doing::Save,
        ),
        tool(
            spec(
                "delete_local_file",
                "Deletes one of the person's own files.",
                // A file of that name made in between would go too.
                Effect::Once,
                Risk::Moderate,
                json!({"filename": name}),
                &["filename"],
            ),
            Doing::Delete,
        ),
    ]
}

#[async_trait]
impl Builtin for FileTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        let (root, doing, limits) = (Arc::clone(&self.root), self.doing, self.limits);
        let user = folder_name(&request.principal.user);
        let (name, content) = (text(&arguments, "filename").to_owned(), text(&arguments, "content").to_owned());
        // Files block; a thread that may do so does this.
        let done = tokio::task::spawn_blocking(move || run(&root, &user, doing, &name, &content, limits)).await;
        done.map_err(|err| format!("the file tool failed: {err}"))?
    }
}

/// The folder of a person by its name, which is made if there is none.
pub(super) fn of(root: &Dir, name: &str) -> Result<Dir, String> {
    root.create_dir_all(name).map_err(|err| format!("your folder cannot be made: {err}"))?;
    root.open_dir(name).map_err(|err| format!("your folder cannot be opened: {err}"))
}

/// A person's folder: their id, with everything but plain characters written as
/// hexadecimal, so that two ids never share one.
pub(super) fn folder_name(user: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    user.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }).collect()
}

fn run(root: &Dir, user: &str, doing: Doing, name: &str, content: &str, limits: Limits) -> Result<String, String> {
    let folder = of(root, user)?;
    let path = match doing {
        Doing::List => PathBuf::new(),
        Doing::Read | Doing::Save | Doing::Delete => relative(name)?,
    };
    let refused = |err: std::io::Error| explain(name, &err);
    match doing {
        Doing::List => {
            let mut found = Vec::new();
            list(&folder, "", DEPTH, &mut found).map_err(|err| format!("your folder cannot be listed: {err}"))?;
            found.sort();
            Ok(match found.len() {
                0 => "You have no files yet.".to_owned(),
                _ => found.join("\n"),
            })
        }
        Doing::Read => {
            let file = folder.open(&path).map_err(refused)?;
            let size = file.metadata().map_err(refused)?.len();
            // The model reads so many characters; four bytes each is enough.
            let limit = limits.result_chars as u64 * 4;
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes).map_err(refused)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(if size > limit { format!("{text}\n… only the first {limit} of {size} bytes …") } else { text })
        }
        Doing::Save => {
            if content.len() as u64 > limits.file_bytes {
                return Err(format!("the content has {} bytes; the limit is {}", content.len(), limits.file_bytes));
            }
            put(&folder, &path, content.as_bytes())?;
            Ok(format!("Saved {name} ({} bytes).", content.len()))
        }
        Doing::Delete => {
            folder.remove_file(&path).map_err(refused)?;
            Ok(format!("Deleted {name}."))
        }
    }
}

/// A path within the folder. The kernel enforces it; this gives the reason.
pub(super) fn relative(name: &str) -> Result<PathBuf, String> {
    let strange = name.contains(['\\', '\0']) || name.chars().any(char::is_control) || name.get(1..2) == Some(":");
    let path = Path::new(name);
    let plain =
        path.components().all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    if strange || !plain || name.trim().is_empty() {
        return Err(format!("`{name}` is not a name within your folder; give one such as notes.txt or trips/oslo.md"));
    }
    Ok(path.to_path_buf())
}

fn explain(name: &str, err: &std::io::Error) -> String {
    match err.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file `{name}`"),
        std::io::ErrorKind::PermissionDenied => format!("`{name}` leads out of your folder, or may not be touched"),
        _ => format!("`{name}` cannot be used: {err}"),
    }
}

fn list(folder: &Dir, prefix: &str, depth: usize, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in folder.entries()? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if found.len() >= LISTED {
            found.push(format!("… more than {LISTED} files …"));
            return Ok(());
        }
        if kind.is_dir() && depth > 0 {
            list(&entry.open_dir()?, &format!("{name}/"), depth - 1, found)?;
        } else if kind.is_file() {
            found.push(format!("{name} ({} bytes)", entry.metadata()?.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { file_bytes: 100, result_chars: 10 };

    fn check(root: &Dir, doing: Doing, name: &str, content: &str) -> Result<String, String> {
        run(root, &folder_name("discord-1"), doing, name, content, LIMITS)
    }

    fn folder() -> (tempfile::TempDir, Dir) {
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir(outer.path().join("files")).unwrap();
        std::fs::write(outer.path().join("secret"), "canary").unwrap();
        let root = Dir::open_ambient_dir(outer.path().join("files"), ambient_authority()).unwrap();
        (outer, root)
    }

    #[test]
    fn files_live_their_life() {
        let (_outer, root) = folder();
        assert_eq!(check(&root, Doing::List, "", "").unwrap(), "You have no files yet.");
        check(&root, Doing::Save, "a/b.txt", "first").unwrap();
        check(&root, Doing::Save, "a/b.txt", "now").unwrap();
        assert_eq!(check(&root, Doing::Read, "a/b.txt", "").unwrap(), "now");
        assert_eq!(check(&root, Doing::List, "", "").unwrap(), "a/b.txt (3 bytes)");
        check(&root, Doing::Delete, "a/b.txt", "").unwrap();
        assert!(check(&root, Doing::Read, "a/b.txt", "").unwrap_err().contains("no file"));
        assert!(check(&root, Doing::Save, "big", &"x".repeat(101)).unwrap_err().contains("limit is 100"));
        check(&root, Doing::Save, "long", &"x".repeat(90)).unwrap();
        assert!(check(&root, Doing::Read, "long", "").unwrap().contains("only the first 40 of 90 bytes"));
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let (outer, root) = folder();
        check(&root, Doing::Save, "own", "x").unwrap();
        let own = outer.path().join("files/discord-1");
        std::os::unix::fs::symlink("../../secret", own.join("link")).unwrap();
        std::os::unix::fs::symlink("..", own.join("up")).unwrap();
        std::fs::create_dir(outer.path().join("files/other")).unwrap();
        std::fs::write(outer.path().join("files/other/mail"), "canary").unwrap();
        let names = [
            "../other/mail",
            "../../secret",
            "/etc/passwd",
            "a/../../other/mail",
            "link",
            "up/other/mail",
            "up/../../secret",
            "C:\\secret",
            "\\\\host\\share",
            "..",
            "",
            "a\0b",
        ];
        for name in names {
            for doing in [Doing::Read, Doing::Save, Doing::Delete] {
                let outcome = check(&root, doing, name, "overwritten");
                let removed_own_link = matches!((doing, name), (Doing::Delete, "link"));
                assert!(outcome.is_err() || removed_own_link, "{name:?}: {outcome:?}");
                assert!(!format!("{outcome:?}").contains("canary"), "{name:?}");
            }
            if name == "link" {
                std::os::unix::fs::symlink("../../secret", own.join("link")).unwrap();
            }
        }
        assert_eq!(std::fs::read_to_string(outer.path().join("secret")).unwrap(), "canary");
        assert_eq!(std::fs::read_to_string(outer.path().join("files/other/mail")).unwrap(), "canary");
    }

    #[test]
    fn people_never_share_a_folder() {
        assert_ne!(folder_name("a/b"), folder_name("a_b"));
        assert_eq!(folder_name("../x"), "%2e%2e%2fx");
    }
}
