//! How much room there is for what somebody's code writes: in their folder, and on its disk.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::place::blocking;

/// Files and folders that somebody's folder holds, at most.
pub(super) const FILES: usize = 200_000;
/// How deep folders are looked into.
const DEPTH: usize = 64;
/// What is left of the disk for others, in bytes: what nobody has a name for any more takes
/// room too, and stands in no folder.
const SPARE: u64 = 256 * 1024 * 1024;
/// How often a folder is weighed while something runs in it, if that takes no time.
const EVERY: Duration = Duration::from_millis(500);
/// How many times as long as it took nothing is weighed afterwards.
const REST: u32 = 10;

/// Whether a folder holds less than it may; the error says what to do.
pub(super) async fn is_left(folder: &Path, bytes: u64) -> Result<(), String> {
    let folder = folder.to_owned();
    blocking(move || match (weigh(&folder, &mut (bytes, FILES), DEPTH), on_disk(&folder)) {
        (_, Err(why)) => Err(why),
        (true, Ok(())) => Ok(()),
        (false, Ok(())) => Err(format!(
            "the working folder holds more than {} MB or {FILES} files, or one that cannot be read: delete some first, with list_files and delete_file",
            bytes >> 20
        )),
    })
    .await
}

/// Waits until a folder holds more than it may.
pub(super) async fn filled(folder: &Path, bytes: u64) {
    loop {
        let began = tokio::time::Instant::now();
        tokio::time::sleep(EVERY).await;
        let weighed = tokio::time::Instant::now();
        if is_left(folder, bytes).await.is_err() {
            return;
        }
        let took = weighed.elapsed();
        tokio::time::sleep_until(began + EVERY.max(took * REST)).await;
    }
}

/// Whether its disk has room left; the error says that it has not.
pub(super) fn on_disk(folder: &Path) -> Result<(), String> {
    enough(rustix::fs::statvfs(folder))
}

/// The same of an open folder.
pub(in crate::tools) fn on_disk_of(folder: &impl rustix::fd::AsFd) -> Result<(), String> {
    enough(rustix::fs::fstatvfs(folder))
}

fn enough(disk: rustix::io::Result<rustix::fs::StatVfs>) -> Result<(), String> {
    match disk.is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) > SPARE) {
        true => Ok(()),
        false => Err("the disk is nearly full: whoever runs Clara has to make room".to_owned()),
    }
}

/// Takes what stands in a folder from what may; whether it was enough.
fn weigh(folder: &Path, left: &mut (u64, usize), depth: usize) -> bool {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // What went meanwhile weighs nothing; what cannot be read may hold anything.
        Err(err) => return matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    };
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
    fn a_folder_is_weighed_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), [0; 1000]).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("usr")).unwrap();
        assert!(weigh(folder.path(), &mut (2000, 10), 3));
        assert!(!weigh(folder.path(), &mut (999, 10), 3));
        assert!(!weigh(folder.path(), &mut (2000, 1), 3));
    }
}
