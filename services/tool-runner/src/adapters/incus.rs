//! The sandbox by Incus: a container for each run, without network, without capabilities, with
//! users that are not the machine's, a root that cannot be written, and Incus's own filter on system calls
//! (<https://linuxcontainers.org/incus/docs/main/reference/instance_options/>).
//!
//! Nothing of the image is started but what was asked for: its first program sleeps, for as long
//! as a run may take, and everything in it ends with that.

mod api; // The daemon, as far as runs need it.
mod instance; // One instance, from its beginning to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::process::{getgid, getuid};
use serde_json::{Value, json};
use tracing::warn;

use self::api::{Api, Failed};
use self::instance::Instance;
use super::containers::{self, LATER, LEFT_SECONDS, PATIENCE, Sweeps, Trial};
use super::egress::{self, Egress};
use crate::sandbox::{End, INSIDE, Limits, Printed, Run, Sandbox, TMP};
use crate::web::Web;

/// Says of an instance that it is one of ours, and until when it may run, in seconds since 1970.
const OURS: &str = "user.clara.until";
/// System calls that are refused beside those of Incus's own list: what traces, mounts, makes
/// namespaces, or has once been a way into the kernel; that a run has no capabilities refuses
/// others. What `clone3` is given stands in memory,
/// where no filter can look: libraries fall back to `clone`.
const REFUSED: &str = "\
ptrace errno 1
process_vm_readv errno 1
process_vm_writev errno 1
kcmp errno 1
bpf errno 1
perf_event_open errno 1
userfaultfd errno 1
io_uring_setup errno 1
io_uring_enter errno 1
io_uring_register errno 1
mount errno 1
umount2 errno 1
pivot_root errno 1
chroot errno 1
move_mount errno 1
open_tree errno 1
fsopen errno 1
fsconfig errno 1
fsmount errno 1
fspick errno 1
mount_setattr errno 1
unshare errno 1
setns errno 1
keyctl errno 1
add_key errno 1
request_key errno 1
personality errno 1
socket errno 1 [0,38,SCMP_CMP_EQ]
socket errno 1 [0,40,SCMP_CMP_EQ]
clone3 errno 38
clone errno 1 [0,0x00020000,SCMP_CMP_MASKED_EQ,0x00020000]
clone errno 1 [0,0x02000000,SCMP_CMP_MASKED_EQ,0x02000000]
clone errno 1 [0,0x04000000,SCMP_CMP_MASKED_EQ,0x04000000]
clone errno 1 [0,0x08000000,SCMP_CMP_MASKED_EQ,0x08000000]
clone errno 1 [0,0x10000000,SCMP_CMP_MASKED_EQ,0x10000000]
clone errno 1 [0,0x20000000,SCMP_CMP_MASKED_EQ,0x20000000]
clone errno 1 [0,0x40000000,SCMP_CMP_MASKED_EQ,0x40000000]";

/// Makes the container's own network, which has nothing but itself, usable: programs find the
/// proxy in it. Only where there is a way out does this need a capability.
const LOOPBACK: &str = "\
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 1))";
const CAPABILITIES: [&str; 2] = ["none", "net_admin"];

/// The least that a trial of the limits needs, in bytes and processes.
const LITTLE: (u64, u64) = (64 << 20, 24);
/// Use more memory than that, and more processes: neither may work.
const EXCEEDS: [&str; 2] = [
    "python3 -c 'bytearray(b\"x\" * (96 << 20))' && echo 'its memory has no limit'",
    "i=0; while [ $i -lt 48 ]; do sleep 5 & i=$((i + 1)); done; echo 'its processes have no limit'",
];

pub(crate) struct IncusSandbox {
    api: Api,
    image: String,
    /// Where the roots of containers are.
    pool: String,
    limits: Limits,
    web: Web,
    /// What the daemon sees under the same path.
    folder: PathBuf,
    sweeps: Sweeps,
}

impl IncusSandbox {
    /// Finds out whether it holds here, by trying; the error says why it does not. `image` is
    /// an alias of one that the daemon has.
    pub(crate) async fn probe(
        socket: &Path,
        image: String,
        folder: PathBuf,
        limits: Limits,
        web: Web,
    ) -> Result<Self, String> {
        let failed = |err: Failed| format!("the Incus daemon at {} does not answer: {err}", socket.display());
        let api = Api::new(socket).map_err(failed)?;
        let server = api.get("/1.0").await.map_err(failed)?;
        if server["auth"] != "trusted" {
            return Err(format!("the Incus daemon at {} does not trust this user", socket.display()));
        }
        match api.get(&format!("/1.0/images/aliases/{image}")).await {
            Ok(_) => {}
            Err(Failed::NotFound) => {
                return Err(format!(
                    "its image {image} is not there: `incus image copy images:{image} local: --alias {image}` fetches it"
                ));
            }
            Err(err) => return Err(failed(err)),
        }
        let pool = pool(&api).await.map_err(failed)?.ok_or("it has no storage pool: `incus admin init` makes one")?;
        let folder = std::path::absolute(folder).map_err(|err| err.to_string())?;
        let trial = Trial::prepare(&folder)?;
        let mut sandbox = Self { api, image, pool, limits, web, folder, sweeps: Sweeps::default() };
        // That limits hold is known when they did, which takes less with low ones.
        (sandbox.limits.memory_bytes, sandbox.limits.processes) = LITTLE;
        for script in EXCEEDS {
            trial.is_ended(&sandbox, script).await?;
        }
        sandbox.limits = limits;
        trial.holds(&sandbox).await?;
        Ok(sandbox)
    }

