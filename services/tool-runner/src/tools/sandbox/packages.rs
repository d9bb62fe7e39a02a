//! Packages of Python for the programs of a person: installed inside the sandbox, which can
//! reach the index for that and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::place::Place;
use crate::registry::Ended;
use crate::sandbox::{PACKAGES, Run};
use crate::web::Host;

/// Where packages come from.
pub(crate) struct Packages {
    /// Address of a simple index (PEP 503).
    pub(crate) index: String,
    /// The hosts of the index and of its files.
    pub(crate) hosts: Arc<[Host]>,
}

/// Nothing of the folder's is run or read by it (`-I`, `--isolated`, and from where no name of a
/// package is a file), nor of the package's while it is installed: so the index is reached by pip
/// alone. What one that was killed has left goes first. Files on their way need more room than
/// there is in memory. `$1` is the index, `$2` where to, `$3` the package.
const INSTALL: &str = "\
rm -rf \"$PWD\"/.pip-*
TMPDIR=$(mktemp -d \"$PWD/.pip-XXXXXX\") || exit
export TMPDIR
cd /
python3 -I -m pip --isolated install --quiet --no-input --disable-pip-version-check --no-cache-dir --retries 1 \
  --timeout 15 --only-binary :all: --upgrade --index-url \"$1\" --target \"$2\" -- \"$3\" 2>&1
status=$?
rm -rf \"$TMPDIR\"
exit $status";
/// How often is looked whether another install has ended.
const LOOK: Duration = Duration::from_millis(200);
/// What pip takes for a file if one of this name is there.
const ARCHIVES: [&str; 9] = [".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz"];

impl Packages {
    /// What became of it is for the model.
    pub(super) async fn install(&self, place: &Place, folder: &Path, package: &str) -> Ended {
        let package = match requirement(package) {
            Ok(package) => package,
            Err(why) => return Ended::Failed(why),
        };
        // Two at once would move the same folders.
        let _one = match alone(folder).await {
            Ok(one) => one,
            Err(err) => return Ended::Failed(format!("the working folder cannot be locked: {err}")),
        };
        let run = place.plan(folder, &["/bin/sh", "-c", INSTALL, "sh", &self.index, PACKAGES, package], "");
        let run = Run { hosts: Arc::clone(&self.hosts), ..run };
        match place.run(run).await {
            Ended::Gave(_) => Ended::Gave(format!("Installed {package}.")),
            Ended::Failed(why) if why.contains("No module named pip") => Ended::Failed(
                "Python has no pip here; whoever runs Clara can install it (Debian: python3-pip)".to_owned(),
            ),
            ended => ended,
        }
    }
}

/// Waits until nobody else installs into a folder, in this replica or another; the lock ends with
/// what is given.
async fn alone(folder: &Path) -> std::io::Result<std::fs::File> {
    // The folder itself: nothing that stands in it is opened from outside.
    let folder = std::fs::File::open(folder)?;
    loop {
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder),
            Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(LOOK).await,
            Err(err) => return Err(err.into()),
        }
    }
}

/// A package by its name, with extras and versions if they are given (PEP 508 without
/// addresses and markers): nothing that an installer takes for an option or a place.
fn requirement(text: &str) -> Result<&str, String> {
    let refused = || format!("{text:?} is no package: give its name, or name==version");
    let text = text.trim();
    let is_name = |name: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        is_plain && ends(name.chars().next()) && ends(name.chars().last())
    };
    let (named, versions) = match text.find(['=', '<', '>', '!', '~']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let (name, extras) = match named.trim().split_once('[') {
        Some((name, extras)) => (name, Some(extras.strip_suffix(']').ok_or_else(refused)?)),
        None => (named.trim(), None),
    };
    let are_versions = versions.is_empty()
        || versions.split(',').all(|version| {
            let version = version.trim();
            let of = ["===", "==", "!=", "~=", "<=", ">=", "<", ">"].iter().find_map(|is| version.strip_prefix(is));
            of.is_some_and(|of| {
                let of = of.trim();
                !of.is_empty() && of.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '*' | '+' | '-'))
            })
        });
    let are_extras = extras.is_none_or(|extras| extras.split(',').all(|extra| is_name(extra.trim())));
    let is_file = ARCHIVES.iter().any(|ending| name.to_lowercase().ends_with(ending));
    match is_name(name) && !is_file && are_extras && are_versions {
        true => Ok(text),
        false => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_a_name_and_nothing_else() {
        for fine in ["pandas", "pandas==2.2.3", "ruamel.yaml", "httpx[http2,socks] >= 0.27, < 1", "a~=1.0", "x==1.*"] {
            requirement(fine).unwrap();
        }
        for bad in [
            "",
            "-r requirements.txt",
            "--index-url=http://evil.example",
            "git+https://evil.example/x",
            "x @ https://evil.example/x.whl",
            "./x",
            "/workspace/x",
            "a b",
            "a;b",
            "x==",
            "x[",
            "x[a",
            "x==1 --pre",
            "x.tar.gz",
            "x.ZIP",
        ] {
            assert!(requirement(bad).is_err(), "{bad}");
        }
    }
}
