//! The files of a person's working folder, from outside of the sandbox: no path and no link
//! leads out of it.

mod deleting; // Folders, however deep they are.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use domain::untrusted::visible;

use self::deleting::remove_tree;
use crate::sandbox::INSIDE;
use crate::tools::whole::put;

/// Files that one listing names, and how deep it looks.
const LISTED: usize = 500;
const DEPTH: usize = 8;

/// A path within the folder, whatever it is called; not where it leads.
pub(in crate::tools) fn within(path: &str) -> Result<PathBuf, String> {
    let refused = || format!("{path:?} is not a path within the working folder");
    let plain = path.strip_prefix(INSIDE).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
    let plain = plain.trim_start_matches("./");
    let is_strange = plain.contains('\\') || plain.contains('\0') || plain.contains(':');
    if is_strange || plain.is_empty() {
        return Err(refused());
    }
    let path = Path::new(plain);
    match path.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        true => Ok(path.to_path_buf()),
        false => Err(refused()),
    }
}

/// A folder out of which no path leads, by links or otherwise.
pub(in crate::tools) fn open(folder: &Path) -> Result<Dir, String> {
    Dir::open_ambient_dir(folder, ambient_authority())
        .map_err(|err| format!("the working folder cannot be opened: {err}"))
}

pub(super) fn list(root: &Dir, path: &str) -> Result<String, String> {
    let mut lines = Vec::new();
    let start = if path.is_empty() || path == "." { PathBuf::from(".") } else { within(path)? };
    walk(root, &start, DEPTH, &mut lines)?;
    lines.sort();
    match lines.len() {
        0 => Ok("There are no files.".to_owned()),
        LISTED.. => Ok(format!("{}\n… and more", lines.join("\n"))),
        _ => Ok(lines.join("\n")),
    }
}

fn walk(root: &Dir, folder: &Path, depth: usize, lines: &mut Vec<String>) -> Result<(), String> {
    let entries = root.read_dir(folder).map_err(|err| format!("{}: {err}", folder.display()))?;
    for entry in entries.flatten() {
        if lines.len() >= LISTED {
            return Ok(());
        }
        let Ok(found) = entry.metadata() else { continue };
        let path = folder.join(entry.file_name());
        let name = visible(&path.display().to_string());
        let name = name.trim_start_matches("./");
        if found.is_dir() {
            lines.push(format!("{name}/"));
            // What is hidden, such as packages, is listed when it is asked for.
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            if depth > 0 && !is_hidden {
                walk(root, &path, depth - 1, lines)?;
            }
        } else {
            lines.push(format!("{name} ({} bytes)", found.len()));
        }
    }
    Ok(())
}

/// Rows of a text file, the first being 1: from one to another, or to the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Rows {
    pub(super) const ALL: Self = Self { first: 1, last: u64::MAX };
}

/// At most `limit` bytes of those rows.
pub(super) fn read(root: &Dir, path: &str, rows: Rows, limit: usize) -> Result<String, String> {
    let file = within(path)?;
    let failed = |err: std::io::Error| format!("{}: {err}", file.display());
    let mut opened = BufReader::new(regular(root, &file, OpenOptions::new().read(true))?);
    for row in 1..rows.first {
        // A row may be longer than what is kept of anything.
        if opened.skip_until(b'\n').map_err(failed)? == 0 {
            return Err(format!("{} has {} rows", file.display(), row - 1));
        }
    }
    let (mut bytes, mut row) = (Vec::new(), rows.first);
    while row <= rows.last && bytes.len() <= limit {
        let room = (limit + 1 - bytes.len()) as u64;
        if opened.by_ref().take(room).read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            break;
        }
        row += 1;
    }
    let goes_on = bytes.len() > limit || !opened.fill_buf().map_err(failed)?.is_empty();
    bytes.truncate(limit);
    if bytes.contains(&0) {
        return Err(format!("{} is no text", file.display()));
    }
    let text = visible(&String::from_utf8_lossy(&bytes));
    let text = if goes_on { text.trim_end_matches('\n') } else { &text };
    Ok(if goes_on { format!("{text}\n[the file goes on]") } else { text.to_owned() })
}

pub(super) fn write(root: &Dir, path: &str, content: &str) -> Result<String, String> {
    let file = within(path)?;
    put(root, &file, content.as_bytes())?;
    Ok(format!("Wrote {} ({} bytes).", file.display(), content.len()))
}

/// A file to be written to, which is made if there is none, with the folders that it is in.
pub(in crate::tools) fn made(root: &Dir, file: &Path) -> Result<File, String> {
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        root.create_dir_all(parent).map_err(|err| format!("{}: {err}", file.display()))?;
    }
    regular(root, file, OpenOptions::new().write(true).create(true))
}

