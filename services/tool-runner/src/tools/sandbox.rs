//! Code in the sandbox, and the files of the folder that it works in: a person's own, which
//! lasts.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use domain::message::Principal;
use domain::tool::{Effect, Intent, Risk, ToolClass, ToolRequest, ToolSpec};
use domain::untrusted::visible;
use serde_json::{Value, json};

use super::{of_group, spec, text};
use crate::registry::{Builtin, Tool};
use crate::sandbox::{End, INSIDE, Limits, Output, Run, Sandbox};

/// Files that one listing names, and how deep it looks.
const LISTED: usize = 500;
const DEPTH: usize = 8;
/// Files that are counted when a folder's size is asked, at most.
const COUNTED: usize = 200_000;
/// Longest code, in characters.
const CODE: usize = 100_000;

#[derive(Clone, Copy)]
enum Doing {
    Python,
    Shell,
    Unzip,
    List,
    Read,
    Write,
}

struct SandboxTool {
    spec: ToolSpec,
    doing: Doing,
    place: Arc<Place>,
}

/// Where code runs, and whose folders are where.
pub(crate) struct Place {
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) limits: Limits,
    /// A folder for each person stands in it.
    pub(crate) folder: PathBuf,
}

pub(super) fn all(place: &Arc<Place>) -> Vec<Arc<dyn Tool>> {
    let tool = |spec: ToolSpec, doing, intent| {
        let timeout_ms = u64::try_from(place.limits.time.as_millis()).unwrap_or(u64::MAX).saturating_add(30_000);
        let spec = ToolSpec { class: ToolClass::Sandbox, intent, timeout_ms, ..of_group("sandbox", spec) };
        Arc::new(SandboxTool { spec, doing, place: Arc::clone(place) }) as Arc<dyn Tool>
    };
    let code =
        |description: &str| json!({"type": "string", "minLength": 1, "maxLength": CODE, "description": description});
    let path =
        |description: &str| json!({"type": "string", "minLength": 1, "maxLength": 500, "description": description});
    let within = "A path in the person's working folder, such as data/trips.csv";
    vec![
        tool(
            spec(
                "execute_python",
                "Runs Python 3 in a sandbox without network, in the person's working folder, and gives what it prints.",
                Effect::Once,
                Risk::Moderate,
                json!({"code": code("The program"), "description": {"type": "string", "maxLength": 500, "description": "What it is for"}}),
                &["code"],
            ),
            Doing::Python,
            Intent::Execute,
        ),
        tool(
            spec(
                "run_shell",
                "Runs a command by /bin/sh in a sandbox without network, in the person's working folder, and gives what \
                 it prints.",
                Effect::Once,
                Risk::Moderate,
                json!({"command": code("The command")}),
                &["command"],
            ),
            Doing::Shell,
            Intent::Execute,
        ),
        tool(
            spec(
                "unzip_file",
                "Unpacks a zip archive in the person's working folder.",
                Effect::Idempotent,
                Risk::Safe,
                json!({"path": path(within), "destination": path("The folder to unpack into; left out: beside the archive")}),
                &["path"],
            ),
            Doing::Unzip,
            Intent::Write,
        ),
        tool(
            spec(
                "list_files",
                "Lists the files of the person's working folder.",
                Effect::ReadOnly,
                Risk::Safe,
                json!({"path": path("A folder in it; left out: all")}),
                &[],
            ),
            Doing::List,
            Intent::Read,
        ),
        tool(
            spec(
                "read_file",
                "Reads a text file of the person's working folder.",
                Effect::ReadOnly,
                Risk::Safe,
                json!({"path": path(within)}),
                &["path"],
            ),
            Doing::Read,
            Intent::Read,
        ),
        tool(
            spec(
                "write_file",
                "Writes a text file in the person's working folder, over an older one.",
                Effect::Idempotent,
                Risk::Safe,
                json!({"path": path(within), "content": {"type": "string", "maxLength": 10_000_000}}),
                &["path", "content"],
            ),
            Doing::Write,
            Intent::Write,
        ),
    ]
}

