//! The files of a person's working folder, from outside of the sandbox: no path and no link
//! leads out of it.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt, Permissions};
use domain::untrusted::visible;
use uuid::Uuid;

use crate::sandbox::INSIDE;

/// Files that one listing names, and how deep it looks.
const LISTED: usize = 500;
const DEPTH: usize = 8;
/// Where folders wait to be deleted, within the working folder.
const DELETED: &str = ".clara-deleted";
/// How long a folder may take to be deleted.
const LONGEST: Duration = Duration::from_secs(60);

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
pub(super) fn open(folder: &Path) -> Result<Dir, String> {
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

pub(super) fn read(root: &Dir, path: &str, limit: usize) -> Result<String, String> {
    let file = within(path)?;
    let opened = regular(root, &file, OpenOptions::new().read(true))?;
    let mut opened = opened.take(limit as u64 + 1);
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).map_err(|err| format!("{}: {err}", file.display()))?;
    let is_cut = bytes.len() > limit;
    bytes.truncate(limit);
    if bytes.contains(&0) {
        return Err(format!("{} is no text", file.display()));
    }
    let text = visible(&String::from_utf8_lossy(&bytes));
    Ok(if is_cut { format!("{text}\n[the file goes on]") } else { text })
}

pub(super) fn write(root: &Dir, path: &str, content: &str) -> Result<String, String> {
    let file = within(path)?;
    let failed = |err: std::io::Error| format!("{}: {err}", file.display());
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        root.create_dir_all(parent).map_err(failed)?;
    }
    let mut opened = regular(root, &file, OpenOptions::new().write(true).create(true))?;
    opened.set_len(0).map_err(failed)?;
    opened.write_all(content.as_bytes()).map_err(failed)?;
    Ok(format!("Wrote {} ({} bytes).", file.display(), content.len()))
}

/// Opens what is a file and nothing else: nobody may ever write to a pipe that stands in its
/// place, and who opened it would wait for that.
fn regular(root: &Dir, file: &Path, how: &mut OpenOptions) -> Result<File, String> {
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
    match root.symlink_metadata(&file).map_err(failed)?.is_dir() {
        true => remove_tree(root, &file).map_err(failed)?,
        false => root.remove_file(&file).map_err(failed)?,
    }
    Ok(format!("Deleted {}.", file.display()))
}

/// Deletes a folder however deep it is, with two folders open at a time: each folder in it is
/// moved to one place, and found there. What a call left there when it died goes with the next.
fn remove_tree(root: &Dir, folder: &Path) -> std::io::Result<()> {
    // What is no folder there is nobody's place: a link is not followed.
    if root.symlink_metadata(DELETED).is_ok_and(|found| !found.is_dir()) {
        root.remove_file(DELETED)?;
    }
    root.create_dir_all(DELETED)?;
    let place = root.open_dir(DELETED)?;
    if folder != Path::new(DELETED) {
        move_in(root, folder.as_os_str(), &place)?;
    }
    let deadline = Instant::now() + LONGEST;
    loop {
        let (mut is_empty, mut has_changed, mut failed) = (true, false, None);
        for entry in place.entries()? {
            is_empty = false;
            match remove_level(&place, &entry?.file_name()) {
                Ok(changed) => has_changed |= changed,
                // The others go all the same.
                Err(err) => failed = Some(err),
            }
            if Instant::now() > deadline {
                return Err(std::io::Error::other("it takes too long, or changes while it is deleted; try again"));
            }
        }
        if is_empty {
            // Somebody else may be about to put something there.
            let _ = root.remove_dir(DELETED);
            return Ok(());
        }
        if !has_changed {
            return Err(failed.unwrap_or_else(|| std::io::Error::other("it changes while it is deleted")));
        }
    }
}

