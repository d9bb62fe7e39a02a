//! The files of a person's working folder, from outside of the sandbox: no path and no link
//! leads out of it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use domain::untrusted::visible;

use crate::sandbox::INSIDE;

/// Files that one listing names, and how deep it looks.
const LISTED: usize = 500;
const DEPTH: usize = 8;
/// Files that are counted when a folder's size is asked, at most.
pub(super) const COUNTED: usize = 200_000;

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
    let mut opened = root.open(&file).map_err(|err| format!("{}: {err}", file.display()))?.take(limit as u64 + 1);
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
    let mut opened = root.create(&file).map_err(failed)?;
    opened.write_all(content.as_bytes()).map_err(failed)?;
    Ok(format!("Wrote {} ({} bytes).", file.display(), content.len()))
}

/// A link is deleted, and not what it leads to.
pub(super) fn delete(root: &Dir, path: &str) -> Result<String, String> {
    let file = within(path)?;
    let failed = |err: std::io::Error| format!("{}: {err}", file.display());
    match root.symlink_metadata(&file).map_err(failed)?.is_dir() {
        true => root.remove_dir_all(&file).map_err(failed)?,
        false => root.remove_file(&file).map_err(failed)?,
    }
    Ok(format!("Deleted {}.", file.display()))
}

/// Takes what stands in a folder from what may; whether it was enough.
pub(super) fn weigh(folder: &Path, left: &mut (u64, usize), depth: usize) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    for entry in entries.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        let Some(files) = left.1.checked_sub(1) else { return false };
        let Some(bytes) = left.0.checked_sub(found.len()) else { return false };
        *left = (bytes, files);
        // A link is no folder here: its end may be anywhere.
        if found.is_dir() && (depth == 0 || !weigh(&entry.path(), left, depth - 1)) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_folder_is_weighed_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), [0; 1000]).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("usr")).unwrap();
        assert!(weigh(folder.path(), &mut (2000, 10), 3));
        assert!(!weigh(folder.path(), &mut (999, 10), 3));
        assert!(!weigh(folder.path(), &mut (2000, 1), 3));
    }
}
