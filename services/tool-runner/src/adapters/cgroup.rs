//! Limits on all processes of a run together, by control groups of the kernel: the second
//! version where this process may make some, else the first one's for memory and processes.
//!
//! (<https://docs.kernel.org/admin-guide/cgroup-v2.html>)

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Pid;

use crate::sandbox::Limits;

/// Where groups can be made, each with the names of its files.
#[derive(Debug)]
pub(super) struct Cgroups {
    parents: Vec<(PathBuf, &'static [Setting])>,
    left: Left,
}

/// Groups whose processes were still ending when they should go; they go with the next one.
type Left = Arc<Mutex<Vec<PathBuf>>>;

/// A file of a group, and what is written to it.
type Setting = (&'static str, fn(&Limits) -> String);

const UNIFIED: &[Setting] = &[
    ("memory.max", |limits| limits.memory_bytes.to_string()),
    ("memory.swap.max", |_| "0".to_owned()),
    ("pids.max", |limits| limits.processes.to_string()),
    ("cpu.max", |limits| format!("{} {PERIOD}", quota(limits))),
];
const MEMORY: &[Setting] = &[("memory.limit_in_bytes", |limits| limits.memory_bytes.to_string())];
const PROCESSES: &[Setting] = &[("pids.max", |limits| limits.processes.to_string())];
const PROCESSOR: &[Setting] = &[("cpu.cfs_quota_us", |limits| quota(limits).to_string())];

/// What not every kernel has, or gives to whoever may make groups: what is swapped is counted,
/// and processors are shared out.
const OPTIONAL: &[&str] = &["memory.swap.max", "cpu.max", "cpu.cfs_quota_us"];
/// In which time processors are shared out, in microseconds: the kernel's own.
const PERIOD: u64 = 100_000;

fn quota(limits: &Limits) -> u64 {
    limits.cpu_percent * PERIOD / 100
}

/// A group of one run, removed when it is dropped.
pub(super) struct Cgroup {
    folders: Vec<PathBuf>,
    left: Left,
}

impl Cgroups {
    /// Finds where groups can be made; the error says why there are none.
    pub(super) fn probe() -> Result<Self, String> {
        Self::probe_under(Path::new("/sys/fs/cgroup"))
    }

    fn probe_under(root: &Path) -> Result<Self, String> {
        let unified = match std::fs::read_to_string(root.join("cgroup.controllers")) {
            Ok(controllers) => {
                let has = |name: &str| controllers.split_whitespace().any(|known| known == name);
                has("memory") && has("pids")
            }
            Err(_) => false,
        };
        let wanted: Vec<(PathBuf, &'static [Setting])> = match unified {
            true => vec![(own(root)?, UNIFIED)],
            false => {
                let own = format!("clara-{}-processor", std::process::id());
                let can_be_made = |(folder, _): &(PathBuf, _)| {
                    let tried = folder.join(&own);
                    std::fs::create_dir(&tried).and_then(|()| std::fs::remove_dir(&tried)).is_ok()
                };
                let processor = Some((root.join("cpu"), PROCESSOR)).filter(can_be_made);
                [(root.join("memory"), MEMORY), (root.join("pids"), PROCESSES)].into_iter().chain(processor).collect()
            }
        };
        let cgroups = Self { parents: wanted, left: Left::default() };
        cgroups.parents.iter().for_each(|(parent, _)| remove_of_the_dead(parent));
        // Whether it works is known when it was done.
        let limits = Limits {
            time: std::time::Duration::ZERO,
            memory_bytes: 1 << 26,
            processes: 16,
            cpu_percent: 100,
            file_bytes: 0,
            output_bytes: 0,
            folder_bytes: 0,
        };
        cgroups.make("probe", &limits)?;
        Ok(cgroups)
    }

    /// A group of this name with these limits.
    pub(super) fn make(&self, name: &str, limits: &Limits) -> Result<Cgroup, String> {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let mut made = Cgroup { folders: Vec::new(), left: Arc::clone(&self.left) };
        left.into_iter().for_each(|folder| made.remove(folder));
        for (parent, settings) in &self.parents {
            let folder = parent.join(format!("clara-{}-{name}", std::process::id()));
            let failed = |what: &Path, err: std::io::Error| format!("{}: {err}", what.display());
            std::fs::create_dir(&folder).map_err(|err| failed(&folder, err))?;
            made.folders.push(folder.clone());
            for (file, value) in *settings {
                let file = folder.join(file);
                let is_optional = OPTIONAL.iter().any(|optional| file.ends_with(optional));
                if is_optional && !file.exists() {
                    continue;
                }
                match std::fs::write(&file, value(limits)) {
                    // A group above may have less than this.
                    Err(_) if is_optional => {}
                    written => written.map_err(|err| failed(&file, err))?,
                }
            }
        }
        Ok(made)
    }
}

/// Removes the empty groups of runners that have ended without doing so.
fn remove_of_the_dead(parent: &Path) {
    for folder in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = folder.file_name();
        let runner = name.to_str().and_then(|name| name.strip_prefix("clara-")?.split_once('-'));
        if runner.is_some_and(|(runner, _)| !Path::new("/proc").join(runner).exists()) {
            let _ = std::fs::remove_dir(folder.path());
        }
    }
}

/// The group of this process in the unified hierarchy, in which it makes others.
fn own(root: &Path) -> Result<PathBuf, String> {
    let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|err| format!("/proc/self/cgroup: {err}"))?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("this process is in no group")?;
    Ok(root.join(own))
}

impl Cgroup {
    /// Takes a process in; those that it starts are in it too.
    pub(super) fn take(&self, process: Pid) -> Result<(), String> {
        for folder in &self.folders {
            let file = folder.join("cgroup.procs");
            std::fs::write(&file, process.as_raw_nonzero().to_string())
                .map_err(|err| format!("{}: {err}", file.display()))?;
        }
        Ok(())
    }

    /// Whether none of its kind waits to be removed.
    #[cfg(test)]
    pub(super) fn is_alone(&self) -> bool {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn remove(&self, folder: PathBuf) {
        if std::fs::remove_dir(&folder).is_err() && folder.exists() {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        std::mem::take(&mut self.folders).into_iter().for_each(|folder| self.remove(folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_group_can_be_made_it_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let why = Cgroups::probe_under(folder.path()).unwrap_err();
        assert!(why.contains("memory"), "{why}");
    }
}
