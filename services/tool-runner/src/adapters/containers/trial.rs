//! Whether a sandbox by containers holds here: a run that looks around inside.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::PATIENCE;
use crate::sandbox::{End, Keeps, Printed, Run, Sandbox};
use crate::web::Host;

/// What it must find to be true, with words for what is not.
const LOOKS: &str = "\
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
python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 3128), 5)' || echo 'it has no way out'
echo holds";

/// How much of what it says is kept, in bytes.
const SAID: usize = 10_000;

/// A folder of its own for a trial, gone when this is dropped.
pub(crate) struct Trial {
    folder: PathBuf,
}

impl Trial {
    /// `within`: the folder in which working folders are.
    pub(crate) fn prepare(within: &Path) -> Result<Self, String> {
        let folder = within.join(format!("sandbox-probe-{}", uuid::Uuid::new_v4()));
        let unwritable = |err: std::io::Error| format!("{}: {err}", folder.display());
        std::fs::create_dir_all(&folder).map_err(unwritable)?;
        std::fs::write(folder.join("marker"), "").map_err(unwritable)?;
        Ok(Self { folder })
    }

    /// The error says what does not hold; it looks with a way out, which must be there too.
    pub(crate) async fn holds(self, sandbox: &dyn Sandbox) -> Result<(), String> {
        let nobody = Host::from_str("nobody.invalid")?;
        match self.run(sandbox, LOOKS, Arc::new([nobody])).await? {
            (End::Exited(0), said) if said == "holds" => Ok(()),
            (end, said) => Err(format!("it was tried, and did not hold: {said} ({end:?})")),
        }
    }

    /// Whether a script that uses more than it may fails. The error is what it then says.
    pub(crate) async fn is_ended(&self, sandbox: &dyn Sandbox, script: &str) -> Result<(), String> {
        match self.run(sandbox, script, Arc::default()).await? {
            // What did not run proves nothing: 126 and 127 are a shell's words for that.
            (End::Killed(_) | End::Exited(1..=125), _) => Ok(()),
            (end, said) => Err(format!("it was tried, and did not hold: {said} ({end:?})")),
        }
    }

    async fn run(&self, sandbox: &dyn Sandbox, script: &str, hosts: Arc<[Host]>) -> Result<(End, String), String> {
        let run = Run {
            command: vec!["/bin/sh".into(), "-c".into(), script.into()],
            input: String::new(),
            folder: self.folder.clone(),
            time: PATIENCE,
            hosts,
        };
        let printed = Arc::new(Printed::new(Keeps::First, SAID));
        let end = sandbox.run(&run, &printed).await?;
        Ok((end, printed.text().0.trim().to_owned()))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
