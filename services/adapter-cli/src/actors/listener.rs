//! Takes what people type: cleaned, bounded, stored, and only then accepted.

use crate::quotas::Quotas;
use async_trait::async_trait;
use bus::{Bus, Files, PublishError, Serve, Subject};
use domain::attachment::{Attachment, FILES, InvalidFile};
use domain::carry::{Carry, Origin};
use domain::ids::{ConversationId, MessageId};
use domain::message::{Audience, Event, Inbound, InvalidText, Route, UserMessage, clean_text};
use domain::tier::split_prefix;
use proto::terminal::{PLATFORM, Said, Say, Saying, place};
use service_kit::clock::now_ms;
use service_kit::crash::{CrashPoint, crash_point};
use tracing::{instrument, warn};

/// Longest name of a model, in bytes.
const MODEL_BYTES: usize = 200;
/// Longest name of a channel, in bytes.
const CHANNEL_BYTES: usize = 200;
/// Longest part of who speaks, in bytes: it waits with every message.
const PRINCIPAL_BYTES: usize = 200;

pub(crate) struct Listener {
    pub(crate) bus: Bus,
    pub(crate) files: Files,
    pub(crate) quotas: Quotas,
}

#[async_trait]
impl Serve<Say, Said> for Listener {
    #[instrument(name = "accept", skip_all, fields(message = say.id))]
    async fn serve(&self, say: Say) -> Result<Said, String> {
        let inbound = match read(say) {
            Ok(inbound) => inbound,
            Err(because) => return Ok(Said::Refused { because }),
        };
        if let Err(because) = self.quotas.take(&inbound) {
            return Ok(Said::Refused { because });
        }
        if let Event::MessageReceived(message) = &inbound.event
            && let Some(because) = self.missing(&inbound.conversation, &message.attachments).await.transpose()
        {
            self.quotas.give_back(&inbound);
            return because.map(|because| Said::Refused { because });
        }
        match self.bus.accept(Subject::Inbound(&inbound.conversation), &inbound.publish_id(), &inbound).await {
            Ok(_) => {
                crash_point(CrashPoint::InboundStored);
                Ok(Said::Accepted { conversation: inbound.conversation })
            }
            Err(err @ (PublishError::Conflict { .. } | PublishError::Unavailable { .. })) => {
                // It may be stored all the same: the terminal asks again under
                // the same id rather than tell the person that it was refused.
                self.quotas.give_back(&inbound);
                warn!(error = %err, "failed to find out whether a message was stored");
                Err("the message bus does not answer; `clara doctor` says more".to_owned())
            }
            Err(PublishError::Full { .. }) => {
                let because = "I am overloaded: the queue is full. Please try again in a minute.".to_owned();
                Ok(Said::Refused { because })
            }
            Err(PublishError::TooLarge { bytes }) => {
                Ok(Said::Refused { because: format!("the message is too large ({bytes} bytes).") })
            }
        }
    }
}

impl Listener {
    /// A message is accepted with all of its files, or not at all: why it is not.
    async fn missing(
        &self,
        conversation: &ConversationId,
        attachments: &[Attachment],
    ) -> Result<Option<String>, String> {
        for attachment in attachments {
            match self.files.holds(conversation, attachment).await {
                Ok(true) => {}
                Ok(false) => return Ok(Some(format!("the file {} did not come; attach it again.", attachment.name))),
                Err(err) => {
                    warn!(error = %err, "failed to look after a file");
                    return Err("the message bus does not answer; `clara doctor` says more".to_owned());
                }
            }
        }
        Ok(None)
    }
}

fn read(say: Say) -> Result<Inbound, String> {
    if say.channel.is_empty() || say.channel.len() > CHANNEL_BYTES {
        return Err(format!("the conversation's name must have between 1 and {CHANNEL_BYTES} bytes"));
    }
    for (what, value) in [("user id", &say.speaker.user), ("name", &say.speaker.name), ("tenant", &say.speaker.tenant)]
    {
        if value.len() > PRINCIPAL_BYTES || value.chars().any(char::is_control) {
            return Err(format!("your {what} must have at most {PRINCIPAL_BYTES} bytes, without control characters"));
        }
    }
    let place = place(&say.speaker, &say.channel);
    let id = MessageId::new(PLATFORM, &say.id).map_err(|err| err.to_string())?;
    let event = match say.what {
        Saying::Stop => Event::StopRequested { id, by: say.speaker },
        Saying::Reset => Event::ConversationReset { id, by: say.speaker },
        Saying::Mode(mode) => Event::QueueModeChosen { id, by: say.speaker, mode },
        Saying::Approval(mode) => Event::ApprovalModeChosen { id, by: say.speaker, mode },
        Saying::Answer { conversation, turn, choice } => {
            // It belongs where the question was asked, whose place is not known here.
            let event = Event::QuestionAnswered { id, by: say.speaker, turn, choice, at_ms: now_ms() };
            return Ok(Inbound { conversation, route: None, event });
        }
        Saying::Fork { origin: Origin { carry: Carry::Answered(_), .. }, .. } => {
            return Err("a question is answered in its conversation.".to_owned());
        }
        Saying::Fork { origin, model } => {
            if model.as_ref().is_some_and(|model| model.len() > MODEL_BYTES || model.chars().any(char::is_control)) {
                return Err(format!("a model's name has at most {MODEL_BYTES} bytes, without control characters."));
            }
            Event::TurnForked { id, by: say.speaker, origin, model }
        }
        Saying::Text { text: raw, attachments } => {
            if attachments.len() > FILES {
                return Err(format!("{}.", InvalidFile::TooMany));
            }
            let (tier, rest) = split_prefix(&raw);
            let text = match clean_text(rest) {
                Ok(text) => text,
                // Files may come without a word.
                Err(InvalidText::Empty) if !attachments.is_empty() => String::new(),
                Err(InvalidText::Empty) if tier.is_some() => {
                    return Err("the message is empty: put your question after the prefix.".to_owned());
                }
                Err(err) => return Err(format!("{err}.")),
            };
            let attachments = attachments.into_iter().map(Attachment::with_plain_name).collect();
            let speaker = say.speaker;
            Event::MessageReceived(UserMessage { id, speaker, text, attachments, tier, sent_at_ms: now_ms() })
        }
    };
    let route =
        Route { platform: PLATFORM.into(), channel: say.channel, audience: Audience::Direct, parent: say.parent };
    Ok(Inbound { conversation: ConversationId::derive(&place), route: Some(route), event })
}
