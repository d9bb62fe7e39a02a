//! Code in the sandbox, and the files of the folder that it works in: a person's own, which
//! lasts.

mod folder; // The files of such a folder, from outside.
mod packages; // Packages for its programs.
mod place; // Where code runs, and in whose folder.
mod room; // How much they may fill.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use domain::tool::{Effect, Intent, Risk, ToolClass, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use self::folder::{Rows, delete, list, read, write};
pub(super) use self::folder::{made, open, regular, within};
pub(crate) use self::packages::Packages;
pub(crate) use self::place::Place;
pub(super) use self::place::{blocking, ended};
pub(super) use self::room::on_disk_of;
use super::{of_group, spec, text};
use crate::registry::{Ended, Tool};
use crate::sandbox::Run;

/// Longest code, in characters.
const CODE: usize = 100_000;

#[derive(Clone, Copy)]
enum Doing {
    Python,
    Shell,
    Install,
    Unzip,
    List,
    Read,
    Write,
    Delete,
}

struct SandboxTool {
    spec: ToolSpec,
    doing: Doing,
    place: Arc<Place>,
}

pub(super) fn all(place: &Arc<Place>) -> Vec<Arc<dyn Tool>> {
    let tool = |spec: ToolSpec, doing, intent| {
        // Another install may come first.
        let runs = if matches!(doing, Doing::Install) { 3 } else { 1 };
        let timeout_ms = u64::try_from(place.limits.time.as_millis()).unwrap_or(u64::MAX).saturating_mul(runs);
        let timeout_ms = timeout_ms.saturating_add(30_000);
        // Who can be reached may answer anything, and code may keep it in the folder.
        let reads = matches!(doing, Doing::List | Doing::Read | Doing::Unzip);
        let is_untrusted = intent == Intent::Network || (reads && !place.hosts.is_empty());
        let spec =
            ToolSpec { class: ToolClass::Sandbox, intent, timeout_ms, is_untrusted, ..of_group("sandbox", spec) };
        Arc::new(SandboxTool { spec, doing, place: Arc::clone(place) }) as Arc<dyn Tool>
    };
    let code =
        |description: &str| json!({"type": "string", "minLength": 1, "maxLength": CODE, "description": description});
    let path =
        |description: &str| json!({"type": "string", "minLength": 1, "maxLength": 500, "description": description});
    let row = |description: &str| json!({"type": "integer", "minimum": 1, "description": description});
    // Code that can reach somebody may tell them what it read.
    let (network, runs) = match place.hosts.is_empty() {
        true => ("without network".to_owned(), Intent::Execute),
        false => {
            let hosts: Vec<String> = place.hosts.iter().map(ToString::to_string).collect();
            (format!("that can reach {} by a proxy, and nothing else", hosts.join(", ")), Intent::Network)
        }
    };
    let within = "A path in the person's working folder, such as data/trips.csv";
    let mut all = vec![
        tool(
            spec(
                "execute_python",
                &format!(
                    "Runs Python 3 in a sandbox {network}, in the person's working folder, and gives what it prints. \
                     What earlier programs imported and defined is there, as far as it can be kept."
                ),
                Effect::Once,
                Risk::Moderate,
                json!({
                    "code": code("The program"),
                    "description": {"type": "string", "maxLength": 500, "description": "What it is for"},
                    "reset": {"type": "boolean", "description": "Forget first what earlier programs defined"},
                }),
                &["code"],
            ),
            Doing::Python,
            runs,
        ),
        tool(
            spec(
                "run_shell",
                &format!(
                    "Runs a command by /bin/sh in a sandbox {network}, in the person's working folder, and gives what it \
                     prints."
                ),
                Effect::Once,
                Risk::Moderate,
                json!({"command": code("The command")}),
                &["command"],
            ),
            Doing::Shell,
            runs,
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
                "Reads a text file of the person's working folder, or some rows of it.",
                Effect::ReadOnly,
                Risk::Safe,
                json!({"path": path(within), "start_row": row("The first row to read; 1 if left out"), "end_row": row("The last one")}),
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
        tool(
            spec(
                "delete_file",
                "Deletes a file of the person's working folder, or a folder in it with all that it holds.",
                Effect::Idempotent,
                Risk::Moderate,
                json!({"path": path(within)}),
                &["path"],
            ),
            Doing::Delete,
            Intent::Write,
        ),
    ];
    if place.packages.is_some() {
        all.push(tool(
            spec(
                "install_package",
                "Installs a Python package, with what it needs, for the programs of this person: execute_python and \
                 run_shell can import it from then on.",
                Effect::Idempotent,
                Risk::Moderate,
                json!({"package": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Such as pandas, or pandas==2.2.3"}}),
                &["package"],
            ),
            Doing::Install,
            Intent::Network,
        ));
    }
    all
}

#[async_trait]
impl Tool for SandboxTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, request: &ToolRequest, arguments: Value) -> Ended {
        let folder = match self.place.of(&request.principal) {
            Ok(folder) => folder,
            Err(why) => return Ended::Failed(why),
        };
        let run = |command: &[&str], input: &str| self.place.plan(&folder, command, input);
        match self.doing {
            Doing::Python => {
                let reset = arguments.get("reset").and_then(Value::as_bool).unwrap_or(false).then_some("reset");
                let command: Vec<&str> = ["python3", "-c", PROGRAM].into_iter().chain(reset).collect();
                self.place.run(run(&command, text(&arguments, "code"))).await
            }
            Doing::Shell => self.place.run(run(&["/bin/sh", "-c", text(&arguments, "command")], "")).await,
            Doing::Install => match &self.place.packages {
                Some(packages) => packages.install(&self.place, &folder, text(&arguments, "package")).await,
                None => Ended::Failed("no packages can be installed here".to_owned()),
            },
            Doing::Unzip => match unpacking(&arguments) {
                // Ours alone: nothing of the folder's is run by it, and it reaches nobody.
                Ok([archive, into]) => {
                    let run = run(&["python3", "-I", "-c", UNZIP, &archive, &into], "");
                    self.place.run(Run { hosts: Arc::default(), ..run }).await
                }
                Err(why) => Ended::Failed(why),
            },
            Doing::List => blocking(move || list(&open(&folder)?, text(&arguments, "path"))).await.into(),
            Doing::Read => {
                let limit = self.place.limits.output_bytes;
                let row = |name: &str| arguments.get(name).and_then(Value::as_u64);
                let rows =
                    Rows { first: row("start_row").unwrap_or(1), last: row("end_row").unwrap_or(Rows::ALL.last) };
                blocking(move || read(&open(&folder)?, text(&arguments, "path"), rows, limit)).await.into()
            }
            Doing::Delete => blocking(move || delete(&open(&folder)?, text(&arguments, "path"))).await.into(),
            Doing::Write => match self.place.has_room(&folder).await {
                Ok(()) => {
                    let written = move || write(&open(&folder)?, text(&arguments, "path"), text(&arguments, "content"));
                    blocking(written).await.into()
                }
                Err(why) => Ended::Failed(why),
            },
        }
    }
}

/// Runs a program that knows what the programs before it defined.
const PROGRAM: &str = include_str!("sandbox/program.py");

/// The archive and where it is unpacked to, as paths inside.
fn unpacking(arguments: &Value) -> Result<[String; 2], String> {
    let archive = within(text(arguments, "path"))?;
    let into = match text(arguments, "destination") {
        "" => archive.parent().unwrap_or(Path::new("")).to_path_buf(),
        destination => within(destination)?,
    };
    Ok([archive, into].map(|path| format!("./{}", path.display())))
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