    /// Removes what was left by runners that died, in the background.
    fn remove_left(&self) {
        let api = self.api.clone();
        self.sweeps.sweep(&self.folder, |now| async move {
            let known = match api.get("/1.0/instances?recursion=1").await {
                Ok(known) => known,
                Err(err) => return warn!(error = %err, "failed to look for instances that were left"),
            };
            for left in known.as_array().into_iter().flatten() {
                let until = left["config"][OURS].as_str().and_then(|until| until.parse::<i64>().ok());
                if let Some((name, until)) = left["name"].as_str().zip(until)
                    && until + LEFT_SECONDS < now
                {
                    instance::remove(&api, name).await;
                }
            }
        });
    }

    fn body(&self, run: &Run, egress: Option<&Egress>) -> Result<Value, String> {
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or(format!("{} is no text", path.display()));
        // With users of the folder's own, though those of the container are others outside.
        let mounted =
            |source: String, target: &str| json!({"type": "disk", "source": source, "path": target, "shift": "true"});
        let folder = std::path::absolute(&run.folder).map_err(|err| err.to_string())?;
        let mut devices = json!({
            "root": {"type": "disk", "path": "/", "pool": self.pool},
            "folder": mounted(text(&folder)?, INSIDE),
        });
        if let Some(egress) = egress {
            devices["egress"] = mounted(text(&egress.socket)?, egress::INSIDE);
        }
        let Limits { memory_bytes, processes, cpu_percent, file_bytes, .. } = self.limits;
        let kernel = format!(
            "lxc.init.cmd = /bin/sleep {}\n\
             lxc.rootfs.options = ro\n\
             lxc.cap.drop =\n\
             lxc.cap.keep = {}\n\
             lxc.no_new_privs = 1\n\
             lxc.mount.entry = tmpfs tmp tmpfs rw,nosuid,nodev,mode=1777,size={TMP} 0 0",
            (run.time + LATER).as_secs(),
            CAPABILITIES[usize::from(egress.is_some())],
        );
        Ok(json!({
            "type": "container",
            "ephemeral": true,
            "profiles": [],
            "source": {"type": "image", "alias": self.image},
            "config": {
                "limits.memory": memory_bytes.to_string(),
                "limits.memory.swap": "false",
                "limits.processes": processes.to_string(),
                "limits.cpu.allowance": format!("{cpu_percent}ms/100ms"),
                "limits.kernel.fsize": file_bytes.to_string(),
                "limits.kernel.core": "0",
                "security.guestapi": "false",
                "security.nesting": "false",
                "security.privileged": "false",
                "security.syscalls.deny": REFUSED,
                "raw.lxc": kernel,
                OURS: containers::until(run).to_string(),
            },
            "devices": devices,
        }))
    }
}

#[async_trait]
impl Sandbox for IncusSandbox {
    fn name(&self) -> &'static str {
        "incus"
    }

    async fn run(&self, run: &Run, printed: &Arc<Printed>) -> Result<End, String> {
        self.remove_left();
        let egress = Egress::of(run, &self.folder, &self.web, printed)?;
        let body = self.body(run, egress.as_ref())?;
        let mut places = vec![("directory", INSIDE)];
        places.extend(egress.as_ref().map(|_| ("file", egress::INSIDE)));
        let begun = async {
            let mut instance = Instance::create(&self.api, body, &places).await?;
            instance.start().await?;
            if egress.is_some() {
                let command =
                    api::command(&["python3", "-I", "-c", LOOPBACK].map(str::to_owned), [].into_iter(), [0, 0], "/");
                match instance.run(&command, &[], printed).await? {
                    0 => {}
                    status => return Err(Failed::Refused(format!("its network is not to be used (status {status})"))),
                }
            }
            Ok(instance)
        };
        let begun = tokio::time::timeout(PATIENCE, begun).await;
        let begun = begun.map_err(|_| "Incus made no container in time".to_owned())?;
        let mut instance = begun.map_err(|why| format!("Incus made no container: {why}"))?;
        let user = [getuid().as_raw(), getgid().as_raw()];
        let command = api::command(
            &containers::command(run, egress.as_ref()),
            containers::environment(egress.as_ref()),
            user,
            INSIDE,
        );
        let given = containers::input(run);
        let ended = tokio::time::timeout(run.time, instance.run(&command, &given, printed)).await;
        drop(instance);
        Ok(containers::end(ended))
    }
}

/// The storage pool of the default profile, else the first that there is.
async fn pool(api: &Api) -> Result<Option<String>, Failed> {
    let profile = api.get("/1.0/profiles/default").await?;
    let devices = profile["devices"].as_object().into_iter().flatten();
    let of_root = devices.filter(|(_, device)| device["path"] == "/").find_map(|(_, device)| device["pool"].as_str());
    if let Some(pool) = of_root {
        return Ok(Some(pool.to_owned()));
    }
    let pools = api.get("/1.0/storage-pools").await?;
    let first = pools.as_array().and_then(|pools| pools.first()?.as_str()?.rsplit('/').next());
    Ok(first.map(str::to_owned))
}
