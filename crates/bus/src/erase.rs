//! Takes what people had erased off the bus.
//!
//! Each message is deleted by its place, with which the server writes over its bytes;
//! a purge would leave them in its files until it happens to rewrite those. Work queues
//! keep nothing that was done, and their files are the server's own affair.

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::RawMessageErrorKind;
use domain::ids::{ConversationId, FileId, TurnId};

use crate::conversations::missing;
use crate::{Bus, BusError, Subject};

/// Messages of one subject that are deleted at once: no turn has as many, and a
/// conversation that has goes on with the next attempt.
const MESSAGES: usize = 20_000;

impl Bus {
    /// Erases what a turn that has ended was worked out with: its journal, and what its
    /// tools found. Again is harmless.
    pub async fn erase_turn(&self, conversation: &ConversationId, turn: TurnId) -> Result<(), BusError> {
        self.erase("CLARA_JOURNAL", &Subject::Journal(conversation, turn).to_string(), u64::MAX).await?;
        self.erase("CLARA_TOOL_RESULTS", &Subject::ToolResults(turn).to_string(), u64::MAX).await
    }

    /// Erases a turn's reply as terminals are shown it. Again is harmless.
    pub async fn erase_shown(&self, conversation: &ConversationId, turn: TurnId) -> Result<(), BusError> {
        self.erase("CLARA_TERMINAL", &Subject::Terminal(conversation, turn).to_string(), u64::MAX).await
    }

    /// Erases whatever of a conversation was accepted and handled. Again is harmless: that a
    /// message was handled stands in the conversation's record.
    pub async fn erase_accepted(&self, conversation: &ConversationId) -> Result<(), BusError> {
        let stream = "CLARA_INBOUND";
        let found = self.context.get_stream_no_info(stream).await.map_err(|err| missing(stream, err))?;
        let router = format!("router-{}", conversation.partition());
        let router: PullConsumer = found.get_consumer(&router).await.map_err(|err| missing(stream, err))?;
        let handled = router.cached_info().ack_floor.stream_sequence;
        self.erase(stream, &Subject::Inbound(conversation).to_string(), handled).await
    }

    /// Erases a file, or all files of a conversation.
    pub async fn erase_file(&self, conversation: &ConversationId, file: Option<&FileId>) -> Result<(), BusError> {
        let subject = match file {
            Some(file) => Subject::FileChunks(conversation, file).to_string(),
            None => Subject::Files(conversation).to_string(),
        };
        self.erase("CLARA_FILES", &subject, u64::MAX).await
    }

    /// Deletes the messages of a subject up to a place, until the server has none. Several may
    /// do so at once: what another has deleted meanwhile is gone as well.
    async fn erase(&self, stream: &str, subject: &str, up_to: u64) -> Result<(), BusError> {
        let found = self.context.get_stream_no_info(stream).await.map_err(|err| missing(stream, err))?;
        let mut refused = None;
        for _ in 0..MESSAGES {
            match found.get_first_raw_message_by_subject(subject, 1).await {
                Ok(message) if message.sequence > up_to => return Ok(()),
                Ok(message) => match found.delete_message(message.sequence).await {
                    Ok(_) => {}
                    Err(err) if refused == Some(message.sequence) => return Err(missing(stream, err)),
                    Err(_) => refused = Some(message.sequence),
                },
                Err(err) if err.kind() == RawMessageErrorKind::NoMessageFound => return Ok(()),
                Err(err) => return Err(missing(stream, err)),
            }
        }
        Err(missing(stream, format!("more than {MESSAGES} messages are to be erased")))
    }
}