/// Moves something into the place of what is deleted. A folder that may not be written to is
/// moved nowhere: then it may be.
fn move_in(from: &Dir, name: &OsStr, place: &Dir) -> std::io::Result<()> {
    let new = Uuid::new_v4().to_string();
    match from.rename(name, place, &new) {
        Err(err) if err.kind() == ErrorKind::PermissionDenied => {
            from.set_permissions(name, Permissions::from_std(PermissionsExt::from_mode(0o700)))?;
            from.rename(name, place, &new)
        }
        moved => moved,
    }
}

/// Deletes one thing; of a folder what stands in it, whose own folders are moved beside it.
/// Whether anything went.
fn remove_level(place: &Dir, name: &OsStr) -> std::io::Result<bool> {
    let mut has_changed = false;
    // Another call may be at the same.
    let mut done = |result: std::io::Result<()>| match result {
        Ok(()) => {
            has_changed = true;
            Ok(())
        }
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => Ok(()),
        Err(err) => Err(err),
    };
    match place.symlink_metadata(name) {
        Ok(found) if found.is_dir() => {
            // Whoever made it may have closed it.
            place.set_permissions(name, Permissions::from_std(PermissionsExt::from_mode(0o700)))?;
            let folder = place.open_dir(name)?;
            for entry in folder.entries()? {
                let entry = entry?;
                done(match entry.file_type()?.is_dir() {
                    true => move_in(&folder, &entry.file_name(), place),
                    false => folder.remove_file(entry.file_name()),
                })?;
            }
            done(place.remove_dir(name))?;
        }
        Ok(_) => done(place.remove_file(name))?,
        Err(err) => done(Err(err))?,
    }
    Ok(has_changed)
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
            assert!(read(&root, path, 100).is_err(), "{path}");
            assert!(write(&root, path, "x").is_err(), "{path}");
        }
        assert!(!list(&root, "").unwrap().contains("secret"));
        assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "canary");
        write(&root, "a/b.txt", "hello").unwrap();
        assert_eq!(read(&root, "a/b.txt", 3).unwrap(), "hel\n[the file goes on]");
        assert!(list(&root, "").unwrap().contains("a/b.txt (5 bytes)"));
    }

    /// Attack S19: a pipe in the place of a file holds up whoever opens it.
    #[test]
    fn a_pipe_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let root = open(folder.path()).unwrap();
        assert!(read(&root, "pipe", 100).unwrap_err().contains("no file"));
        assert!(write(&root, "pipe", "x").is_err());
        // Also when somebody reads it.
        let _reader = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
        assert!(write(&root, "pipe", "x").unwrap_err().contains("no file"));
        delete(&root, "pipe").unwrap();
    }

    /// Attack S19: deeper than a stack, or than there may be open files.
    #[test]
    fn a_folder_is_deleted_however_deep_it_is() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        let root = open(folder.path()).unwrap();
        root.create_dir("deep").unwrap();
        let mut inner = root.open_dir("deep").unwrap();
        for level in 0..20_000 {
            inner.create_dir("d").unwrap();
            if level % 5000 == 0 {
                inner.write("file", "x").unwrap();
                inner.symlink_contents(outside.path(), "out").unwrap();
            }
            inner = inner.open_dir("d").unwrap();
        }
        delete(&root, "deep").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
        // What a call left that died goes with the next one.
        root.create_dir_all(".clara-deleted/left/over").unwrap();
        root.create_dir("other").unwrap();
        delete(&root, "other").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // Nor does what somebody put in its place lead anywhere; closed folders are opened.
        root.create_dir_all("important").unwrap();
        root.write("important/kept", "x").unwrap();
        std::os::unix::fs::symlink("important", folder.path().join(DELETED)).unwrap();
        root.create_dir_all("closed/inner/most").unwrap();
        for path in ["closed/inner/most", "closed/inner", "closed"] {
            std::fs::set_permissions(folder.path().join(path), std::fs::Permissions::from_mode(0o100)).unwrap();
        }
        delete(&root, "closed").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(root.exists("important/kept"));
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
                    assert!(!read(&root, file, 100).is_ok_and(|text| text.contains("canary")));
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
