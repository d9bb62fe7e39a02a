//! What was said in a group long ago: the summaries of its older sessions, folded into one.
//!
//! The newest sessions stand in a prompt by themselves. It is made of summaries alone, so
//! that an erasure need only discard it: it is folded anew from what is left.

use store::{StoreError, Transaction, Value};

use super::SqlMemory;
use super::summaries::SUMMARIES;
use crate::ports::{MemoryError, Unfolded};

/// Most sessions that are folded at once.
const FOLDED: i64 = 20;

/// Notes that there may be something to fold in a group of which a session was summarised.
pub(super) async fn summarised(transaction: &mut Transaction, session: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO channels_to_summarize (channel_id, generation) SELECT context_id, generation FROM sessions \
               WHERE id = $1 AND audience = 'group' ON CONFLICT (channel_id, generation) DO NOTHING";
    transaction.execute(sql, &[session.into()]).await.map(|_| ())
}

/// Discards what was folded of a group, in which something was erased; what is folded of it
/// at this moment is void.
pub(super) async fn erased(transaction: &mut Transaction, channel: &str) -> Result<(), StoreError> {
    let of_channel: [Value; 1] = [channel.into()];
    let sql = "INSERT INTO channels_to_summarize (channel_id, generation) SELECT channel_id, generation \
               FROM channel_summaries WHERE channel_id = $1 ON CONFLICT (channel_id, generation) DO NOTHING";
    transaction.execute(sql, &of_channel).await?;
    let sql = "UPDATE channels_to_summarize SET claimed_until = 0 WHERE channel_id = $1";
    transaction.execute(sql, &of_channel).await?;
    transaction.execute("DELETE FROM channel_summaries WHERE channel_id = $1", &of_channel).await.map(|_| ())
}

impl SqlMemory {
    /// What was folded of a group so far.
    pub(super) async fn folded(&self, channel: &str, generation: i64) -> Result<Option<String>, MemoryError> {
        let sql = "SELECT summary FROM channel_summaries WHERE channel_id = $1 AND generation = $2";
        let rows = self.database.fetch(sql, &[channel.into(), generation.into()]).await?;
        Ok(rows.first().map(|row| row.text("summary")).transpose()?)
    }

    pub(super) async fn claim_fold(&self, now_ms: i64, until_ms: i64) -> Result<Option<Unfolded>, MemoryError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock("channels_to_summarize").await?;
        let sql = "SELECT q.channel_id, q.generation, q.tries, COALESCE(c.summary, '') AS summary, \
                   COALESCE(c.summary_cutoff_at, $2) AS cutoff FROM channels_to_summarize q \
                   LEFT JOIN channel_summaries c ON c.channel_id = q.channel_id AND c.generation = q.generation \
                   WHERE q.claimed_until < $1 ORDER BY q.claimed_until, q.channel_id LIMIT 1";
        while let Some(row) = transaction.fetch(sql, &[now_ms.into(), i64::MIN.into()]).await?.pop() {
            let (channel, generation) = (row.text("channel_id")?, row.integer("generation")?);
            let (sessions, to) = older(&mut transaction, &channel, generation, row.integer("cutoff")?).await?;
            let of_channel: [Value; 2] = [channel.as_str().into(), generation.into()];
            if sessions.is_empty() {
                let sql = "DELETE FROM channels_to_summarize WHERE channel_id = $1 AND generation = $2";
                transaction.execute(sql, &of_channel).await?;
                continue;
            }
            let sql = "UPDATE channels_to_summarize SET claimed_until = $3, tries = tries + 1 \
                       WHERE channel_id = $1 AND generation = $2";
            let [of, number] = of_channel;
            transaction.execute(sql, &[of, number, until_ms.into()]).await?;
            transaction.commit().await?;
            let tries = u32::try_from(row.integer("tries")?).unwrap_or(u32::MAX);
            let before = row.text("summary")?;
            return Ok(Some(Unfolded { channel, generation, before, sessions, to, tries, until_ms }));
        }
        transaction.commit().await?;
        Ok(None)
    }

    pub(super) async fn store_fold(&self, of: &Unfolded, text: &str, at_ms: i64) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        // There may be more of it. Without the lease, something was erased meanwhile, or
        // another replica has it.
        let sql = "UPDATE channels_to_summarize SET claimed_until = 0, tries = 0 \
                   WHERE channel_id = $1 AND generation = $2 AND claimed_until = $3";
        let values = [of.channel.as_str().into(), of.generation.into(), of.until_ms.into()];
        if transaction.execute(sql, &values).await? == 0 {
            return Ok(());
        }
        let sql = "INSERT INTO channel_summaries (channel_id, generation, summary, summary_cutoff_at, last_updated_at) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (channel_id, generation) DO UPDATE SET summary = $3, \
                   summary_cutoff_at = $4, last_updated_at = $5";
        let [channel, generation, _] = values;
        transaction.execute(sql, &[channel, generation, text.into(), of.to.into(), at_ms.into()]).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The summaries of a group's sessions after a time, oldest first, without those that stand
/// in a prompt by themselves; up to the first that is still to be written. With the
/// beginning of the newest.
async fn older(
    transaction: &mut Transaction,
    channel: &str,
    generation: i64,
    after_ms: i64,
) -> Result<(Vec<String>, i64), StoreError> {
    let sql = "SELECT s.session_summary, s.started_at, \
               (SELECT COUNT(*) FROM sessions_to_summarize q WHERE q.session_id = s.id) AS waits FROM sessions s \
               WHERE s.context_id = $1 AND s.generation = $2 AND s.audience = 'group' AND s.started_at > $3 \
               AND (s.session_summary IS NOT NULL OR EXISTS (SELECT 1 FROM sessions_to_summarize w \
               WHERE w.session_id = s.id)) AND (SELECT COUNT(*) FROM sessions n \
               WHERE n.context_id = s.context_id AND n.generation = s.generation \
               AND n.session_summary IS NOT NULL AND n.started_at > s.started_at) >= $4 ORDER BY s.started_at LIMIT $5";
    let values = [channel.into(), generation.into(), after_ms.into(), SUMMARIES.into(), FOLDED.into()];
    let (mut summaries, mut to) = (Vec::new(), after_ms);
    for row in transaction.fetch(sql, &values).await? {
        if row.integer("waits")? > 0 {
            break;
        }
        // One that was erased just now is summarised anew, or has nothing to say.
        let Some(summary) = row.optional_text("session_summary")? else { continue };
        summaries.push(summary);
        to = row.integer("started_at")?;
    }
    Ok((summaries, to))
}
