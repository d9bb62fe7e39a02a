//! Keeps what configuration files declare, and starts servers anew whose own files change:
//! looks every few seconds. Files and folders are the operator's, who has agreed to what
//! stands in them by putting it there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::mcp::Launch;
use service_kit::task::{self, TaskKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::declared::{Declared, declared};
use super::files::{Read, Watched, mark};
use super::installing::Over;
use super::{Plugins, Servers};
use crate::ports::{Installed, Key};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The pause before a server is tried again that did not start; doubles up to the longest.
const PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Looks after which a server is removed that no file declares.
const LOOKS: u32 = 2;
/// Before the path of the file that declares a server.
pub(super) const MARK: &str = "file:";

#[derive(Default)]
struct Known {
    /// Why the files could not be looked at, as it was told last.
    unreadable: String,
    /// What is wrong with each file, as it was told last.
    told: BTreeMap<PathBuf, Vec<String>>,
    /// Servers that did not start: when they are tried again, and after which pause.
    resting: HashMap<String, (Launch, Instant, Duration)>,
    /// Those that are being installed: one that hangs holds nothing else up.
    installing: HashMap<String, Installing>,
    /// How often in a row a server was declared by no file.
    missing: HashMap<String, u32>,
    /// Which file declared a server last: it need not be the one that did first.
    sources: HashMap<String, String>,
    /// How the files of a server were when they were looked at last.
    marks: HashMap<Key, String>,
    /// Those that are being started anew.
    restarting: HashMap<Key, AbortOnDropHandle<()>>,
}

struct Installing {
    launch: Launch,
    work: AbortOnDropHandle<Result<(), String>>,
}

impl Plugins {
    /// Looks until it is told to stop.
    pub(crate) async fn watch(self: &Arc<Self>, watched: &Watched, stop: &CancellationToken) {
        let mut known = Known::default();
        loop {
            if stop.run_until_cancelled(self.look_at_files(watched, &mut known)).await.is_none() {
                return;
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return;
            }
        }
    }

    async fn look_at_files(self: &Arc<Self>, watched: &Watched, known: &mut Known) {
        self.hear_of_installs(known).await;
        let places = watched.clone();
        match tokio::task::spawn_blocking(move || places.read()).await.unwrap_or_else(|err| Err(err.to_string())) {
            Ok(read) => {
                known.unreadable.clear();
                self.keep_what(watched, read, known).await;
            }
            // What is declared is not known, so all stays as it is.
            Err(why) if why == known.unreadable => {}
            Err(why) => {
                warn!(why, "the configuration files of MCP servers cannot be looked at");
                known.unreadable = why;
            }
        }
        self.start_what_changed(known).await;
    }

    async fn keep_what(self: &Arc<Self>, watched: &Watched, read: Vec<(PathBuf, Read)>, known: &mut Known) {
        let installed = match self.installations.of("").await {
            Ok(installed) => installed,
            Err(err) => {
                warn!(error = %err, "failed to read which servers are installed");
                return;
            }
        };
        self.keep(watched, read, &installed, known).await;
    }

    /// Makes the installed servers those that the files declare, as far as files declared
    /// them; what people have installed stays.
    async fn keep(
        self: &Arc<Self>,
        watched: &Watched,
        read: Vec<(PathBuf, Read)>,
        installed: &[Installed],
        known: &mut Known,
    ) {
        known.told.retain(|path, _| read.iter().any(|(known, _)| known == path));
        let mut wanted: BTreeMap<String, (String, Declared)> = BTreeMap::new();
        // A file with a fault in it takes nothing away.
        let mut faulty = BTreeSet::new();
        for (path, text) in read {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let (servers, faults) = match text {
                Ok(text) => declared(stem, &text),
                Err(why) => (Vec::new(), vec![why]),
            };
            let source = format!("{MARK}{}", path.display());
            if !faults.is_empty() {
                faulty.insert(source.clone());
            }
            if known.told.get(&path).is_none_or(|told| *told != faults) {
                for why in &faults {
                    warn!(file = %path.display(), why, "a configuration file declares a server that cannot be used");
                }
                known.told.insert(path.clone(), faults);
            }
            for server in servers {
                wanted.entry(server.name.clone()).or_insert_with(|| (source.clone(), server));
            }
        }
        known.sources.extend(wanted.iter().map(|(name, (source, _))| (name.clone(), source.clone())));
        known.resting.retain(|name, _| wanted.contains_key(name));
        for there in installed.iter().filter(|there| there.source.starts_with(MARK)) {
            let is_wanted = wanted.get(&there.key.name);
            match is_wanted {
                Some((_, server)) if server.launch == there.launch => {
                    known.missing.remove(&there.key.name);
                    if server.is_enabled != there.is_enabled {
                        self.allow(&there.key, server.is_enabled).await;
                    }
                }
                // Which file declared it last is not known after a start: then any may be the one.
                None if known.sources.get(&there.key.name).map_or(!faulty.is_empty(), |of| faulty.contains(of)) => {}
                // Its folder is away, as a volume that is not mounted is: that takes nothing away either.
                None if watched.is_away(there.source.strip_prefix(MARK).unwrap_or_default()) => {}
                // It says something else now, which takes its place when that has started.
                Some((_, server)) => {
                    known.missing.remove(&there.key.name);
                    if there.is_enabled && !server.is_enabled {
                        self.allow(&there.key, false).await;
                    }
                }
                // A file that is written anew may be away for a moment.
                None if *missing(known, &there.key.name) < LOOKS => *missing(known, &there.key.name) += 1,
                None => {
                    known.missing.remove(&there.key.name);
                    known.sources.remove(&there.key.name);
                    match self.remove(&there.key).await {
                        Ok(()) => info!(server = there.key.name, "removed a server that no file declares any more"),
                        Err(why) => warn!(why, "failed to remove a server that no file declares any more"),
                    }
                }
            }
        }
        for (name, (source, server)) in wanted {
            let there = installed.iter().find(|there| there.key.name == name);
            // What people have installed under this name stays.
            let is_there = there.is_some_and(|there| !there.source.starts_with(MARK) || there.launch == server.launch);
            if !is_there {
                self.add(source, server, known).await;
            }
        }
    }

    async fn allow(&self, key: &Key, is_enabled: bool) {
        if let Err(err) = self.installations.enable(key, is_enabled).await {
            warn!(error = %err, "failed to enable or disable a server");
        }
        if !is_enabled {
            self.servers.end(key);
        }
    }

    /// Begins to install a server, in place of what the files said before, unless it is being
    /// installed, rests, or is not wanted yet.
    async fn add(self: &Arc<Self>, source: String, server: Declared, known: &mut Known) {
        let last = known.resting.get(&server.name).filter(|(launch, ..)| *launch == server.launch);
        let rests = last.is_some_and(|(_, until, _)| *until > Instant::now());
        let is_begun = known.installing.get(&server.name).is_some_and(|begun| begun.launch == server.launch);
        if !server.is_enabled || rests || is_begun {
            return;
        }
        let key = Key { owner: String::new(), name: server.name.clone() };
        let (plugins, launch) = (Arc::clone(self), server.launch.clone());
        let work = task::spawn(TaskKind::Work, "install-declared-server", async move {
            plugins.install("", key, source, launch, Over::Declared).await.map(|_| ())
        });
        let begun = Installing { launch: server.launch, work: AbortOnDropHandle::new(work) };
        known.installing.insert(server.name, begun);
    }

    /// What became of those that were being installed.
    async fn hear_of_installs(&self, known: &mut Known) {
        let done = known.installing.iter().filter(|(_, begun)| begun.work.is_finished()).map(|(name, _)| name.clone());
        for name in done.collect::<Vec<_>>() {
            let Some(Installing { launch, work }) = known.installing.remove(&name) else { continue };
            match work.await.unwrap_or_else(|err| Err(err.to_string())) {
                Ok(()) => {
                    info!(server = name, "installed a server that a file declares");
                    known.resting.remove(&name);
                }
                Err(why) => {
                    let last = known.resting.get(&name).filter(|(of, ..)| *of == launch).map(|(.., pause)| *pause);
                    let pause = last.map_or(PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
                    warn!(server = name, why, "a server that a file declares cannot be used");
                    known.resting.insert(name, (launch, Instant::now() + pause, pause));
                }
            }
        }
    }

    /// Starts those anew whose files changed, if somebody wants that of them.
    async fn start_what_changed(&self, known: &mut Known) {
        let all = match self.installations.reloaded().await {
            Ok(all) => all,
            Err(err) => {
                warn!(error = %err, "failed to read which servers are started anew when they change");
                return;
            }
        };
        known.marks.retain(|key, _| all.iter().any(|there| there.key == *key));
        known.restarting.retain(|_, restart| !restart.is_finished());
        for there in all.into_iter().filter(|there| there.is_enabled) {
            // One that starts has its files looked at again when it has.
            if known.restarting.contains_key(&there.key) {
                continue;
            }
            let Some(path) = path_of(&there) else { continue };
            let Ok(Some(now)) = tokio::task::spawn_blocking(move || mark(&path)).await else { continue };
            let before = known.marks.insert(there.key.clone(), now.clone());
            if before.is_some_and(|before| before != now) {
                info!(server = there.key.name, "the files of a server changed: it starts anew");
                let (key, servers) = (there.key.clone(), self.servers.clone());
                let work = task::spawn(TaskKind::Work, "restart-changed-server", restart(servers, there));
                known.restarting.insert(key, AbortOnDropHandle::new(work));
            }
        }
    }
}

/// How often in a row a server was declared by no file.
fn missing<'a>(known: &'a mut Known, name: &str) -> &'a mut u32 {
    known.missing.entry(name.to_owned()).or_default()
}

async fn restart(servers: Servers, there: Installed) {
    servers.end(&there.key);
    if let Err(why) = servers.connect(&there).await {
        warn!(server = there.key.name, why, "a server whose files changed did not start");
    }
}

/// Where a server's own files are, if they are here.
pub(super) fn path_of(there: &Installed) -> Option<PathBuf> {
    let Launch::Stdio { .. } = there.launch else { return None };
    Some(PathBuf::from(&there.source)).filter(|path| path.is_absolute())
}
