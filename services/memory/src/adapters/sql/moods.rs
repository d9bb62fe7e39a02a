//! How sessions felt to their person, and the topics that come up again and again: of
//! direct conversations alone.

use async_trait::async_trait;
use learn::mood::{Course, Mood};
use learn::topic::Topic;
use store::{StoreError, Transaction, Value};

use super::{IDLE_MS, SqlMemory};
use crate::ports::{Felt, MemoryError, Moods};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a mood is spoken of.
const FELT_MS: i64 = 7 * DAY_MS;
/// Within which topics recur.
const RECUR_MS: i64 = 14 * DAY_MS;
/// Moods that a prompt may hold.
const MOODS: i64 = 3;
/// Topics that a prompt may hold.
const TOPICS: i64 = 3;
/// Messages of a session that are read, at most.
const READ: i64 = 200;

/// What the person said in a session, oldest first; nothing for a group.
pub(super) async fn own(transaction: &mut Transaction, session: &str) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT m.content FROM messages m JOIN sessions s ON s.id = m.session_id WHERE m.session_id = $1 \
               AND s.audience = 'direct' AND m.role = 'user' AND m.kind = 'said' ORDER BY m.position DESC LIMIT $2";
    let rows = transaction.fetch(sql, &[session.into(), READ.into()]).await?;
    rows.iter().rev().map(|row| row.text("content")).collect()
}

pub(super) async fn felt(transaction: &mut Transaction, session: &str, mood: Mood) -> Result<(), StoreError> {
    let sql = "INSERT INTO emotional_contexts (session_id, user_id, course, average, felt_at) \
               SELECT id, user_id, $2, $3, last_activity_at FROM sessions WHERE id = $1 \
               ON CONFLICT (session_id) DO UPDATE SET course = excluded.course, average = excluded.average, \
               felt_at = excluded.felt_at";
    let values: [Value; 3] = [session.into(), mood.course.as_str().into(), mood.average.into()];
    transaction.execute(sql, &values).await.map(|_| ())
}

/// The topics of a session, in place of those it had.
pub(super) async fn mentioned(
    transaction: &mut Transaction,
    session: &str,
    topics: &[Topic],
) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM topic_mentions WHERE session_id = $1", &[session.into()]).await?;
    let sql = "INSERT INTO topic_mentions (session_id, user_id, topic_key, name, topic_type, weight, mentioned_at) \
               SELECT id, user_id, $2, $3, $4, $5, last_activity_at FROM sessions \
               WHERE id = $1 AND audience = 'direct' ON CONFLICT (session_id, topic_key) DO NOTHING";
    for topic in topics {
        let values: [Value; 5] = [
            session.into(),
            topic.key().into(),
            topic.name.as_str().into(),
            topic.kind.as_str().into(),
            topic.weight.as_str().into(),
        ];
        transaction.execute(sql, &values).await?;
    }
    Ok(())
}

#[async_trait]
impl Moods for SqlMemory {
    async fn felt(&self, user: &str, now_ms: i64) -> Result<Vec<Felt>, MemoryError> {
        let sql = "SELECT e.course, e.average, e.felt_at, COALESCE(s.title, '') AS title FROM emotional_contexts e \
                   JOIN sessions s ON s.id = e.session_id WHERE e.user_id = $1 AND e.felt_at >= $2 \
                   AND s.last_activity_at < $3 ORDER BY e.felt_at DESC LIMIT $4";
        let values: [Value; 4] = [user.into(), (now_ms - FELT_MS).into(), (now_ms - IDLE_MS).into(), MOODS.into()];
        let mut felt = Vec::new();
        for row in &self.database.fetch(sql, &values).await? {
            let Some(course) = Course::parse(&row.text("course")?) else { continue };
            let mood = Mood { course, average: row.real("average")? };
            felt.push(Felt { at_ms: row.integer("felt_at")?, title: row.text("title")?, mood });
        }
        Ok(felt)
    }

    async fn recurring(&self, user: &str, now_ms: i64) -> Result<Vec<(String, u64)>, MemoryError> {
        let sql = "SELECT MAX(name) AS name, COUNT(*) AS n FROM topic_mentions WHERE user_id = $1 AND mentioned_at >= $2 \
                   GROUP BY topic_key HAVING COUNT(*) >= 2 ORDER BY SUM(CASE weight WHEN 'heavy' THEN 3 \
                   WHEN 'moderate' THEN 2 ELSE 1 END) DESC, MAX(name) LIMIT $3";
        let values: [Value; 3] = [user.into(), (now_ms - RECUR_MS).into(), TOPICS.into()];
        let rows = self.database.fetch(sql, &values).await?;
        let topic =
            |row: &store::Row| Ok::<_, StoreError>((row.text("name")?, u64::try_from(row.integer("n")?).unwrap_or(0)));
        Ok(rows.iter().map(topic).collect::<Result<_, _>>()?)
    }
}
