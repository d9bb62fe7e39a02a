//! What of the files that came with messages a model reads: texts cut to what there
//! is room for, images by name. What is left out is named.

use domain::attachment::{Attachment, FileKind, IMAGES, IMAGES_BYTES, Image, read_text};
use domain::ids::ConversationId;
use tracing::warn;

use crate::ports::{Away, Files};

/// Text files in one prompt, at most.
const TEXTS: usize = 20;
/// Text of all files in one prompt, in characters, whatever the model's window.
const CHARS: usize = 100_000;
/// A text file that has less room than this is only named, in characters.
const WORTHWHILE: usize = 200;

/// What a model reads of one message's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attached {
    /// Empty when there were none.
    pub(crate) text: String,
    pub(crate) images: Vec<Image>,
}

/// The room that is left in a prompt.
pub(crate) struct Room {
    chars: usize,
    texts: usize,
    images: usize,
    image_bytes: usize,
}

impl Room {
    /// The room for files in a window of so many tokens: about half of it, at two
    /// characters a token.
    pub(crate) fn in_window(tokens: usize) -> Self {
        Self { chars: tokens.min(CHARS), texts: TEXTS, images: IMAGES, image_bytes: IMAGES_BYTES }
    }
}

/// Reads the files of messages, in the order in which they may take the room.
pub(crate) async fn read(
    files: &dyn Files,
    conversation: &ConversationId,
    messages: &[&[Attachment]],
    room: &mut Room,
) -> Vec<Attached> {
    let mut all = Vec::new();
    for attachments in messages {
        let mut attached = Attached::default();
        for attachment in *attachments {
            let words = match attachment.kind {
                FileKind::Text if room.texts > 0 && room.chars > WORTHWHILE => {
                    room.texts -= 1;
                    let read = text(files, conversation, attachment, room.chars).await;
                    // What cannot be read now is not waited for again and again.
                    room.texts = if read.is_err() { 0 } else { room.texts };
                    let text = read.unwrap_or_else(|words| words);
                    room.chars = room.chars.saturating_sub(text.chars().count());
                    text
                }
                kind if kind.image().is_some() && room.images > 0 && room.image_bytes >= attachment.bytes as usize => {
                    room.images -= 1;
                    room.image_bytes -= attachment.bytes as usize;
                    let (conversation, file) = (conversation.clone(), attachment.file.clone());
                    attached.images.push(Image { conversation, file, kind });
                    attachment.in_words()
                }
                _ => attachment.in_words(),
            };
            attached.text.push_str("\n\n");
            attached.text.push_str(&words);
        }
        all.push(attached);
    }
    all
}

/// What a file says; the error is the words in its place.
async fn text(
    files: &dyn Files,
    conversation: &ConversationId,
    attachment: &Attachment,
    chars: usize,
) -> Result<String, String> {
    match files.read(conversation, &attachment.file).await {
        Ok(Some(bytes)) => Ok(read_text(attachment, &bytes, chars)),
        Ok(None) => Ok(format!("{} It is no longer kept.", attachment.in_words())),
        Err(Away(why)) => {
            warn!(why, "answering without a file");
            Err(format!("{} It cannot be read at the moment.", attachment.in_words()))
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use domain::ids::{FileId, Place};

    use super::*;

    struct Kept(Vec<Vec<u8>>);

    #[async_trait]
    impl Files for Kept {
        async fn read(&self, _: &ConversationId, file: &FileId) -> Result<Option<Vec<u8>>, Away> {
            Ok(self.0.iter().find(|bytes| FileId::of(bytes) == *file).cloned())
        }
    }

    #[tokio::test]
    async fn what_comes_first_is_read_and_the_rest_is_named() {
        let place = Place { platform: "cli".into(), tenant: "t".into(), channel: "c".into(), thread: String::new() };
        let conversation = ConversationId::derive(&place);
        let (short, long) = (b"buy milk".to_vec(), "y".repeat(5_000).into_bytes());
        let of = |name: &str, bytes: &[u8]| Attachment::of(name, bytes).unwrap();
        let newest = [of("a.txt", &short), of("cat.png", b"\x89PNG\r\n\x1a\n."), of("old.txt", b"gone")];
        let older = [of("long.txt", &long), of("b.txt", &short), of("x.bin", b"\0")];
        let files = Kept(vec![short, long]);
        let messages = [&newest[..], &[], &older[..]];
        let read = read(&files, &conversation, &messages, &mut Room::in_window(1000)).await;
        assert!(read[0].text.starts_with("\n\n--- Attached file: a.txt ---\nbuy milk\n--- End of a.txt ---"));
        assert!(read[0].text.ends_with("[attached: old.txt, text, 4 bytes] It is no longer kept."));
        assert_eq!((read[0].images.len(), read[0].images[0].file.clone()), (1, newest[1].file.clone()));
        assert_eq!(read[1], Attached::default());
        assert!(read[2].text.contains("yyy") && read[2].text.contains("characters left out"));
        assert!(read[2].text.contains("[attached: b.txt, text, 8 bytes]"), "there was no room for it");
        assert!(read[2].text.ends_with("[attached: x.bin, other, 1 bytes]"));
    }

    #[tokio::test]
    async fn images_are_shown_while_there_is_room_for_their_bytes() {
        let place = Place { platform: "cli".into(), tenant: "t".into(), channel: "c".into(), thread: String::new() };
        let image = |bytes: usize| Attachment {
            file: FileId::of(&bytes.to_le_bytes()),
            name: "cat.png".into(),
            kind: FileKind::Png,
            bytes: u32::try_from(bytes).unwrap(),
        };
        let images = [image(IMAGES_BYTES - 10), image(11), image(10)];
        let mut room = Room::in_window(1000);
        let read = read(&Kept(vec![]), &ConversationId::derive(&place), &[&images], &mut room).await;
        let shown: Vec<_> = read[0].images.iter().map(|image| image.file.clone()).collect();
        assert_eq!(shown, [images[0].file.clone(), images[2].file.clone()]);
        assert_eq!(read[0].text.matches("[attached: cat.png").count(), 3, "each is named");
    }

    struct Silent(std::sync::atomic::AtomicUsize);

    #[async_trait]
    impl Files for Silent {
        async fn read(&self, _: &ConversationId, _: &FileId) -> Result<Option<Vec<u8>>, Away> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Err(Away("nobody answers".into()))
        }
    }

    #[tokio::test]
    async fn what_does_not_answer_is_asked_once() {
        let place = Place { platform: "cli".into(), tenant: "t".into(), channel: "c".into(), thread: String::new() };
        let two = [Attachment::of("a.txt", b"a").unwrap(), Attachment::of("b.txt", b"b").unwrap()];
        let files = Silent(std::sync::atomic::AtomicUsize::new(0));
        let read = read(&files, &ConversationId::derive(&place), &[&two], &mut Room::in_window(1000)).await;
        assert!(read[0].text.contains("It cannot be read at the moment.") && read[0].text.contains("b.txt"));
        assert_eq!(files.0.into_inner(), 1);
    }
}
