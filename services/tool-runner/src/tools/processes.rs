//! Processes in the background of the sandbox: begun in one turn, looked at and stopped in
//! later ones, by whichever replica is asked. Each ends with the runner that runs it.

mod specs; // What models read of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::guard::cut_middle;
use domain::tool::{ToolRequest, ToolSpec};
use domain::untrusted::visible;
use serde_json::Value;
use service_kit::clock::now_ms;
use service_kit::task::{self, TaskKind};
use tracing::warn;

use self::specs::Doing;
use super::sandbox::{Place, ended, within};
use super::text;
use crate::ports::{Background, Backgrounds, Begun, LOST};
use crate::registry::{Builtin, Tool};
use crate::sandbox::{Keeps, Printed, Run};

/// Those that one person has running, at most.
const RUNNING: usize = 3;
/// Those that are listed.
const LISTED: u32 = 20;
/// How often its state is noted, and whether it is to stop is asked.
const BEAT: Duration = Duration::from_secs(1);
/// How long the database may take for that.
const NOTING: Duration = Duration::from_secs(5);
/// Without a word of its runner for so long, it runs no more.
const LOST_MS: i64 = 20_000;
/// How long a stop may take.
const STOPPING: Duration = Duration::from_secs(10);
/// What is kept of its output, in bytes.
const OUTPUT_BYTES: usize = 64 * 1024;
/// Lines of it that are given unasked, and at most.
const LINES: u64 = 50;
const MOST_LINES: u64 = 1000;
/// How much of a command a list shows, in characters.
const COMMAND_CHARS: usize = 200;

struct ProcessTool {
    spec: ToolSpec,
    doing: Doing,
    place: Arc<Place>,
    backgrounds: Arc<dyn Backgrounds>,
}

pub(crate) fn all(place: &Arc<Place>, backgrounds: &Arc<dyn Backgrounds>) -> Vec<Arc<dyn Tool>> {
    let tool = |(spec, doing)| {
        let (place, backgrounds) = (Arc::clone(place), Arc::clone(backgrounds));
        Arc::new(ProcessTool { spec, doing, place, backgrounds }) as Arc<dyn Tool>
    };
    specs::all(place).into_iter().map(tool).collect()
}

#[async_trait]
impl Builtin for ProcessTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        let (owner, name) = (Place::owner(&request.principal), text(&arguments, "name"));
        match self.doing {
            Doing::Start => self.start(request, &owner, &arguments).await,
            Doing::Status => Ok(line(&self.find(&owner, name).await?.0)),
            Doing::Output => {
                let lines = arguments.get("lines").and_then(Value::as_u64).unwrap_or(LINES).min(MOST_LINES);
                let (found, printed) = self.find(&owner, name).await?;
                Ok(output(&found, &printed, lines))
            }
            Doing::Stop => self.stop(&owner, name).await,
            Doing::List => {
                let known = self.backgrounds.of(&owner, LISTED).await.map_err(|err| err.to_string())?;
                match known.is_empty() {
                    true => Ok("There are none.".to_owned()),
                    false => Ok(known.iter().map(line).collect::<Vec<_>>().join("\n")),
                }
            }
        }
    }
}

