//! Learns from what people said, in the background: nobody waits for it.
//!
//! Only a person's own messages are read: what she answered, what stood in a
//! prompt and what a tool gave is never learnt, so nothing is learnt twice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::TurnId;
use domain::memory::FactOrigin;
use domain::tier::Tier;
use learn::model::{INSTRUCTION, read};
use learn::statement::{Statement, statements};
use service_kit::clock::now_ms;
use service_kit::crash::{CrashPoint, crash_point};
use spending::Paying;
use tracing::debug;
use uuid::Uuid;

use super::projector::describe;
use crate::background::{Bell, Work};
use crate::knowledge::Knowledge;
use crate::learning::New;
use crate::ports::{SaidBy, Unlearnt};
use crate::reader::Reader;

/// How long one turn may take; then another replica may try it.
const LEASE: Duration = Duration::from_secs(120);
/// Longest answer of the model, in tokens.
const ANSWER_TOKENS: u32 = 800;
/// Tries with a model; then rules must do.
const TRIES: u32 = 5;
/// Wait after a failure, and for what another replica stored.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);
/// Longest part of a message that a model reads, in bytes.
const MESSAGE_BYTES: usize = 6000;

pub(crate) struct Learner {
    pub(crate) knowledge: Arc<Knowledge>,
    /// None: rules alone.
    pub(crate) reader: Option<Arc<Reader>>,
    pub(crate) replica: String,
    /// Rings when something was stored.
    pub(crate) stored: Bell,
}

#[async_trait]
impl Work for Learner {
    /// Learns from the oldest turn that waits.
    async fn step(&self) -> Result<bool, String> {
        let now = now_ms();
        let until = now + i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let facts = &self.knowledge.facts;
        let Some(Unlearnt { turn, tries, said }) = facts.claim(&self.replica, now, until).await.map_err(describe)?
        else {
            return Ok(false);
        };
        for said in &said {
            let paying = Paying {
                person: Some(&said.user),
                conversation: said.conversation.as_ref(),
                call: format!("learn:{}", said.id),
                tier: Tier::Low,
            };
            let found = self.read(&said.text, tries, paying).await?;
            for statement in found {
                self.store(turn, said, statement).await?;
            }
        }
        crash_point(CrashPoint::Caused);
        let user = said.first().map_or("", |said| said.user.as_str());
        facts.change(user, "clara", now_ms(), &[], Some(turn)).await.map_err(describe)?;
        // What was learnt waits for vectors.
        self.stored.ring();
        Ok(true)
    }
}

impl Learner {
    async fn store(&self, turn: TurnId, said: &SaidBy, statement: Statement) -> Result<(), String> {
        // The same words of the same turn have the same id, whoever learns them and
        // however often.
        let name = format!("{turn}/{}/{}", said.id, statement.text);
        let new = New {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string(),
            statement,
            origin: FactOrigin::Learnt,
            at_ms: said.at_ms,
            is_public: false,
            project: said.project.clone(),
            sources: vec![said.id.clone()],
        };
        self.knowledge.store(&said.user, "clara", &new).await.map_err(describe)?;
        Ok(())
    }

    /// The statements of a message: by the model, or by rules where there is none, it failed
    /// too often, or nobody may pay for it.
    pub(crate) async fn read(&self, message: &str, tries: u32, paying: Paying<'_>) -> Result<Vec<Statement>, String> {
        let Some(reader) = self.reader.as_ref().filter(|_| tries < TRIES) else { return Ok(statements(message)) };
        let message = &message[..message.floor_char_boundary(MESSAGE_BYTES)];
        let answer = reader.ask(INSTRUCTION, message.to_owned(), ANSWER_TOKENS, paying).await?;
        let Some(answer) = answer else { return Ok(statements(message)) };
        Ok(read(&answer, message).unwrap_or_else(|| {
            debug!("the model's answer holds no facts in the form that was asked for");
            Vec::new()
        }))
    }
}
