//! Summarises sessions, in the background: every ten messages, and when nobody
//! has spoken for half an hour; with how they felt, and what comes up again. What groups
//! spoke of long ago is folded into one summary.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::ConversationId;
use domain::tier::Tier;
use learn::mood::{feeling, mood};
use learn::summary::{FOLDING, INSTRUCTION, Summary, by_rules, fold_by_rules, read, read_folded};
use learn::topic;
use service_kit::clock::now_ms;
use spending::Paying;
use tracing::debug;

use super::projector::describe;
use crate::background::Work;
use crate::ports::{Summaries, Unfolded, Unsummarised};
use crate::reader::Reader;

/// How long one summary may take; then another replica may try it.
const LEASE: Duration = Duration::from_secs(120);
/// Wait after a failure, and for sessions that end.
pub(crate) const PAUSE: Duration = Duration::from_secs(10);
/// Tries with a model; then rules must do.
const TRIES: u32 = 5;
/// Longest part of a message that is read, in characters.
const MESSAGE_CHARS: usize = 500;
/// Longest answer of the model, in tokens.
const ANSWER_TOKENS: u32 = 500;

pub(crate) struct Summarizer {
    pub(crate) summaries: Arc<dyn Summaries>,
    /// None: rules alone.
    pub(crate) reader: Option<Arc<Reader>>,
}

#[async_trait]
impl Work for Summarizer {
    /// Summarises the session that is due longest; then what groups have of older ones.
    async fn step(&self) -> Result<bool, String> {
        let now = now_ms();
        let until = now + i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let Some(due) = self.summaries.claim_session(now, until).await.map_err(describe)? else {
            let channel = self.summaries.claim_channel(now, until).await.map_err(describe)?;
            let Some(channel) = channel else { return Ok(false) };
            let text = self.fold(&channel).await?;
            self.summaries.store_channel(&channel, &text, now_ms()).await.map_err(describe)?;
            return Ok(true);
        };
        let mut summary = self.summarize(&due).await?;
        let own: Vec<&str> = due.own.iter().map(String::as_str).collect();
        if let Some(summary) = summary.as_mut().filter(|summary| summary.topics.is_empty()) {
            summary.topics = topic::by_rules(&own);
        }
        let mood = mood(&own.iter().map(|text| feeling(text)).collect::<Vec<_>>());
        self.summaries.store_summary(&due, summary.as_ref(), mood).await.map_err(describe)?;
        Ok(true)
    }
}

impl Summarizer {
    async fn fold(&self, of: &Unfolded) -> Result<String, String> {
        let by_rules = || fold_by_rules(&of.before, &of.sessions);
        let Some(reader) = self.reader.as_ref().filter(|_| of.tries < TRIES) else { return Ok(by_rules()) };
        let new: String = of.sessions.iter().map(|summary| format!("New: {summary}\n")).collect();
        let conversation = ConversationId::parse(&of.channel).ok();
        let paying = Paying {
            person: None,
            conversation: conversation.as_ref(),
            call: format!("fold:{}:{}", of.channel, of.to),
            tier: Tier::Low,
        };
        let text = format!("Notes so far: {}\n\n{new}", of.before);
        let answer = reader.ask(FOLDING, text, ANSWER_TOKENS, paying).await?;
        Ok(answer.and_then(|answer| read_folded(&answer)).unwrap_or_else(by_rules))
    }

    async fn summarize(&self, due: &Unsummarised) -> Result<Option<Summary>, String> {
        if due.said.is_empty() {
            return Ok(None);
        }
        let by_people = || due.said.iter().filter(|(is_hers, ..)| !is_hers);
        let by_rules = || {
            let said: Vec<_> = by_people().map(|(_, name, text)| (name.clone(), text.clone())).collect();
            by_rules(&due.before, &said)
        };
        let Some(reader) = self.reader.as_ref().filter(|_| due.tries < TRIES) else { return Ok(by_rules()) };
        let mut text = String::new();
        if !due.before.is_empty() {
            text.push_str(&format!("Summary so far: {}\n\n", due.before));
        }
        for (_, name, said) in &due.said {
            let said: String = said.chars().take(MESSAGE_CHARS).collect();
            text.push_str(&format!("{name}: {said}\n"));
        }
        let paying = Paying {
            person: due.person.as_deref(),
            conversation: due.conversation.as_ref(),
            call: format!("summary:{}:{}", due.session, due.to),
            tier: Tier::Low,
        };
        let answer = reader.ask(INSTRUCTION, text, ANSWER_TOKENS, paying).await?;
        let Some(answer) = answer else { return Ok(by_rules()) };
        Ok(read(&answer).or_else(|| {
            debug!("the model's answer holds no summary in the form that was asked for");
            by_rules()
        }))
    }
}