impl ProcessTool {
    async fn start(&self, request: &ToolRequest, owner: &str, arguments: &Value) -> Result<String, String> {
        let call = request.call.to_string();
        let name = match text(arguments, "name") {
            "" => blake3::hash(call.as_bytes()).to_hex()[..8].to_owned(),
            name => name.to_owned(),
        };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            return Err(format!("{name:?} is no name for a process: letters, digits, - and _ make one"));
        }
        let folder = self.place.of(&request.principal)?;
        let run = self.planned(&folder, arguments)?;
        self.place.has_room(&folder).await?;
        let now = now_ms();
        let new = Background {
            name: name.clone(),
            begun_by: call,
            command: text(arguments, "command").to_owned(),
            started_at_ms: now,
            seen_at_ms: now,
            ended: String::new(),
        };
        let begun = self.backgrounds.begin(owner, &new, RUNNING, now.saturating_sub(LOST_MS)).await;
        match begun.map_err(|err| err.to_string())? {
            Begun::New => {
                let (place, backgrounds) = (Arc::clone(&self.place), Arc::clone(&self.backgrounds));
                let owner = owner.to_owned();
                task::spawn(TaskKind::Work, "sandbox-background", async move {
                    accompany(&place, backgrounds.as_ref(), &owner, run, new).await;
                });
                Ok(format!("Started `{name}`."))
            }
            Begun::Before(before) => Ok(format!("It was started before. {}", line(&before))),
            Begun::Taken => Err(format!("`{name}` runs already: give another name, or stop it")),
            Begun::TooMany => Err(format!("{RUNNING} processes run already: wait for one, or stop one")),
        }
    }

    fn planned(&self, folder: &Path, arguments: &Value) -> Result<Run, String> {
        let inside = match text(arguments, "cwd").trim() {
            "" | "." | "/workspace" => ".".to_owned(),
            cwd => format!("./{}", within(cwd)?.display()),
        };
        let command = text(arguments, "command");
        let run = self.place.plan(
            folder,
            &["/bin/sh", "-c", "cd \"$1\" && exec /bin/sh -c \"$2\"", "sh", &inside, command],
            "",
        );
        let seconds = arguments.get("timeout").and_then(Value::as_u64).map(Duration::from_secs);
        let time = seconds.map_or(self.place.background, |seconds| seconds.min(self.place.background));
        Ok(Run { time, ..run })
    }

    async fn find(&self, owner: &str, name: &str) -> Result<(Background, String), String> {
        let found = self.backgrounds.find(owner, name).await.map_err(|err| err.to_string())?;
        found.ok_or_else(|| format!("there is no process `{name}`; process_list shows them"))
    }

    async fn stop(&self, owner: &str, name: &str) -> Result<String, String> {
        let is_running = self.backgrounds.want_stop(owner, name).await.map_err(|err| err.to_string())?;
        let (mut found, _) = self.find(owner, name).await?;
        let deadline = tokio::time::Instant::now() + STOPPING;
        while is_running && runs(&found) {
            if tokio::time::Instant::now() > deadline {
                return Err(format!("`{name}` was told to stop, and has not within {STOPPING:?}"));
            }
            tokio::time::sleep(BEAT / 5).await;
            (found, _) = self.find(owner, name).await?;
        }
        Ok(line(&found))
    }
}

/// Runs one to its end, and says how it is meanwhile.
async fn accompany(place: &Place, backgrounds: &dyn Backgrounds, owner: &str, run: Run, mut of: Background) {
    let printed = Arc::new(Printed::new(Keeps::Last, OUTPUT_BYTES));
    let mut noted = 0;
    let how = {
        let running = place.watched(&run, &printed);
        tokio::pin!(running);
        loop {
            match tokio::time::timeout(BEAT, &mut running).await {
                Ok(Ok(end)) => break ended(end, &place.limits, run.time),
                Ok(Err(why)) => break format!("it did not start: {why}"),
                Err(_) => {}
            }
            // Every process of it ends as this goes out of sight.
            if note(backgrounds, owner, &mut of, &printed, &mut noted).await {
                break "it was stopped".to_owned();
            }
        }
    };
    of.ended = how;
    note(backgrounds, owner, &mut of, &printed, &mut noted).await;
}

/// Notes how one is, and what it printed since; whether somebody wants it to stop.
async fn note(
    backgrounds: &dyn Backgrounds,
    owner: &str,
    of: &mut Background,
    printed: &Printed,
    noted: &mut u64,
) -> bool {
    of.seen_at_ms = now_ms();
    let total = printed.total();
    let output = (total > *noted).then(|| printed.text().0);
    match tokio::time::timeout(NOTING, backgrounds.note(owner, of, output.as_deref())).await {
        Ok(Ok(is_unwanted)) => {
            *noted = total;
            return is_unwanted;
        }
        Ok(Err(err)) => warn!(error = %err, "failed to note how a background process is"),
        Err(_) => warn!("the database of tools is slow; how a background process is was not noted"),
    }
    false
}

fn runs(known: &Background) -> bool {
    known.ended.is_empty() && known.seen_at_ms >= now_ms().saturating_sub(LOST_MS)
}

fn line(known: &Background) -> String {
    let seconds = |from: i64, to: i64| (to - from).max(0) / 1000;
    let state = match (runs(known), known.ended.as_str()) {
        (true, _) => format!("runs for {} s", seconds(known.started_at_ms, now_ms())),
        (false, "") => LOST.to_owned(),
        (false, how) => format!("{how}, after {} s", seconds(known.started_at_ms, known.seen_at_ms)),
    };
    format!("- `{}`: {state}. {}", known.name, cut_middle(&visible(&known.command), COMMAND_CHARS))
}

fn output(known: &Background, printed: &str, lines: u64) -> String {
    let printed = visible(printed);
    let all: Vec<&str> = printed.lines().collect();
    let from = all.len().saturating_sub(usize::try_from(lines).unwrap_or(usize::MAX));
    match all.is_empty() {
        true => format!("{}\nIt has printed nothing.", line(known)),
        false => format!("{}\n{}", line(known), all[from..].join("\n")),
    }
}
