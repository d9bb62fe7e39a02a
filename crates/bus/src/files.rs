//! The bytes of files that come with messages: stream `CLARA_FILES`.
//!
//! A file is cut into chunks, one subject each, under its conversation and the hash
//! of what it holds. So the same file twice is one, a file that is read is the one
//! that was stored, and the files of a conversation can be erased with it.

use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use domain::attachment::{Attachment, FILE_BYTES};
use domain::ids::{ConversationId, FileId};
use futures::{StreamExt, TryStreamExt, stream};

use crate::conversations::missing;
use crate::publish::INGRESS_PATIENCE;
use crate::{Bus, BusError, PublishError, Subject};

/// Longest chunk, in bytes: a quarter of the smallest message that servers allow
/// when nobody says otherwise.
const CHUNK: usize = 256 * 1024;
/// Chunks of one file that are on their way at the same time.
const PARALLEL: usize = 4;

/// Where files are kept.
#[derive(Clone)]
pub struct Files {
    bus: Bus,
    stream: Stream<()>,
}

impl Bus {
    /// Finds the stream of files.
    pub async fn files(&self) -> Result<Files, BusError> {
        let stream = self.context.get_stream_no_info("CLARA_FILES").await;
        Ok(Files { bus: self.clone(), stream: stream.map_err(|err| missing("CLARA_FILES", err))? })
    }
}

impl Files {
    /// Stores what a file holds; the same again is harmless.
    pub async fn store(&self, conversation: &ConversationId, file: &FileId, bytes: &[u8]) -> Result<(), PublishError> {
        let chunks: Vec<(u32, Bytes)> = (0..).zip(bytes.chunks(CHUNK).map(Bytes::copy_from_slice)).collect();
        let Some((last, others)) = chunks.split_last() else { return Ok(()) };
        let store = |(index, chunk): (u32, Bytes)| self.store_chunk(conversation, file, index, chunk);
        stream::iter(others.iter().cloned()).map(store).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
        // It says that the others are there.
        store(last.clone()).await
    }

    async fn store_chunk(
        &self,
        conversation: &ConversationId,
        file: &FileId,
        index: u32,
        chunk: Bytes,
    ) -> Result<(), PublishError> {
        let subject = Subject::File(conversation, file, index).to_string();
        // Each try is a message of its own: the newest one stays, and so the file's age
        // begins anew.
        let id = self.bus.client.new_inbox();
        self.bus.store_bytes(&subject, &id, None, chunk, INGRESS_PATIENCE).await.map(|_| ())
    }

    /// Whether a file is kept: its last chunk, which is stored when the others are.
    pub async fn holds(&self, conversation: &ConversationId, attachment: &Attachment) -> Result<bool, PublishError> {
        let Some(before) = (attachment.bytes as usize).checked_sub(1) else { return Ok(false) };
        let (index, size) = (before / CHUNK, before % CHUNK + 1);
        let last = self.chunk(conversation, &attachment.file, u32::try_from(index).unwrap_or(u32::MAX)).await?;
        Ok(last.is_some_and(|chunk| chunk.len() == size))
    }

    async fn chunk(
        &self,
        conversation: &ConversationId,
        file: &FileId,
        index: u32,
    ) -> Result<Option<Bytes>, PublishError> {
        let subject = Subject::File(conversation, file, index).to_string();
        match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(chunk) => Ok(Some(chunk.payload)),
            Err(err) if err.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(err) => Err(PublishError::Unavailable { subject, why: err.to_string() }),
        }
    }

    /// What a file holds; `None` when it is not kept, or is not what its id says.
    pub async fn read(&self, conversation: &ConversationId, file: &FileId) -> Result<Option<Vec<u8>>, PublishError> {
        let mut bytes = Vec::new();
        for index in 0.. {
            match self.chunk(conversation, file, index).await? {
                Some(chunk) => bytes.extend_from_slice(&chunk),
                None => break,
            }
            if bytes.len() > FILE_BYTES {
                return Ok(None);
            }
            // The last one is shorter, unless the file ends with it.
            if bytes.len() % CHUNK != 0 {
                break;
            }
        }
        Ok(Some(bytes).filter(|bytes| FileId::of(bytes) == *file))
    }
}
