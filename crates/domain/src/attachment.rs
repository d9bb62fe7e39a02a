//! Files that come with messages: what they may be, and what of them a model reads.
//!
//! A message carries what a file is; its bytes are kept beside the messages, under
//! the conversation and the [`FileId`].

use crate::ids::{ConversationId, FileId};
use crate::message::without_controls;

/// Largest file that comes with a message, in bytes.
pub const FILE_BYTES: usize = 5 * 1024 * 1024;
/// Largest image, in bytes: in base64 it has the 5 MiB that vendors take
/// (<https://platform.claude.com/docs/en/build-with-claude/vision>).
pub const IMAGE_BYTES: usize = FILE_BYTES / 4 * 3;
/// Files that come with one message, at most.
pub const FILES: usize = 10;
/// Images that a model is shown at once, at most.
pub const IMAGES: usize = 8;
/// Images that a model is shown at once, in bytes all together: in base64 they stay
/// below the 32 MB of a request that vendors take.
pub const IMAGES_BYTES: usize = 16 * 1024 * 1024;
/// Tokens that an image costs, about, whichever vendor counts.
pub const IMAGE_TOKENS: usize = 1600;
/// Longest name of a file, in bytes.
const NAME_BYTES: usize = 120;

/// What a file holds, as its first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// UTF-8.
    Text,
    Png,
    Jpeg,
    Gif,
    Webp,
    /// Anything else: it is named, and not read.
    Other,
}

impl FileKind {
    pub const ALL: [Self; 6] = [Self::Text, Self::Png, Self::Jpeg, Self::Gif, Self::Webp, Self::Other];

    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Webp,
            text if !text.contains(&0) && std::str::from_utf8(text).is_ok() => Self::Text,
            _ => Self::Other,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Other => "other",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The media type of an image (RFC 6838 names); `None` for what is none.
    pub fn image(self) -> Option<&'static str> {
        match self {
            Self::Png => Some("image/png"),
            Self::Jpeg => Some("image/jpeg"),
            Self::Gif => Some("image/gif"),
            Self::Webp => Some("image/webp"),
            Self::Text | Self::Other => None,
        }
    }
}

/// One file that came with a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attachment {
    pub file: FileId,
    /// What the person calls it, without folders.
    pub name: String,
    pub kind: FileKind,
    pub bytes: u32,
}

/// Why a file cannot come with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFile {
    #[error("{name} is empty")]
    Empty { name: String },
    #[error("{name} has {bytes} bytes; the limit is {limit}")]
    TooLarge { name: String, bytes: usize, limit: usize },
    #[error("at most {FILES} files go with one message")]
    TooMany,
}

impl Attachment {
    /// Looks at a file. Its kind is what it holds, whatever its name says.
    pub fn of(name: &str, bytes: &[u8]) -> Result<Self, InvalidFile> {
        let name = plain_name(name);
        let kind = FileKind::of(bytes);
        let limit = if kind.image().is_some() { IMAGE_BYTES } else { FILE_BYTES };
        match u32::try_from(bytes.len()) {
            Ok(0) => Err(InvalidFile::Empty { name }),
            Ok(size) if bytes.len() <= limit => Ok(Self { file: FileId::of(bytes), name, kind, bytes: size }),
            _ => Err(InvalidFile::TooLarge { name, bytes: bytes.len(), limit }),
        }
    }

    /// The same, as a stranger describes it: its name may be anything.
    pub fn with_plain_name(self) -> Self {
        Self { name: plain_name(&self.name), ..self }
    }

    /// What stands for it where it is not read.
    pub fn in_words(&self) -> String {
        format!("[attached: {}, {}, {} bytes]", self.name, self.kind.as_str(), self.bytes)
    }
}

/// A name without folders and control characters, cut to its limit.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = without_controls(last).replace(['\n', '\t'], " ");
    let mut end = clean.len().min(NAME_BYTES);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    match clean[..end].trim() {
        "" => "file".to_owned(),
        name => name.to_owned(),
    }
}

/// An image that a model is shown: where it is kept, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    pub conversation: ConversationId,
    pub file: FileId,
    pub kind: FileKind,
}

/// What a text file says, as a model reads it: between lines that name it, so that
/// nobody takes it for the person's own words. At most `chars` characters; the
/// middle gives way.
pub fn read_text(attachment: &Attachment, bytes: &[u8], chars: usize) -> String {
    let text = without_controls(&String::from_utf8_lossy(bytes));
    let name = &attachment.name;
    format!(
        "--- Attached file: {name} ---\n{}\n--- End of {name} ---",
        crate::guard::cut_middle(text.trim_end(), chars)
    )
}

/// What a person said themselves, and what a model reads of the files that came with
/// it: the two halves of a message that was put together here.
pub fn without_files(text: &str) -> (&str, &str) {
    let begins = ["--- Attached file: ", "[attached: "];
    let place = begins.iter().filter_map(|begin| match text.starts_with(begin) {
        true => Some(0),
        false => text.find(&format!("\n\n{begin}")),
    });
    let (said, files) = text.split_at(place.min().unwrap_or(text.len()));
    (said.trim(), files.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_holds_and_keeps_its_own_name_alone() {
        let text = Attachment::of("/home/ann/../notes \u{1b}[31m.png", "häh?".as_bytes()).unwrap();
        assert_eq!((text.name.as_str(), text.kind, text.bytes), ("notes [31m.png", FileKind::Text, 5));
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], FileKind::Png),
            (b"\xff\xd8\xff\xe0", FileKind::Jpeg),
            (b"GIF89a", FileKind::Gif),
            (b"RIFF\0\0\0\0WEBPVP8 ", FileKind::Webp),
            (b"a\0b", FileKind::Other),
            (b"\xff\xfe", FileKind::Other),
        ] {
            assert_eq!(Attachment::of("f", bytes).unwrap().kind, kind, "{bytes:?}");
            assert_eq!(FileKind::parse(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn too_much_is_refused_and_names_are_bounded() {
        assert_eq!(Attachment::of("x", b""), Err(InvalidFile::Empty { name: "x".into() }));
        assert!(Attachment::of("x", &vec![b'a'; FILE_BYTES]).is_ok());
        assert!(Attachment::of("x", &vec![b'a'; FILE_BYTES + 1]).is_err());
        let mut image = b"\xff\xd8\xff".to_vec();
        image.resize(IMAGE_BYTES + 1, 0);
        assert!(Attachment::of("x", &image).unwrap_err().to_string().contains("the limit is 3932160"));
        assert_eq!(Attachment::of(&"é".repeat(200), b"a").unwrap().name.len(), NAME_BYTES);
        assert_eq!(Attachment::of("..//", b"a").unwrap().name, "file");
    }

    #[test]
    fn a_text_stands_between_lines_that_name_it() {
        let attachment = Attachment::of("plan.txt", b"one\r\n\x07two\n").unwrap();
        let read = read_text(&attachment, b"one\r\n\x07two\n", 100);
        assert_eq!(read, "--- Attached file: plan.txt ---\none\ntwo\n--- End of plan.txt ---");
        assert_eq!(without_files(&format!("what now?\n\n{read}")), ("what now?", read.as_str()));
        assert_eq!(without_files(&attachment.in_words()), ("", "[attached: plan.txt, text, 10 bytes]"));
        assert_eq!(without_files("no [attached: x]"), ("no [attached: x]", ""));
        let long = read_text(&attachment, "y".repeat(5000).as_bytes(), 1000);
        assert!(long.chars().count() < 1200 && long.ends_with("--- End of plan.txt ---"));
    }
}
