//! Sessions that are to be summarised, and what they were about.

use async_trait::async_trait;
use domain::ids::ConversationId;
use domain::memory::RecallRequest;
use domain::message::Audience;
use learn::mood::Mood;
use learn::summary::Summary;
use store::{StoreError, Transaction};

use super::{IDLE_MS, SqlMemory, channels, moods};
use crate::ports::{MemoryError, Summaries, Unfolded, Unsummarised};

/// New messages after which a session is summarised while it goes on.
const MESSAGES: i64 = 10;
/// Most messages that one summary reads.
const READ: i64 = 60;
/// Summaries of sessions that a prompt may hold.
pub(super) const SUMMARIES: i64 = 3;

/// Notes that so many messages were said in a session; whether it is to be summarised now.
pub(super) async fn said(
    transaction: &mut Transaction,
    session: &str,
    messages: i64,
    at_ms: i64,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO sessions_to_summarize (session_id, due_at, messages) VALUES ($1, $2, $3) \
               ON CONFLICT (session_id) DO UPDATE SET messages = sessions_to_summarize.messages + $3, \
               due_at = CASE WHEN sessions_to_summarize.messages + $3 >= $4 THEN $5 ELSE $2 END RETURNING due_at";
    let due = at_ms.saturating_add(IDLE_MS);
    let values = [session.into(), due.into(), messages.into(), MESSAGES.into(), at_ms.into()];
    let stored = transaction.fetch(sql, &values).await?;
    stored.first().map_or(Ok(false), |row| Ok(row.integer("due_at")? <= at_ms))
}

#[async_trait]
impl Summaries for SqlMemory {
    async fn claim_session(&self, now_ms: i64, until_ms: i64) -> Result<Option<Unsummarised>, MemoryError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock("sessions_to_summarize").await?;
        let sql = "SELECT q.session_id, q.messages, q.tries, s.session_summary, s.summarized_to, s.user_id, s.audience, s.context_id \
                   FROM sessions_to_summarize q \
                   JOIN sessions s ON s.id = q.session_id WHERE q.due_at <= $1 AND q.claimed_until < $1 \
                   ORDER BY q.due_at LIMIT 1";
        let Some(row) = transaction.fetch(sql, &[now_ms.into()]).await?.pop() else { return Ok(None) };
        let session = row.text("session_id")?;
        let sql = "UPDATE sessions_to_summarize SET claimed_until = $2, tries = tries + 1 WHERE session_id = $1";
        transaction.execute(sql, &[session.as_str().into(), until_ms.into()]).await?;
        let sql = "SELECT m.role, m.name, m.content, m.position FROM messages m WHERE m.session_id = $1 \
                   AND m.position > $2 AND m.kind IN ('said', 'answered') ORDER BY m.position LIMIT $3";
        let values = [session.as_str().into(), row.integer("summarized_to")?.into(), READ.into()];
        let rows = transaction.fetch(sql, &values).await?;
        let own = moods::own(&mut transaction, &session).await?;
        transaction.commit().await?;
        let mut to = row.integer("summarized_to")?;
        let mut said = Vec::with_capacity(rows.len());
        for row in &rows {
            let is_hers = row.text("role")? == "assistant";
            let name = if is_hers { super::passages::ASSISTANT.to_owned() } else { row.text("name")? };
            said.push((is_hers, name, row.text("content")?));
            to = row.integer("position")?;
        }
        Ok(Some(Unsummarised {
            session,
            person: (row.text("audience")? == "direct").then(|| row.text("user_id")).transpose()?,
            conversation: ConversationId::parse(&row.text("context_id")?).ok(),
            before: row.optional_text("session_summary")?.unwrap_or_default(),
            own,
            said,
            to,
            // What does not fit into this one is left for the next.
            messages: row.integer("messages")? - i64::from(rows.len() as i64 == READ),
            tries: u32::try_from(row.integer("tries")?).unwrap_or(u32::MAX),
            until_ms,
        }))
    }

    async fn store_summary(
        &self,
        of: &Unsummarised,
        summary: Option<&Summary>,
        mood: Option<Mood>,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        // What was said since stays to be summarised. Without the lease, something was
        // erased meanwhile, or another replica has it: then this summary is void.
        let sql = "UPDATE sessions_to_summarize SET messages = messages - $2, claimed_until = 0, tries = 0 \
                   WHERE session_id = $1 AND claimed_until = $3";
        let session = of.session.as_str();
        if transaction.execute(sql, &[session.into(), of.messages.into(), of.until_ms.into()]).await? == 0 {
            return Ok(());
        }
        if let Some(mood) = mood {
            moods::felt(&mut transaction, session, mood).await?;
        }
        if let Some(Summary { title, text, topics }) = summary {
            let sql = "UPDATE sessions SET session_summary = $2, title = COALESCE(title, $3), summarized_to = $4 WHERE id = $1";
            let values = [session.into(), text.as_str().into(), title.as_str().into(), of.to.into()];
            transaction.execute(sql, &values).await?;
            moods::mentioned(&mut transaction, session, topics).await?;
        }
        // Also when there was nothing to say: others may have waited for that.
        channels::summarised(&mut transaction, session).await?;
        let sql = "DELETE FROM sessions_to_summarize WHERE session_id = $1 AND messages <= 0";
        transaction.execute(sql, &[session.into()]).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn summaries(&self, request: &RecallRequest, before_ms: i64) -> Result<Vec<String>, MemoryError> {
        let sql = "SELECT session_summary FROM sessions WHERE context_id = $1 AND generation = $2 AND archived = 0 AND started_at < $3 \
                   AND session_summary IS NOT NULL ORDER BY last_activity_at DESC LIMIT $4";
        let values = [
            request.conversation.as_str().into(),
            i64::from(request.generation).into(),
            before_ms.into(),
            SUMMARIES.into(),
        ];
        let rows = self.database.fetch(sql, &values).await?;
        let mut summaries = rows.iter().map(|row| row.text("session_summary")).collect::<Result<Vec<_>, _>>()?;
        if request.audience == Audience::Group {
            summaries.extend(self.folded(request.conversation.as_str(), i64::from(request.generation)).await?);
        }
        summaries.reverse();
        Ok(summaries)
    }

    async fn claim_channel(&self, now_ms: i64, until_ms: i64) -> Result<Option<Unfolded>, MemoryError> {
        self.claim_fold(now_ms, until_ms).await
    }

    async fn store_channel(&self, of: &Unfolded, text: &str, at_ms: i64) -> Result<(), MemoryError> {
        self.store_fold(of, text, at_ms).await
    }
}