/// Opens what is a file and nothing else: nobody may ever write to a pipe that stands in its
/// place, and who opened it would wait for that.
pub(in crate::tools) fn regular(root: &Dir, file: &Path, how: &mut OpenOptions) -> Result<File, String> {
    let failed = |err: std::io::Error| format!("{}: {err}", file.display());
    let opened = root.open_with(file, how.custom_flags(libc::O_NONBLOCK)).map_err(failed)?;
    match opened.metadata().map_err(failed)?.is_file() {
        true => Ok(opened),
        false => Err(format!("{} is no file", file.display())),
    }
}

/// A link is deleted, and not what it leads to.
pub(super) fn delete(root: &Dir, path: &str) -> Result<String, String> {
    let file = within(path)?;
    let failed = |err: std::io::Error| format!("{}: {err}", file.display());
    match root.symlink_metadata(&file) {
        Ok(found) if found.is_dir() => remove_tree(root, &file).map_err(failed)?,
        Ok(_) => root.remove_file(&file).map_err(failed)?,
        // Again is the same.
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(format!("There is no {}.", file.display())),
        Err(err) => return Err(failed(err)),
    }
    Ok(format!("Deleted {}.", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for path in [
            "../x",
            "/etc/passwd",
            "a/../../x",
            "C:\\x",
            "\\\\host\\share",
            "",
            "a\0b",
            "..",
            "/workspace/../x",
            "/workspacex",
        ] {
            assert!(within(path).is_err(), "{path:?}");
        }
        for (path, expected) in [("a/b.txt", "a/b.txt"), ("/workspace/a", "a"), ("./a", "a")] {
            assert_eq!(within(path).unwrap(), Path::new(expected));
        }
    }

    #[test]
    fn links_out_of_the_folder_are_not_followed() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "canary").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
        let root = open(folder.path()).unwrap();
        for path in ["out/secret", "file"] {
            assert!(read(&root, path, Rows::ALL, 100).is_err(), "{path}");
            assert!(write(&root, path, "x").is_err(), "{path}");
        }
        assert!(!list(&root, "").unwrap().contains("secret"));
        assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "canary");
        write(&root, "a/b.txt", "hello").unwrap();
        assert_eq!(read(&root, "a/b.txt", Rows::ALL, 3).unwrap(), "hel\n[the file goes on]");
        assert!(list(&root, "").unwrap().contains("a/b.txt (5 bytes)"));
    }

    #[test]
    fn rows_are_read_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let root = open(folder.path()).unwrap();
        write(&root, "n", "one\ntwo\nthree").unwrap();
        let rows = |first, last| read(&root, "n", Rows { first, last }, 100);
        assert_eq!(rows(1, 9).unwrap(), "one\ntwo\nthree");
        assert_eq!(rows(2, 2).unwrap(), "two\n[the file goes on]");
        assert_eq!(rows(3, u64::MAX).unwrap(), "three");
        assert!(rows(9, 9).unwrap_err().contains("has 3 rows"));
        write(&root, "n", "x").unwrap();
        assert_eq!(rows(1, 1).unwrap(), "x");
        // A row that is longer than anything that is kept.
        write(&root, "n", &"x".repeat(1000)).unwrap();
        assert_eq!(rows(1, 1).unwrap().len(), 100 + "\n[the file goes on]".len());
    }

    /// Attack S19: a pipe in the place of a file holds up whoever opens it.
    #[test]
    fn a_pipe_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let root = open(folder.path()).unwrap();
        assert!(read(&root, "pipe", Rows::ALL, 100).unwrap_err().contains("no file"));
        assert!(write(&root, "pipe", "x").is_err());
        // Also when somebody reads it.
        let _reader = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
        assert!(write(&root, "pipe", "x").unwrap_err().contains("no file"));
        delete(&root, "pipe").unwrap();
    }

    /// Attack S21: a file that is a link at one moment and none at another.
    #[test]
    fn no_swap_of_links_leads_out_of_the_folder() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (secret, path) = (outside.path().join("secret"), folder.path().to_owned());
        std::fs::write(&secret, "canary").unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let (link, plain) = (path.join("link"), path.join("plain"));
                    let _ = std::os::unix::fs::symlink(&secret, &link);
                    let _ = std::fs::rename(&link, path.join("file"));
                    let _ = std::fs::write(&plain, "plain");
                    let _ = std::fs::rename(&plain, path.join("file"));
                    let _ = std::os::unix::fs::symlink(outside.path(), &link);
                    let _ = std::fs::rename(&link, path.join("folder"));
                    let _ = std::fs::remove_file(path.join("folder"));
                    let _ = std::fs::create_dir(path.join("folder"));
                    let _ = std::fs::remove_dir(path.join("folder"));
                }
            });
            let root = open(folder.path()).unwrap();
            let mut done = 0;
            for _ in 0..3000 {
                for file in ["file", "folder/secret"] {
                    assert!(!read(&root, file, Rows::ALL, 100).is_ok_and(|text| text.contains("canary")));
                    done += u32::from(write(&root, file, "overwritten").is_ok());
                    let _ = delete(&root, file);
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            swapping.join().unwrap();
            assert!(done > 0, "some were written");
        });
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "canary");
    }
}
