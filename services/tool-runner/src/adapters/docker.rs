//! The sandbox by Docker: a container for each run, without network, without capabilities,
//! with a root that cannot be written, and Docker's own filter on system calls
//! (<https://docs.docker.com/engine/security/seccomp/>).
//!
//! The container has the runner's user, whose is the folder. It ends with its run; when the
//! runner dies, by its own limit of time, and the next runner removes it.

mod container; // One container, from its beginning to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits};
use bollard::query_parameters::ListContainersOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, Docker};
use rustix::process::{getgid, getuid};
use service_kit::clock::now_ms;
use tracing::warn;

use self::container::Container;
use super::egress::{self, Egress};
use crate::sandbox::{End, INSIDE, Keeps, Limits, Printed, Run, Sandbox, TMP, VARIABLES};
use crate::web::Web;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much later a container ends by itself than the runner would end it.
const LATER: Duration = Duration::from_secs(10);
/// Says until when a container of ours may run, in seconds since 1970.
const UNTIL: &str = "clara.sandbox.until";

/// What a run inside must find to be true, with words for what is not.
const PROBE: &str = "\
while read -r name value; do
  case \"$name\" in CapEff:) case \"$value\" in *[!0]*) echo 'it has capabilities' ;; esac ;; esac
done < /proc/self/status
(: > /outside) 2>/dev/null && echo 'its root can be written'
for link in /sys/class/net/*; do [ \"$link\" = /sys/class/net/lo ] || echo \"it has the network $link\"; done
[ -e marker ] || echo 'it sees another folder: the daemon must see the data folder under the same path'
python3 -c 'print(6 * 7)' || echo 'its image has no python3'
timeout -s KILL 5 true || echo 'its image has no timeout'";

pub(crate) struct DockerSandbox {
    docker: Docker,
    image: String,
    limits: Limits,
    web: Web,
}

impl DockerSandbox {
    /// Finds out whether it holds here, by trying; the error says why it does not. `host` is
    /// the daemon's socket, as `DOCKER_HOST` has it.
    pub(crate) async fn probe(host: &str, image: String, limits: Limits, web: Web) -> Result<Self, String> {
        let failed = |err: bollard::errors::Error| format!("the Docker daemon at {host} does not answer: {err}");
        if !host.starts_with("unix://") {
            return Err(format!("DOCKER_HOST={host}: it must be on this machine, as unix:///var/run/docker.sock"));
        }
        let docker = Docker::connect_with_unix(host, PATIENCE.as_secs(), API_DEFAULT_VERSION).map_err(failed)?;
        let docker = docker.negotiate_version().await.map_err(failed)?;
        if docker.inspect_image(&image).await.is_err() {
            return Err(format!("its image {image} is not there: `docker pull {image}` fetches it"));
        }
        let sandbox = Self { docker, image, limits, web };
        sandbox.remove_left().await.map_err(failed)?;
        let folder = tempfile_folder()?;
        std::fs::write(folder.join("marker"), "").map_err(|err| err.to_string())?;
        let run = Run {
            command: vec!["/bin/sh".into(), "-c".into(), PROBE.into()],
            input: String::new(),
            folder: folder.clone(),
            time: PATIENCE,
            hosts: Arc::default(),
        };
        let printed = Arc::new(Printed::new(Keeps::First, limits.output_bytes));
        let tried = sandbox.run(&run, &printed).await;
        let _ = std::fs::remove_dir_all(&folder);
        match (tried?, printed.text().0.trim()) {
            (End::Exited(0), "42") => Ok(sandbox),
            (end, said) => Err(format!("it was tried, and did not hold: {said} ({end:?})")),
        }
    }

    /// Removes what runners that died have left, once its time is up.
    async fn remove_left(&self) -> Result<(), bollard::errors::Error> {
        let ours = HashMap::from([("label", vec![UNTIL])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&ours).build();
        let now = now_ms() / 1000;
        for left in self.docker.list_containers(Some(options)).await? {
            let until = left.labels.as_ref().and_then(|labels| labels.get(UNTIL)?.parse::<i64>().ok());
            if let Some(id) = left.id.filter(|_| until.is_none_or(|until| until < now)) {
                container::remove(&self.docker, &id).await;
            }
        }
        Ok(())
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
        // When nobody ends it any more, it ends by itself.
        let seconds = (run.time + LATER).as_secs();
        let mut command = ["timeout".to_owned(), "-s".to_owned(), "KILL".to_owned(), seconds.to_string()].to_vec();
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
        let until = now_ms() / 1000 + number(seconds) + number(LATER.as_secs());
        Ok(ContainerCreateBody {
            image: Some(self.image.clone()),
            hostname: Some("sandbox".to_owned()),
            user: Some(format!("{}:{}", getuid().as_raw(), getgid().as_raw())),
            working_dir: Some(INSIDE.to_owned()),
            env: Some(env),
            entrypoint: Some(command),
            cmd: Some(Vec::new()),
            labels: Some(HashMap::from([(UNTIL.to_owned(), until.to_string())])),
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

/// A folder of nobody else's, to try with.
fn tempfile_folder() -> Result<std::path::PathBuf, String> {
    let folder = std::env::temp_dir().join(format!("clara-docker-probe-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|err| format!("{}: {err}", folder.display()))?;
    Ok(folder)
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn run(&self, run: &Run, printed: &Arc<Printed>) -> Result<End, String> {
        let egress = match run.hosts.is_empty() {
            true => None,
            false => Some(Egress::open(&self.web, &run.hosts)?),
        };
        let body = self.body(run, egress.as_ref())?;
        let failed = |err: bollard::errors::Error| format!("Docker could not run it to its end: {err}");
        let mut container = Container::create(&self.docker, body).await.map_err(failed)?;
        let running = async {
            container.start(run.input.clone().into_bytes()).await?;
            container.ended(printed).await
        };
        let ended = tokio::time::timeout(run.time, running).await;
        container.remove().await;
        match ended {
            // A shell's way of telling that a program ended by a signal, and Docker's.
            Ok(Ok(code @ 129..=192)) => Ok(End::Killed(i32::try_from(code - 128).unwrap_or(0))),
            Ok(Ok(code)) => Ok(End::Exited(i32::try_from(code).unwrap_or(-1))),
            Ok(Err(err)) => {
                warn!(error = %err, "failed to run code by Docker");
                Err(failed(err))
            }
            Err(_) => Ok(End::TimedOut),
        }
    }
}
