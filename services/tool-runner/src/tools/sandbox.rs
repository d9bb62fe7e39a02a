//! Code in the sandbox, and the files of the folder that it works in: a person's own, which
//! lasts.

mod folder; // The files of such a folder, from outside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use domain::message::Principal;
use domain::tool::{Effect, Intent, Risk, ToolClass, ToolRequest, ToolSpec};
use domain::untrusted::visible;
use serde_json::{Value, json};

use self::folder::{COUNTED, list, open, read, weigh, within, write};
use super::{of_group, spec, text};
use crate::registry::{Builtin, Tool};
use crate::sandbox::{End, Limits, Output, Run, Sandbox};

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
            Doing::List => blocking(move || list(&open(&folder)?, text(&arguments, "path"))).await,
            Doing::Read => {
                let limit = self.place.limits.output_bytes;
                blocking(move || read(&open(&folder)?, text(&arguments, "path"), limit)).await
            }
            Doing::Write => {
                self.place.has_room(&folder).await?;
                blocking(move || write(&open(&folder)?, text(&arguments, "path"), text(&arguments, "content"))).await
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
        self.has_room(&run.folder).await?;
        let output = self.sandbox.run(&run).await?;
        told(output, &self.limits)
    }

    /// Whether a person's folder has not grown too large.
    async fn has_room(&self, folder: &Path) -> Result<(), String> {
        let (folder, bytes) = (folder.to_owned(), self.limits.folder_bytes);
        blocking(move || match weigh(&folder, &mut (bytes, COUNTED), 64) {
            true => Ok(()),
            false => Err(format!(
                "the working folder holds more than {} MB or {COUNTED} files: delete some first, with list_files and run_shell",
                bytes >> 20
            )),
        })
        .await
    }
}

/// Does what waits for the disk where nobody else waits for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|err| Err(format!("it was not done: {err}")))
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
