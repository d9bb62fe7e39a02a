//! `!attach`: a file of this machine for the next message.

use std::path::{Path, PathBuf};

use bus::Bus;
use domain::attachment::{Attachment, FILE_BYTES, FILES, InvalidFile};
use domain::ids::ConversationId;
use tokio::io::AsyncReadExt;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attaching {
    File(PathBuf),
    /// What was attached stays here.
    Nothing,
}

/// What a line asks for, if it is about files; the error is a word to the person.
pub(super) fn in_chat(line: &str) -> Option<Result<Attaching, String>> {
    let rest = line.trim().strip_prefix("!attach")?;
    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let name = rest.trim();
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    if name.is_empty() {
        return Some(Err("say which file: !attach notes.txt; !attach none takes all of them back".to_owned()));
    }
    if name == "none" {
        return Some(Ok(Attaching::Nothing));
    }
    let path = match name.strip_prefix("~/").zip(std::env::home_dir()) {
        Some((rest, home)) => home.join(rest),
        None => PathBuf::from(name),
    };
    Some(Ok(Attaching::File(path)))
}

/// Reads a file, looks at it, and stores what it holds. `waiting` files go with the
/// same message.
pub(super) async fn attach(
    bus: &Bus,
    conversation: &ConversationId,
    path: &Path,
    waiting: usize,
) -> Result<Attachment, String> {
    if waiting >= FILES {
        return Err(format!("{}; send them first", InvalidFile::TooMany));
    }
    let (bytes, size) = read(path).await.map_err(|err| format!("{} cannot be read: {err}", path.display()))?;
    let attachment = Attachment::of(&path.display().to_string(), &bytes).map_err(|err| match err {
        InvalidFile::TooLarge { name, bytes, limit } => InvalidFile::TooLarge { name, bytes: size.max(bytes), limit },
        other => other,
    });
    let attachment = attachment.map_err(|err| err.to_string())?;
    let files = bus.files().await.map_err(|err| err.to_string())?;
    files.store(conversation, &attachment.file, &bytes).await.map_err(|err| err.to_string())?;
    Ok(attachment)
}

/// What a file holds, up to one byte more than may be sent, and how large it is.
async fn read(path: &Path) -> std::io::Result<(Vec<u8>, usize)> {
    let found = tokio::fs::metadata(path).await?;
    // Only a plain file has an end; a device or a pipe would be waited for.
    if !found.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let file = tokio::fs::File::open(path).await?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    Ok((bytes, usize::try_from(found.len()).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_file() {
        assert_eq!(in_chat("!attach a b.txt "), Some(Ok(Attaching::File("a b.txt".into()))));
        assert_eq!(in_chat("!attach \"/tmp/a.txt\""), Some(Ok(Attaching::File("/tmp/a.txt".into()))));
        assert!(in_chat("!attach").unwrap().unwrap_err().contains("which file"));
        let Some(Ok(Attaching::File(path))) = in_chat("!attach ~/x") else { panic!() };
        assert!(path.is_absolute());
        assert_eq!(in_chat("!attach none"), Some(Ok(Attaching::Nothing)));
        assert_eq!(in_chat("!attachment x"), None);
        assert_eq!(in_chat("please !attach x"), None);
    }
}
