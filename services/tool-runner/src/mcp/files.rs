//! The files that servers are declared in, and those that servers are made of: read, and
//! nothing decided by what stands in them.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Longest configuration file, in bytes, and how many there may be.
const FILE_BYTES: u64 = 1024 * 1024;
const FILES: usize = 200;
/// Files of one server that are watched, at most.
const WATCHED: usize = 2000;

/// Where servers are declared.
#[derive(Clone)]
pub(crate) struct Watched {
    /// Files of our own, one server each, also in `local` and `remote`.
    pub(crate) folder: PathBuf,
    /// A file of others, if one is named.
    pub(crate) file: Option<PathBuf>,
}

/// What stands in a file, or why it cannot be read.
pub(super) type Read = Result<String, String>;

impl Watched {
    /// Whether what a file declared cannot be known, since the place that is watched is not there at
    /// all. What stands elsewhere is not watched, and declares nothing. It blocks for no longer than
    /// other looks at files do.
    pub(super) fn is_away(&self, file: &str) -> bool {
        let file = Path::new(file);
        let parent = |file: &Path| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        match &self.file {
            Some(named) if named == file => !parent(named).exists(),
            _ => file.starts_with(&self.folder) && !self.folder.exists(),
        }
    }

    /// The configuration files with what stands in them; those that are not there are left
    /// out. The error is of a folder whose files cannot be known.
    pub(super) fn read(&self) -> Result<Vec<(PathBuf, Read)>, String> {
        let mut files = Vec::new();
        for folder in ["", "local", "remote"].map(|part| self.folder.join(part)) {
            // As MyPalClara lays them out: a file, or a folder with a `config.json`.
            let found = listed(&folder).map_err(|err| format!("{}: {err}", folder.display()))?;
            let found = found.into_iter().map(|path| match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() => Ok(path.join("config.json")),
                // One that went meanwhile, or a link to nothing, is none.
                Err(err) if err.kind() != ErrorKind::NotFound => Err(format!("{}: {err}", path.display())),
                _ => Ok(path),
            });
            let found = found.collect::<Result<Vec<_>, String>>()?.into_iter();
            files.extend(found.filter(|path| path.extension().is_some_and(|kind| kind == "json")));
        }
        if files.len() > FILES {
            return Err(format!("{}: there are more than {FILES} files", self.folder.display()));
        }
        files.sort();
        files.extend(self.file.clone());
        Ok(files.into_iter().filter_map(|path| Some((read(&path)?, path))).map(|(read, path)| (path, read)).collect())
    }
}

/// What is in a folder; nothing if it is not there.
fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(err) => Err(err),
    }
}

fn read(path: &Path) -> Option<Read> {
    let unreadable = |err: io::Error| format!("it cannot be read: {err}");
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(err) if err.kind() == ErrorKind::NotFound => return None,
        Err(err) => return Some(Err(unreadable(err))),
    };
    Some(match found.len() <= FILE_BYTES {
        true => std::fs::read_to_string(path).map_err(unreadable),
        false => Err(format!("it is longer than {FILE_BYTES} bytes")),
    })
}

/// A mark of all that is under a path, by names, sizes and times: another one when something
/// came, went or changed. What others have written there is left out. `None` if nothing is there.
pub(super) fn mark(path: &Path) -> Option<String> {
    let (mut open, mut found) = (vec![path.to_owned()], Vec::new());
    let mut seen = 0;
    while let Some(path) = open.pop() {
        seen += 1;
        if seen > WATCHED {
            break;
        }
        let Ok(known) = std::fs::metadata(&path) else { continue };
        if known.is_dir() {
            let is_own = |path: &PathBuf| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| !matches!(name, "node_modules" | ".git" | ".venv" | "__pycache__" | "target"))
            };
            let mut inside: Vec<PathBuf> = listed(&path).unwrap_or_default().into_iter().filter(is_own).collect();
            // Of too many, the same are looked at each time.
            inside.sort();
            open.extend(inside);
        } else {
            let changed = known.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            found.push((path, changed.unwrap_or_default().as_nanos(), known.len()));
        }
    }
    let mut hasher = blake3::Hasher::new();
    for (path, changed, bytes) in &found {
        hasher.update(format!("{}\0{changed}\0{bytes}\0", path.display()).as_bytes());
    }
    (!found.is_empty()).then(|| hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_away_declares_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (servers, config) = (folder.path().join("servers"), folder.path().join("x/config.json"));
        let watched = Watched { folder: servers.clone(), file: Some(config.clone()) };
        let is_away = |file: &Path| watched.is_away(&file.display().to_string());
        // One server's folder that is removed is one server less; all of them are another matter.
        assert!(is_away(&servers.join("remote/far/config.json")) && is_away(&config));
        std::fs::create_dir_all(servers.join("remote")).unwrap();
        std::fs::create_dir_all(folder.path().join("x")).unwrap();
        assert!(!is_away(&servers.join("remote/far/config.json")) && !is_away(&config));
        assert!(!is_away(Path::new("/nowhere/else.json")), "it is watched no more");
        let relative = Watched { folder: servers, file: Some("servers_config.json".into()) };
        assert!(!relative.is_away("servers_config.json"));
    }

    #[test]
    fn a_folder_whose_files_cannot_be_known_is_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let watched = Watched { folder: folder.path().to_owned(), file: None };
        assert_eq!(watched.read(), Ok(Vec::new()));
        std::fs::write(folder.path().join("time.json"), "{}").unwrap();
        std::fs::create_dir_all(folder.path().join("remote/far")).unwrap();
        std::fs::write(folder.path().join("remote/far/config.json"), "[]").unwrap();
        let texts: Vec<Read> = watched.read().unwrap().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, [Ok("[]".to_owned()), Ok("{}".to_owned())]);
        for number in 0..FILES {
            std::fs::write(folder.path().join(format!("{number}.json")), "{}").unwrap();
        }
        assert!(watched.read().unwrap_err().contains("more than 200 files"));
        // What stands in the place of a folder cannot be listed, whoever asks.
        let file = folder.path().join("time.json");
        assert!(Watched { folder: file, file: None }.read().is_err());
    }

    #[test]
    fn what_changed_has_another_mark() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        assert_eq!(mark(&file("none")), None);
        std::fs::create_dir_all(file("lib/node_modules")).unwrap();
        std::fs::write(file("a.js"), "1").unwrap();
        std::fs::write(file("lib/b.js"), "1").unwrap();
        let first = mark(folder.path()).unwrap();
        std::fs::write(file("lib/node_modules/c.js"), "1").unwrap();
        assert_eq!(mark(folder.path()).unwrap(), first, "what others have written is left out");
        // An older file that comes, or one that goes, is a change as a newer one is.
        let old = std::fs::File::create(file("old.js")).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let second = mark(folder.path()).unwrap();
        std::fs::remove_file(file("lib/b.js")).unwrap();
        let third = mark(folder.path()).unwrap();
        assert!(first != second && second != third);
    }
}
