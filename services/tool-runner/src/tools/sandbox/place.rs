//! Where code runs, and in whose folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::message::Principal;
use domain::untrusted::visible;

use super::packages::Packages;
use super::room;
use crate::registry::Ended;
use crate::sandbox::{End, Keeps, Limits, Printed, Run, Sandbox};
use crate::web::Host;

/// Where code runs, and whose folders are where.
pub(crate) struct Place {
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) limits: Limits,
    /// A folder for each person stands in it.
    pub(crate) folder: PathBuf,
    /// What code may reach.
    pub(crate) hosts: Arc<[Host]>,
    /// How long what runs in the background may take.
    pub(crate) background: Duration,
    /// Where packages come from, if some may be installed.
    pub(crate) packages: Option<Packages>,
}

impl Place {
    /// Whose something is: a name of a folder, in which no name of theirs stands.
    pub(in crate::tools) fn owner(principal: &Principal) -> String {
        let mut hasher = blake3::Hasher::new();
        for field in [&principal.tenant, &principal.user] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// A person's folder, which is made if there is none.
    pub(in crate::tools) fn of(&self, principal: &Principal) -> Result<PathBuf, String> {
        let folder = self.folder.join(Self::owner(principal));
        std::fs::create_dir_all(&folder).map_err(|err| format!("the working folder cannot be made: {err}"))?;
        Ok(folder)
    }

    /// Something to be run in a folder of somebody's.
    pub(in crate::tools) fn plan(&self, folder: &Path, command: &[&str], input: &str) -> Run {
        Run {
            command: command.iter().map(|part| (*part).to_owned()).collect(),
            input: input.to_owned(),
            folder: folder.to_owned(),
            time: self.limits.time,
            hosts: Arc::clone(&self.hosts),
        }
    }

    /// Runs something to its end: what it printed, or what went wrong, is for the model.
    pub(super) async fn run(&self, run: Run) -> Ended {
        if let Err(why) = self.has_room(&run.folder).await {
            return Ended::Failed(why);
        }
        let printed = Arc::new(Printed::new(Keeps::First, self.limits.output_bytes));
        match self.watched(&run, &printed).await {
            Ok(End::Lost) => Ended::MayHaveHappened(ended(End::Lost, &self.limits, run.time)),
            Ok(end) => told(end, &printed, &self.limits).into(),
            Err(why) => Ended::Failed(why),
        }
    }

    /// Runs something, and ends it when its folder grows too large.
    pub(in crate::tools) async fn watched(&self, run: &Run, printed: &Arc<Printed>) -> Result<End, String> {
        tokio::select! {
            ended = self.sandbox.run(run, printed) => ended,
            () = room::filled(&run.folder, self.limits.folder_bytes) => Ok(End::Filled),
        }
    }

    /// Whether a person's folder has not grown too large.
    pub(in crate::tools) async fn has_room(&self, folder: &Path) -> Result<(), String> {
        room::is_left(folder, self.limits.folder_bytes).await
    }
}

/// Does what waits for the disk where nobody else waits for it.
pub(in crate::tools) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|err| Err(format!("it was not done: {err}")))
}

/// What the model is told of a run.
fn told(end: End, printed: &Printed, limits: &Limits) -> Result<String, String> {
    let (text, is_cut) = printed.text();
    let mut text = visible(&text);
    if is_cut {
        text.push_str("\n[more was printed, and dropped]");
    }
    match end {
        End::Exited(0) if text.trim().is_empty() => Ok("It ended well, and printed nothing.".to_owned()),
        End::Exited(0) => Ok(text),
        end => Err(format!("{}:\n{text}", ended(end, limits, limits.time))),
    }
}

/// How a run ended, in words.
pub(in crate::tools) fn ended(end: End, limits: &Limits, time: Duration) -> String {
    match end {
        End::Exited(0) => "it ended well".to_owned(),
        End::Exited(status) => format!("it ended with status {status}"),
        End::Killed(9) => format!(
            "it was killed: more than {} MB of memory or {} processes, probably",
            limits.memory_bytes >> 20,
            limits.processes
        ),
        End::Killed(25) => format!("it wrote a file of more than {} MB", limits.file_bytes >> 20),
        End::Killed(signal) => format!("it was ended by signal {signal}"),
        End::Filled => format!(
            "it was ended: its folder came to hold more than {} MB or {} files, or the disk was nearly full; delete some \
             of it, with list_files and delete_file",
            limits.folder_bytes >> 20,
            room::FILES
        ),
        End::Lost => "the sandbox did not say how it ended, nor whether it has".to_owned(),
        End::TimedOut => format!("it took longer than {time:?}, and was ended"),
    }
}