#[async_trait]
impl Builtin for SandboxTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        let folder = self.place.of(&request.principal)?;
        let run = |command: &[&str], input: &str| Run {
            command: command.iter().map(|part| (*part).to_owned()).collect(),
            input: input.to_owned(),
            folder: folder.clone(),
        };
        match self.doing {
            Doing::Python => self.place.run(run(&["/usr/bin/python3", "-"], text(&arguments, "code"))).await,
            Doing::Shell => self.place.run(run(&["/bin/sh", "-c", text(&arguments, "command")], "")).await,
            Doing::Unzip => {
                let archive = within(text(&arguments, "path"))?;
                let beside = archive.parent().unwrap_or(Path::new("")).to_path_buf();
                let into = match text(&arguments, "destination") {
                    "" => beside,
                    destination => within(destination)?,
                };
                // Inside: whatever the archive says, it cannot reach further.
                let (archive, into) = (format!("./{}", archive.display()), format!("./{}", into.display()));
                self.place.run(run(&["/usr/bin/python3", "-c", UNZIP, &archive, &into], "")).await
            }
            Doing::List => list(&open(&folder)?, text(&arguments, "path")),
            Doing::Read => read(&open(&folder)?, text(&arguments, "path"), self.place.limits.output_bytes),
            Doing::Write => {
                self.place.has_room(&folder)?;
                write(&open(&folder)?, text(&arguments, "path"), text(&arguments, "content"))
            }
        }
    }
}

/// Unpacks an archive, with a limit on what comes out of it.
const UNZIP: &str = "\
import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
total = sum(entry.file_size for entry in archive.infolist())
if total > 500_000_000 or len(archive.infolist()) > 10_000:
    sys.exit('it would unpack to %d bytes in %d files, which is too much' % (total, len(archive.infolist())))
archive.extractall(sys.argv[2])
print('Unpacked %d files.' % len(archive.infolist()))
";

impl Place {
    /// A person's folder, which is made if there is none.
    fn of(&self, principal: &Principal) -> Result<PathBuf, String> {
        // No name of theirs is part of a path.
        let mut hasher = blake3::Hasher::new();
        for field in [&principal.tenant, &principal.user] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        let folder = self.folder.join(&hasher.finalize().to_hex()[..32]);
        std::fs::create_dir_all(&folder).map_err(|err| format!("the working folder cannot be made: {err}"))?;
        Ok(folder)
    }

    async fn run(&self, run: Run) -> Result<String, String> {
        self.has_room(&run.folder)?;
        let output = self.sandbox.run(&run).await?;
        told(output, &self.limits)
    }

    /// Whether a person's folder has not grown too large.
    fn has_room(&self, folder: &Path) -> Result<(), String> {
        let mut left = (self.limits.folder_bytes, COUNTED);
        match weigh(folder, &mut left, 64) {
            true => Ok(()),
            false => Err(format!(
                "the working folder holds more than {} MB or {COUNTED} files: delete some first, with list_files and run_shell",
                self.limits.folder_bytes >> 20
            )),
        }
    }
}

/// Takes what stands in a folder from what may; whether it was enough.
fn weigh(folder: &Path, left: &mut (u64, usize), depth: usize) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    for entry in entries.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        let Some(files) = left.1.checked_sub(1) else { return false };
        let Some(bytes) = left.0.checked_sub(found.len()) else { return false };
        *left = (bytes, files);
        // A link is no folder here: its end may be anywhere.
        if found.is_dir() && (depth == 0 || !weigh(&entry.path(), left, depth - 1)) {
            return false;
        }
    }
    true
}

/// What the model is told of a run.
fn told(output: Output, limits: &Limits) -> Result<String, String> {
    let Output { text, is_cut, end } = output;
    let mut text = visible(&text);
    if is_cut {
        text.push_str("\n[more was printed, and dropped]");
    }
    match end {
        End::Exited(0) if text.trim().is_empty() => Ok("It ended well, and printed nothing.".to_owned()),
        End::Exited(0) => Ok(text),
        End::Exited(status) => Err(format!("it ended with status {status}:\n{text}")),
        End::Killed(9) => Err(format!(
            "it was killed: more than {} MB of memory or {} processes, probably:\n{text}",
            limits.memory_bytes >> 20,
            limits.processes
        )),
        End::Killed(25) => Err(format!("it wrote a file of more than {} MB:\n{text}", limits.file_bytes >> 20)),
        End::Killed(signal) => Err(format!("it was ended by signal {signal}:\n{text}")),
        End::TimedOut => Err(format!("it took longer than {:?}, and was ended:\n{text}", limits.time)),
    }
}

