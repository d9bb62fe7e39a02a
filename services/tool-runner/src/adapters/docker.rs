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
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{
    ContainerCreateBody, ContainerSummaryStateEnum, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
};
use bollard::query_parameters::ListContainersOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, Docker};
use rustix::process::{getgid, getuid};
use service_kit::clock::now_ms;
use service_kit::task::{self, TaskKind};
use tracing::warn;

use self::container::{Container, KEEPER};
use super::egress::{self, Egress};
use crate::sandbox::{End, INSIDE, Keeps, Limits, Printed, Run, Sandbox, TMP, VARIABLES};
use crate::web::Web;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much later a container ends by itself than the runner would end it.
const LATER: Duration = Duration::from_secs(10);
/// Says of a container that it is one of ours, and until when it may run, in seconds since 1970.
const OURS: &str = "clara.sandbox.until";
/// How old one is that has not begun, or has ended, and that nobody will remove, in seconds.
const LEFT_SECONDS: i64 = 60;
/// How often is looked for such, in milliseconds.
const SWEEP_MS: i64 = 600_000;
/// How old a way out is that nobody uses any more: no run takes as long.
const WAY_OUT: Duration = Duration::from_secs(8 * 24 * 3600);

/// What a run inside must find to be true, with words for what is not.
const PROBE: &str = "\
while read -r name value; do
  case \"$name $value\" in
    CapEff:*[!0]*) case \"$value\" in *[!0]*) echo 'it has capabilities' ;; esac ;;
    Seccomp:*) [ \"$value\" = 2 ] || echo 'no filter of system calls is on' ;;
    NoNewPrivs:*) [ \"$value\" = 1 ] || echo 'it may get privileges' ;;
  esac
done < /proc/self/status
(: > /outside) 2>/dev/null && echo 'its root can be written'
for link in /sys/class/net/*; do [ \"$link\" = /sys/class/net/lo ] || echo \"it has the network $link\"; done
[ -e marker ] || echo 'it sees another folder: the daemon must see the data folder under the same path'
(: > written) 2>/dev/null || echo 'it cannot write to its folder'
echo holds";

pub(crate) struct DockerSandbox {
    docker: Docker,
    image: String,
    limits: Limits,
    web: Web,
    /// What the daemon sees under the same path.
    folder: PathBuf,
    /// When was looked for what is left.
    swept_ms: AtomicI64,
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
        let folder = std::path::absolute(folder).map_err(|err| err.to_string())?;
        let unwritable = |err: std::io::Error| format!("{}: {err}", folder.display());
        let tried = folder.join(format!("docker-probe-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&tried).map_err(unwritable)?;
        std::fs::write(tried.join("marker"), "").map_err(unwritable)?;
        let sandbox = Self { docker, image, limits, web, folder: folder.clone(), swept_ms: AtomicI64::new(0) };
        let run = Run {
            command: vec!["/bin/sh".into(), "-c".into(), PROBE.into()],
            input: String::new(),
            folder: tried.clone(),
            time: PATIENCE,
            hosts: Arc::default(),
        };
        let printed = Arc::new(Printed::new(Keeps::First, limits.output_bytes));
        // A way out can stand there too.
        drop(Egress::open(&folder, &sandbox.web, &run.hosts, &printed)?);
        let ended = sandbox.run(&run, &printed).await;
        let _ = std::fs::remove_dir_all(&tried);
        match (ended?, printed.text().0.trim()) {
            (End::Exited(0), "holds") => Ok(sandbox),
            (end, said) => Err(format!("it was tried, and did not hold: {said} ({end:?})")),
        }
    }

    /// Removes what was left by runners that died, in the background.
    fn remove_left(&self) {
        let now = now_ms();
        let swept = self.swept_ms.load(Ordering::Relaxed);
        let is_due = now - swept >= SWEEP_MS;
        if !is_due || self.swept_ms.compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let (docker, folder) = (self.docker.clone(), self.folder.clone());
        task::spawn(TaskKind::Work, "remove-left-containers", async move {
            egress::remove_older_than(&folder, WAY_OUT);
            let ours = HashMap::from([("label", vec![OURS])]);
            let options = ListContainersOptionsBuilder::default().all(true).filters(&ours).build();
            let known = match docker.list_containers(Some(options)).await {
                Ok(known) => known,
                Err(err) => return warn!(error = %err, "failed to look for containers that were left"),
            };
            for left in known {
                let is_old = left.created.is_none_or(|created| now / 1000 - created > LEFT_SECONDS);
                let is_running = left.state == Some(ContainerSummaryStateEnum::RUNNING);
                let until = left.labels.as_ref().and_then(|labels| labels.get(OURS)?.parse::<i64>().ok());
                let is_over = until.is_none_or(|until| until < now / 1000);
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
        let mut env: Vec<String> = VARIABLES.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut command: Vec<String> = KEEPER.iter().map(|part| (*part).to_owned()).collect();
        command.push((run.time + LATER).as_secs().to_string());
        if let Some(egress) = egress {
            mounts.push(bind(text(&egress.socket)?, egress::INSIDE));
            env.extend(egress::VARIABLES.iter().map(|name| format!("{name}={}", egress::PROXY)));
            command.extend(egress::BRIDGE.map(str::to_owned));
        }
        command.extend(run.command.iter().cloned());
        let Limits { memory_bytes, processes, file_bytes, .. } = self.limits;
        let host = HostConfig {
            network_mode: Some("none".to_owned()),
            memory: Some(number(memory_bytes)),
            memory_swap: Some(number(memory_bytes)),
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
        let until = now_ms() / 1000 + number((run.time + LATER * 2).as_secs());
        Ok(ContainerCreateBody {
            image: Some(self.image.clone()),
            hostname: Some("sandbox".to_owned()),
            user: Some(format!("{}:{}", getuid().as_raw(), getgid().as_raw())),
            working_dir: Some(INSIDE.to_owned()),
            env: Some(env),
            entrypoint: Some(command),
            cmd: Some(Vec::new()),
            labels: Some(HashMap::from([(OURS.to_owned(), until.to_string())])),
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
        let egress = match run.hosts.is_empty() {
            true => None,
            false => Some(Egress::open(&self.folder, &self.web, &run.hosts, printed)?),
        };
        let body = self.body(run, egress.as_ref())?;
        let created = tokio::time::timeout(PATIENCE, Container::create(&self.docker, body)).await;
        let created = created.map_err(|_| "Docker made no container in time".to_owned())?;
        let mut container = created.map_err(|why| format!("Docker made no container: {why}"))?;
        let running = async {
            container.start(run.input.as_bytes()).await?;
            container.ended(printed).await
        };
        let ended = tokio::time::timeout(run.time, running).await;
        drop(container);
        Ok(match ended {
            // A shell's way of telling that a program ended by a signal, and the keeper's.
            Ok(Ok(code @ 129..=192)) => End::Killed(i32::try_from(code - 128).unwrap_or(0)),
            Ok(Ok(code)) => End::Exited(i32::try_from(code).unwrap_or(-1)),
            Ok(Err(err)) => {
                // It may have begun, and may even have ended well.
                warn!(error = %err, "failed to hear how a run in a container ended");
                End::Lost
            }
            Err(_) => End::TimedOut,
        })
    }
}
