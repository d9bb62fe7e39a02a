//! The sandbox by Docker: a container for each run, without network, without capabilities,
//! with a root that cannot be written, and Docker's own filter on system calls
//! (<https://docs.docker.com/engine/security/seccomp/>).
//!
//! The container has the runner's user, whose is the folder. It ends with its run, and with the
//! runner that runs it.

mod container; // One container, from its beginning to its end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bollard::models::{
    ContainerCreateBody, ContainerSummaryStateEnum, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
};
use bollard::query_parameters::ListContainersOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, Docker};
use rustix::process::{getgid, getuid};
use tracing::warn;

use self::container::Container;
use super::containers::{self, LEFT_SECONDS, PATIENCE, Sweeps, Trial};
use super::egress::{self, Egress};
use crate::sandbox::{End, INSIDE, Limits, Printed, Run, Sandbox, TMP};
use crate::web::Web;

/// Says of a container that it is one of ours, and until when it may run, in seconds since 1970.
const OURS: &str = "clara.sandbox.until";

pub(crate) struct DockerSandbox {
    docker: Docker,
    image: String,
    limits: Limits,
    /// The limit on processors that the daemon knows, if it knows one.
    cpu_percent: Option<u64>,
    web: Web,
    /// What the daemon sees under the same path.
    folder: PathBuf,
    sweeps: Sweeps,
}

impl DockerSandbox {
    /// Finds out whether it holds here, by trying; the error says why it does not. `host` is
    /// the daemon's socket, as `DOCKER_HOST` has it.
    pub(crate) async fn probe(
        host: &str,
        image: String,
        folder: PathBuf,
        limits: Limits,
        web: Web,
    ) -> Result<Self, String> {
        let failed = |err: bollard::errors::Error| format!("the Docker daemon at {host} does not answer: {err}");
        if !host.starts_with("unix://") {
            return Err(format!("DOCKER_HOST={host}: it must be on this machine, as unix:///var/run/docker.sock"));
        }
        let docker = Docker::connect_with_unix(host, PATIENCE.as_secs(), API_DEFAULT_VERSION).map_err(failed)?;
        let docker = docker.negotiate_version().await.map_err(failed)?;
        if docker.inspect_image(&image).await.is_err() {
            return Err(format!("its image {image} is not there: `docker pull {image}` fetches it"));
        }
        // Not every daemon shares processors out, and none has more than there are.
        let about = docker.info().await.map_err(failed)?;
        let processors = about.ncpu.and_then(|count| u64::try_from(count).ok()).unwrap_or(1);
        let cpu_percent = about.cpu_cfs_quota.unwrap_or(false).then_some(limits.cpu_percent.min(processors * 100));
        let folder = std::path::absolute(folder).map_err(|err| err.to_string())?;
        let trial = Trial::prepare(&folder)?;
        let sandbox = Self { docker, image, limits, cpu_percent, web, folder, sweeps: Sweeps::default() };
        trial.holds(&sandbox).await?;
        Ok(sandbox)
    }

    /// Removes what was left by runners that died, in the background.
    fn remove_left(&self) {
        let docker = self.docker.clone();
        self.sweeps.sweep(&self.folder, |now| async move {
            let ours = HashMap::from([("label", vec![OURS])]);
            let options = ListContainersOptionsBuilder::default().all(true).filters(&ours).build();
            let known = match docker.list_containers(Some(options)).await {
                Ok(known) => known,
                Err(err) => return warn!(error = %err, "failed to look for containers that were left"),
            };
            for left in known {
                let is_old = left.created.is_none_or(|created| now - created > LEFT_SECONDS);
                let is_running = left.state == Some(ContainerSummaryStateEnum::RUNNING);
                let until = left.labels.as_ref().and_then(|labels| labels.get(OURS)?.parse::<i64>().ok());
                let is_over = until.is_none_or(|until| until < now);
                if let Some(id) = left.id.filter(|_| is_old && (is_over || !is_running)) {
                    container::remove(&docker, &id).await;
                }
            }
        });
    }

    fn body(&self, run: &Run, egress: Option<&Egress>) -> Result<ContainerCreateBody, String> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let text = |path: &std::path::Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| format!("{} is no text", path.display()))
        };
        let bind = |source: String, target: &str| Mount {
            source: Some(source),
            target: Some(target.to_owned()),
            typ: Some(MountType::BIND),
            ..Mount::default()
        };
        let ulimit = |name: &str, value: u64| ResourcesUlimits {
            name: Some(name.to_owned()),
            soft: Some(number(value)),
            hard: Some(number(value)),
        };
        let mut mounts = vec![bind(text(&std::path::absolute(&run.folder).map_err(|err| err.to_string())?)?, INSIDE)];
        if let Some(egress) = egress {
            mounts.push(bind(text(&egress.socket)?, egress::INSIDE));
        }
        let Limits { memory_bytes, processes, file_bytes, .. } = self.limits;
        let host = HostConfig {
            network_mode: Some("none".to_owned()),
            memory: Some(number(memory_bytes)),
            memory_swap: Some(number(memory_bytes)),
            nano_cpus: self.cpu_percent.map(|percent| number(percent * 10_000_000)),
            pids_limit: Some(number(processes)),
            ulimits: Some(vec![ulimit("fsize", file_bytes), ulimit("core", 0)]),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), format!("rw,nosuid,nodev,size={TMP}"))])),
            mounts: Some(mounts),
            // What it prints is read here, and written nowhere else.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        };
        Ok(ContainerCreateBody {
            image: Some(self.image.clone()),
            hostname: Some("sandbox".to_owned()),
            user: Some(format!("{}:{}", getuid().as_raw(), getgid().as_raw())),
            working_dir: Some(INSIDE.to_owned()),
            env: Some(containers::environment(egress).map(|(name, value)| format!("{name}={value}")).collect()),
            entrypoint: Some(containers::command(run, egress)),
            cmd: Some(Vec::new()),
            labels: Some(HashMap::from([(OURS.to_owned(), containers::until(run).to_string())])),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        })
    }
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn run(&self, run: &Run, printed: &Arc<Printed>) -> Result<End, String> {
        self.remove_left();
        let egress = Egress::of(run, &self.folder, &self.web, printed)?;
        let body = self.body(run, egress.as_ref())?;
        let created = tokio::time::timeout(PATIENCE, Container::create(&self.docker, body)).await;
        let created = created.map_err(|_| "Docker made no container in time".to_owned())?;
        let mut container = created.map_err(|why| format!("Docker made no container: {why}"))?;
        let running = async {
            container.start(&containers::input(run)).await?;
            container.ended(printed).await
        };
        let ended = tokio::time::timeout(run.time, running).await;
        drop(container);
        Ok(containers::end(ended))
    }
}
