//! Files that are there whole or as they were: what is written goes beside them first.

use std::io::Write;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use uuid::Uuid;

use super::sandbox::made;

/// Puts a file in the place of another, or where there was none, with the folders that it is in.
/// Whatever goes wrong or ends this in the middle, what was there stays. What may be done with the
/// file stays too, such as running it. Through a link within the folder its target is written.
pub(super) fn put(folder: &Dir, file: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |err: std::io::Error| format!("{}: {err}", file.display());
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        folder.create_dir_all(parent).map_err(failed)?;
    }
    let target = match folder.symlink_metadata(file) {
        Ok(found) if found.is_symlink() => folder.canonicalize(file).map_err(failed)?,
        _ => file.to_owned(),
    };
    let before = folder.symlink_metadata(&target).ok();
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return Err(format!("{} is no file", file.display()));
    }
    let beside = PathBuf::from(format!(".clara-copy-{}", Uuid::new_v4()));
    let written = written(folder, &beside, bytes).and_then(|()| {
        if let Some(before) = before {
            folder.set_permissions(&beside, before.permissions()).map_err(failed)?;
        }
        folder.rename(&beside, folder, &target).map_err(failed)
    });
    if written.is_err() {
        // It may not have come to be.
        let _ = folder.remove_file(&beside);
    }
    written
}

fn written(folder: &Dir, file: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut made = made(folder, file)?;
    let done = made.write_all(bytes).and_then(|()| made.sync_all());
    done.map_err(|err| format!("it cannot be written: {err}"))
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_put_takes_the_place_of_what_was_there() {
        let place = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        put(&folder, Path::new("trips/oslo.sh"), b"one").unwrap();
        folder.set_permissions("trips/oslo.sh", cap_std::fs::Permissions::from_mode(0o750)).unwrap();
        folder.symlink("trips/oslo.sh", "link").unwrap();
        put(&folder, Path::new("link"), b"two").unwrap();
        assert_eq!(folder.read_to_string("trips/oslo.sh").unwrap(), "two");
        assert!(folder.symlink_metadata("link").unwrap().is_symlink());
        assert_eq!(folder.metadata("trips/oslo.sh").unwrap().permissions().mode() & 0o777, 0o750);
        // Out of the folder leads nothing, and what is no file is not written over.
        folder.symlink("../../etc/passwd", "out").unwrap();
        assert!(put(&folder, Path::new("out"), b"x").is_err());
        assert!(put(&folder, Path::new("trips"), b"x").unwrap_err().contains("no file"));
        let left = folder.entries().unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
        let mut left: Vec<_> = left.collect();
        left.sort();
        assert_eq!(left, ["link", "out", "trips"], "nothing is left beside");
    }
}