/// A path within the folder, whatever it is called; not where it leads.
fn within(path: &str) -> Result<PathBuf, String> {
    let refused = || format!("{path:?} is not a path within the working folder");
    let plain = path.strip_prefix(INSIDE).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
    let plain = plain.trim_start_matches("./");
    let is_strange = plain.contains('\\') || plain.contains('\0') || plain.contains(':');
    if is_strange || plain.is_empty() {
        return Err(refused());
    }
    let path = Path::new(plain);
    match path.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        true => Ok(path.to_path_buf()),
        false => Err(refused()),
    }
}

/// A folder out of which no path leads, by links or otherwise.
fn open(folder: &Path) -> Result<Dir, String> {
    Dir::open_ambient_dir(folder, ambient_authority())
        .map_err(|err| format!("the working folder cannot be opened: {err}"))
}

fn list(root: &Dir, path: &str) -> Result<String, String> {
    let mut lines = Vec::new();
    let start = if path.is_empty() || path == "." { PathBuf::from(".") } else { within(path)? };
    walk(root, &start, DEPTH, &mut lines)?;
    lines.sort();
    match lines.len() {
        0 => Ok("There are no files.".to_owned()),
        LISTED.. => Ok(format!("{}\n… and more", lines.join("\n"))),
        _ => Ok(lines.join("\n")),
    }
}

fn walk(root: &Dir, folder: &Path, depth: usize, lines: &mut Vec<String>) -> Result<(), String> {
    let entries = root.read_dir(folder).map_err(|err| format!("{}: {err}", folder.display()))?;
    for entry in entries.flatten() {
        if lines.len() >= LISTED {
            return Ok(());
        }
        let Ok(found) = entry.metadata() else { continue };
        let path = folder.join(entry.file_name());
        let name = visible(&path.display().to_string());
        let name = name.trim_start_matches("./");
        if found.is_dir() {
            lines.push(format!("{name}/"));
            if depth > 0 {
                walk(root, &path, depth - 1, lines)?;
            }
        } else {
            lines.push(format!("{name} ({} bytes)", found.len()));
        }
    }
    Ok(())
}

fn read(root: &Dir, path: &str, limit: usize) -> Result<String, String> {
    let file = within(path)?;
    let mut opened = root.open(&file).map_err(|err| format!("{}: {err}", file.display()))?.take(limit as u64 + 1);
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).map_err(|err| format!("{}: {err}", file.display()))?;
    let is_cut = bytes.len() > limit;
    bytes.truncate(limit);
    if bytes.contains(&0) {
        return Err(format!("{} is no text", file.display()));
    }
    let text = visible(&String::from_utf8_lossy(&bytes));
    Ok(if is_cut { format!("{text}\n[the file goes on]") } else { text })
}

fn write(root: &Dir, path: &str, content: &str) -> Result<String, String> {
    let file = within(path)?;
    let failed = |err: std::io::Error| format!("{}: {err}", file.display());
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        root.create_dir_all(parent).map_err(failed)?;
    }
    let mut opened = root.create(&file).map_err(failed)?;
    opened.write_all(content.as_bytes()).map_err(failed)?;
    Ok(format!("Wrote {} ({} bytes).", file.display(), content.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for path in [
            "../x",
            "/etc/passwd",
            "a/../../x",
            "C:\\x",
            "\\\\host\\share",
            "",
            "a\0b",
            "..",
            "/workspace/../x",
            "/workspacex",
        ] {
            assert!(within(path).is_err(), "{path:?}");
        }
        for (path, expected) in [("a/b.txt", "a/b.txt"), ("/workspace/a", "a"), ("./a", "a")] {
            assert_eq!(within(path).unwrap(), Path::new(expected));
        }
    }

    #[test]
    fn links_out_of_the_folder_are_not_followed() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "canary").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
        let root = open(folder.path()).unwrap();
        for path in ["out/secret", "file"] {
            assert!(read(&root, path, 100).is_err(), "{path}");
            assert!(write(&root, path, "x").is_err(), "{path}");
        }
        assert!(!list(&root, "").unwrap().contains("secret"));
        assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "canary");
        write(&root, "a/b.txt", "hello").unwrap();
        assert_eq!(read(&root, "a/b.txt", 3).unwrap(), "hel\n[the file goes on]");
        assert!(list(&root, "").unwrap().contains("a/b.txt (5 bytes)"));
    }

    #[test]
    fn a_folder_is_weighed_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), [0; 1000]).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("usr")).unwrap();
        assert!(weigh(folder.path(), &mut (2000, 10), 3));
        assert!(!weigh(folder.path(), &mut (999, 10), 3));
        assert!(!weigh(folder.path(), &mut (2000, 1), 3));
    }
}
