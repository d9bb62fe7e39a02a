//! Copies of files: from a person's own folder into the one that code works in, and back.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cap_std::fs::{Dir, OpenOptions};
use domain::tool::{Effect, Intent, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use super::files::{self, folder_name, name_schema, relative};
use super::sandbox::{Place, blocking, on_disk_of, open, regular, within};
use super::whole::put;
use super::{Limits, of_group, spec, text};
use crate::registry::{Builtin, Tool};

#[derive(Clone, Copy)]
enum Doing {
    Upload,
    Download,
}

struct CopyTool {
    spec: ToolSpec,
    doing: Doing,
    place: Arc<Place>,
    /// In which every person has a folder of their own files.
    own: Arc<Dir>,
    limits: Limits,
}

pub(super) fn all(place: &Arc<Place>, own: &Arc<Dir>, limits: Limits) -> Vec<Arc<dyn Tool>> {
    let tool = |spec, doing| {
        // Where code can reach somebody, what it kept may be anybody's words.
        let is_untrusted = matches!(doing, Doing::Download) && !place.hosts.is_empty();
        let spec = ToolSpec { intent: Intent::Write, is_untrusted, ..of_group("fs", spec) };
        let (place, own) = (Arc::clone(place), Arc::clone(own));
        Arc::new(CopyTool { spec, doing, place, own, limits }) as Arc<dyn Tool>
    };
    let path =
        |description: &str| json!({"type": "string", "minLength": 1, "maxLength": 500, "description": description});
    // One's own files are one's own, and are read as such.
    let back = if place.hosts.is_empty() { Risk::Safe } else { Risk::Moderate };
    vec![
        tool(
            spec(
                "upload_to_sandbox",
                "Copies one of the person's own files into the working folder, where code can read it, over an older one.",
                Effect::Idempotent,
                Risk::Safe,
                json!({"local_filename": name_schema(), "sandbox_path": path("Where to, such as data/trips.csv; left out: the same name")}),
                &["local_filename"],
            ),
            Doing::Upload,
        ),
        tool(
            spec(
                "download_from_sandbox",
                "Copies a file of the working folder to the person's own files, over an older one.",
                Effect::Idempotent,
                back,
                json!({"sandbox_path": path("A path in the working folder, such as out/plot.png"), "local_filename": name_schema()}),
                &["sandbox_path"],
            ),
            Doing::Download,
        ),
    ]
}

#[async_trait]
impl Builtin for CopyTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        let working = self.place.of(&request.principal)?;
        match self.doing {
            Doing::Upload => self.place.has_room(&working).await?,
            Doing::Download => on_disk_of(self.own.as_ref())?,
        }
        let (doing, own, limit) = (self.doing, Arc::clone(&self.own), self.limits.file_bytes);
        let user = folder_name(&request.principal.user);
        blocking(move || {
            let (own, working) = (files::of(&own, &user)?, open(&working)?);
            let (name, path) = (text(&arguments, "local_filename"), text(&arguments, "sandbox_path"));
            match doing {
                Doing::Upload => {
                    let from = relative(name)?;
                    let to = if path.is_empty() { from.clone() } else { within(path)? };
                    copy((&own, &from), (&working, &to), limit)
                }
                Doing::Download => {
                    let from = within(path)?;
                    let to = match name {
                        "" => from.file_name().map(Into::into).unwrap_or_else(|| from.clone()),
                        name => relative(name)?,
                    };
                    copy((&working, &from), (&own, &to), limit)
                }
            }
        })
        .await
    }
}

/// Copies a file over another, if it has at most `limit` bytes. Whatever goes wrong, what was there stays.
fn copy((from, file): (&Dir, &Path), (to, new): (&Dir, &Path), limit: u64) -> Result<String, String> {
    let failed = |path: &Path, err: std::io::Error| format!("{}: {err}", path.display());
    let source = regular(from, file, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes).map_err(|err| failed(file, err))?;
    if bytes.len() as u64 > limit {
        return Err(format!("{} has more than {limit} bytes, which is the limit of a file", file.display()));
    }
    put(to, new, &bytes)?;
    Ok(format!("Copied {} to {} ({} bytes).", file.display(), new.display(), bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_or_not_made_and_leads_nowhere_else() {
        let (one, other, outside) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (open(one.path()).unwrap(), open(other.path()).unwrap());
        from.write("a.bin", [0, 1, 2]).unwrap();
        let copied = copy((&from, Path::new("a.bin")), (&to, Path::new("x/b.bin")), 3).unwrap();
        assert!(copied.contains("(3 bytes)") && to.read("x/b.bin").unwrap() == [0, 1, 2], "{copied}");
        from.write("a.bin", [3; 4]).unwrap();
        assert!(copy((&from, Path::new("a.bin")), (&to, Path::new("x/b.bin")), 3).unwrap_err().contains("limit"));
        assert_eq!(to.read("x/b.bin").unwrap(), [0, 1, 2], "what was there stays");
        std::fs::write(outside.path().join("secret"), "canary").unwrap();
        for folder in [one.path(), other.path()] {
            std::os::unix::fs::symlink(outside.path().join("secret"), folder.join("out")).unwrap();
        }
        assert!(copy((&from, Path::new("out")), (&to, Path::new("c")), 100).is_err());
        assert!(copy((&from, Path::new("a.bin")), (&to, Path::new("out")), 100).is_err());
        to.create_dir("folder").unwrap();
        assert!(copy((&from, Path::new("a.bin")), (&to, Path::new("folder")), 100).is_err());
        let left =
            to.entries().unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".clara"));
        assert_eq!(left.count(), 0, "nothing is left beside it");
        assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "canary");
    }
}
