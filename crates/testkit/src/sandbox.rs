//! A whole Clara on a real nats-server: every service a process, in replicas.

use std::collections::BTreeMap;
use std::path::Path;

use bus::{Bus, Login, Server};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::eventually;
use crate::nats::Nats;
use crate::process::{Process, command};
use crate::terminal::Terminal;

pub const SERVICES: [&str; 6] = ["memory", "tool-runner", "orchestrator", "processor", "router", "adapter-cli"];

pub struct Sandbox {
    processes: BTreeMap<String, Process>,
    settings: BTreeMap<String, String>,
    services: Vec<&'static str>,
    pub nats: Nats,
    folder: TempDir,
    /// Processes started so far: each has a log of its own.
    starts: usize,
}

/// What a sandbox is started with.
pub struct Plan {
    services: Vec<&'static str>,
    replicas: usize,
    server: Option<String>,
    settings: BTreeMap<String, String>,
}

impl Default for Plan {
    fn default() -> Self {
        // A fake model is asked what its test expects, and nothing in the background.
        let settings = [
            ("CLARA_OFFLINE_WORD_MS", "0"),
            ("CLARA_LEARNING", "rules"),
            ("CLARA_LOG", "info,async_nats=warn,genai=off"),
        ];
        Self {
            services: SERVICES.to_vec(),
            replicas: 1,
            server: None,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }
}

impl Plan {
    /// These services alone.
    pub fn only(mut self, services: &[&'static str]) -> Self {
        self.services = services.to_vec();
        self
    }

    /// Replicas of every service.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// The nats-server's configuration; `{store}` is its store.
    pub fn server(mut self, configuration: &str) -> Self {
        self.server = Some(configuration.to_owned());
        self
    }

    /// A setting that every service gets.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Several settings, such as those of a fake model.
    pub fn with<'a>(self, settings: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        settings.into_iter().fold(self, |plan, (name, value)| plan.set(name, value))
    }

    pub async fn start(self) -> Sandbox {
        let mut sandbox = Sandbox {
            processes: BTreeMap::new(),
            settings: self.settings,
            services: self.services.clone(),
            nats: self.server.as_deref().map_or_else(Nats::start, Nats::start_with),
            folder: tempfile::tempdir().unwrap(),
            starts: 0,
        };
        for replica in 0..self.replicas {
            for service in &self.services {
                sandbox.start_service(service, replica);
            }
        }
        sandbox.ready(self.replicas).await;
        sandbox
    }
}

impl Sandbox {
    pub async fn start() -> Self {
        Plan::default().start().await
    }

    pub fn plan() -> Plan {
        Plan::default()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn start_service(&mut self, service: &str, replica: usize) {
        self.start_service_with(service, replica, &[]);
    }

    /// The same, with settings that this replica alone gets.
    pub fn start_service_with(&mut self, service: &str, replica: usize, settings: &[(&str, String)]) {
        let name = format!("{service}-{replica}");
        let mut command = command(service, self.folder.path());
        command
            .env("NATS_URL", self.nats.url())
            .env("CLARA_DATA_DIR", self.folder.path().join("data"))
            .envs(&self.settings)
            .envs(settings.iter().map(|(name, value)| (name, value)));
        self.starts += 1;
        let log = self.folder.path().join(format!("{name}.{}.log", self.starts));
        self.processes.insert(name.clone(), Process::start(&name, command, log));
    }

    /// Waits until every service has announced itself so many times.
    pub async fn ready(&self, replicas: usize) {
        let bus = self.bus().await;
        eventually("every service is ready", async || {
            let found = bus.services(std::time::Duration::from_millis(150)).await.unwrap();
            let count = |name: &str| found.iter().filter(|service| service.name == name).count();
            let endpoints = [
                ("adapter-cli", "cli-say"),
                ("memory", "memory-recall"),
                ("memory", "memory-facts"),
                ("memory", "memory-passages"),
                ("memory", "memory-sessions"),
                ("tool-runner", "tools-list"),
            ];
            let endpoints = endpoints.into_iter().filter(|(service, _)| self.services.contains(service));
            let names = self.services.iter().copied().chain(endpoints.map(|(_, endpoint)| endpoint));
            names.into_iter().all(|name| count(name) >= replicas).then_some(())
        })
        .await;
    }

    /// How many replicas of a service run now.
    pub fn running(&mut self, service: &str) -> usize {
        let prefix = format!("{service}-");
        self.processes
            .iter_mut()
            .filter_map(|(name, process)| name.strip_prefix(&prefix)?.parse::<usize>().ok().map(|_| process))
            .filter_map(|process| process.is_running().then_some(()))
            .count()
    }

    /// What every process that was started has logged, by name of the log.
    pub fn logs(&self) -> Vec<(String, String)> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|extension| extension == "log"));
        logs.map(|file| {
            (file.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&file).unwrap())
        })
        .collect()
    }

    pub fn service(&mut self, service: &str, replica: usize) -> &mut Process {
        self.processes.get_mut(&format!("{service}-{replica}")).unwrap()
    }

    /// Kills a replica, as a crash would.
    pub fn kill(&mut self, service: &str, replica: usize) {
        self.service(service, replica).kill();
    }

    /// Asks a replica to stop.
    pub fn terminate(&mut self, service: &str, replica: usize) {
        self.service(service, replica).signal(Signal::TERM);
    }

    pub fn server(&self) -> Server {
        Server { url: self.nats.url(), login: Login::Anonymous, replicas: 1, wait: std::time::Duration::from_secs(20) }
    }

    pub async fn bus(&self) -> Bus {
        Bus::connect(&self.server(), &format!("test-{}", uuid::Uuid::now_v7().simple())).await.unwrap()
    }

    /// A person at a terminal, in a conversation of this name.
    pub async fn terminal(&self, conversation: &str) -> Terminal {
        Terminal::open(self.bus().await, "cli-user", conversation).await
    }
}
