//! The proof of an erasure: every store of the database, searched for what was erased.

use domain::memory::Searched;
use store::Value;

use super::SqlMemory;
use crate::ports::MemoryError;

/// Where text of people is kept: the store's name, its column, and how its rows
/// belong to a person (`$1`).
const STORES: &[(&str, &str, &str)] = &[
    ("memories", "SELECT COUNT(*) AS n FROM memories t WHERE t.user_id = $1", "t.content"),
    ("memory_history, old", "SELECT COUNT(*) AS n FROM memory_history t WHERE t.user_id = $1", "t.old_memory"),
    ("memory_history, new", "SELECT COUNT(*) AS n FROM memory_history t WHERE t.user_id = $1", "t.new_memory"),
    (
        "memory_vectors",
        "SELECT COUNT(*) AS n FROM memory_vectors v JOIN memories t ON t.id = v.memory_id WHERE t.user_id = $1",
        "t.content",
    ),
    (
        "memory_sources",
        "SELECT COUNT(*) AS n FROM memory_sources v JOIN memories t ON t.id = v.memory_id WHERE t.user_id = $1",
        "t.content",
    ),
    ("intentions", "SELECT COUNT(*) AS n FROM intentions t WHERE t.user_id = $1", "t.content"),
    ("memories, project", "SELECT COUNT(*) AS n FROM memories t WHERE t.user_id = $1 AND t.project <> ''", "t.project"),
    ("projects", "SELECT COUNT(*) AS n FROM projects t WHERE t.owner_id = $1 AND t.name <> t.id", "t.name"),
    ("conversation_projects", "SELECT COUNT(*) AS n FROM conversation_projects t WHERE t.user_id = $1", "t.project"),
    ("topic_mentions", "SELECT COUNT(*) AS n FROM topic_mentions t WHERE t.user_id = $1", "t.name"),
    (
        "memory_relations",
        "SELECT COUNT(*) AS n FROM memory_relations r JOIN memories t ON t.id = r.memory_id WHERE r.user_id = $1",
        "t.content",
    ),
    (
        "messages",
        "SELECT COUNT(*) AS n FROM messages t JOIN sessions s ON s.id = t.session_id \
         WHERE (t.user_id = $1 OR (s.user_id = $1 AND s.audience = 'direct'))",
        "t.content || ' ' || COALESCE(t.attachments, '')",
    ),
    (
        "message_vectors",
        "SELECT COUNT(*) AS n FROM message_vectors v JOIN messages t ON t.id = v.message_id WHERE t.user_id = $1",
        "t.content",
    ),
    (
        "messages_to_embed",
        "SELECT COUNT(*) AS n FROM messages_to_embed v JOIN messages t ON t.id = v.message_id WHERE t.user_id = $1",
        "t.content",
    ),
    (
        "turns_to_learn",
        "SELECT COUNT(*) AS n FROM turns_to_learn l JOIN messages t ON t.turn_id = l.turn_id WHERE t.user_id = $1",
        "t.content",
    ),
    (
        "sessions",
        "SELECT COUNT(*) AS n FROM sessions t WHERE t.user_id = $1",
        "COALESCE(t.title, '') || ' ' || COALESCE(t.session_summary, '') || ' ' || COALESCE(t.context_snapshot, '')",
    ),
    (
        "channel_summaries",
        "SELECT COUNT(*) AS n FROM channel_summaries t WHERE EXISTS (SELECT 1 FROM sessions s JOIN messages m \
         ON m.session_id = s.id WHERE s.context_id = t.channel_id AND m.user_id = $1)",
        "t.summary",
    ),
];

impl SqlMemory {
    pub(super) async fn search_stores(&self, user: &str, texts: &[String]) -> Result<Vec<Searched>, MemoryError> {
        let mut all = Vec::with_capacity(STORES.len());
        for (store, sql, column) in STORES {
            let mut sql = (*sql).to_owned();
            let mut values: Vec<Value> = vec![user.into()];
            let any: Vec<String> = (0..texts.len()).map(|place| holds(column, 2 * place + 2)).collect();
            if !any.is_empty() {
                sql.push_str(&format!(" AND ({})", any.join(" OR ")));
            }
            values.extend(texts.iter().flat_map(|text| patterns(text)));
            let rows = self.database.fetch(&sql, &values).await?;
            let found = rows.first().map_or(Ok(0), |row| row.integer("n"))?;
            all.push(Searched { store: (*store).to_owned(), found: u64::try_from(found).unwrap_or(0) });
        }
        Ok(all)
    }
}

/// Whether a column may hold a text, which is bound as two patterns from this place
/// on: databases know the two cases of few alphabets.
pub(super) fn holds(column: &str, place: usize) -> String {
    let raw = place + 1;
    format!("(LOWER({column}) LIKE ${place} ESCAPE '\\' OR {column} LIKE ${raw} ESCAPE '\\')")
}

pub(super) fn patterns(text: &str) -> [Value; 2] {
    let pattern = |text: &str| {
        let plain = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Value::from(format!("%{plain}%"))
    };
    [pattern(&text.to_lowercase()), pattern(text)]
}
