//! Deletes folders however deep they are, and whoever changes them meanwhile.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use cap_std::fs::{Dir, Permissions};
use uuid::Uuid;

/// Where folders wait to be deleted, within the working folder.
const DELETED: &str = ".clara-deleted";
/// How long a folder may take to be deleted.
const LONGEST: Duration = Duration::from_secs(60);

/// Deletes a folder however deep it is, with two folders open at a time: each folder in it is
/// moved to one place, and found there. What a call left there when it died goes with the next.
pub(super) fn remove_tree(root: &Dir, folder: &Path) -> std::io::Result<()> {
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
    use super::super::{delete, open};
    use super::*;

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
}
