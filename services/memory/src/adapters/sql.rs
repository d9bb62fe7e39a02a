//! Sessions, messages and facts in SQL, on SQLite and PostgreSQL.

mod passages; // What was said, for the index.

use async_trait::async_trait;
use domain::ids::TurnId;
use domain::memory::{Fact, HistoryMessage, RecallRequest, Role, search_words};
use domain::message::Audience;
use store::{Database, Dialect, Migration, Row, StoreError, Transaction, Value};
use uuid::Uuid;

use crate::ports::{Memory, MemoryError};
use crate::projection::{MessageRow, TurnRows, reply_id};
use crate::scope::Scope;

/// A session that nobody spoke in for this long is over: 30 minutes.
const IDLE_MS: i64 = 30 * 60 * 1000;

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "memory",
        sqlite: include_str!("../../migrations/0001_memory.sqlite.sql"),
        postgres: include_str!("../../migrations/0001_memory.postgres.sql"),
    },
    Migration {
        version: 2,
        name: "turns",
        sqlite: include_str!("../../migrations/0002_turns.sqlite.sql"),
        postgres: include_str!("../../migrations/0002_turns.postgres.sql"),
    },
    Migration {
        version: 3,
        name: "passages",
        sqlite: include_str!("../../migrations/0003_passages.sqlite.sql"),
        postgres: include_str!("../../migrations/0003_passages.postgres.sql"),
    },
];

pub(crate) struct SqlMemory {
    database: Database,
    /// The project of everything that belongs to no other.
    project: String,
    /// Whether what is said is queued for a model that embeds.
    embeds: bool,
}

impl SqlMemory {
    pub(crate) async fn prepare(database: Database, project: String, embeds: bool) -> Result<Self, StoreError> {
        database.migrate(MIGRATIONS).await?;
        Ok(Self { database, project, embeds })
    }

    /// The session that a message at `at_ms` belongs to: the running one, or a
    /// new one linked to it when it was idle for too long or was reset.
    async fn session(&self, transaction: &mut Transaction, rows: &TurnRows, at_ms: i64) -> Result<String, StoreError> {
        let context = rows.conversation.as_str();
        let generation = i64::from(rows.generation);
        let last = transaction
            .fetch(
                "SELECT id, generation, last_activity_at FROM sessions WHERE context_id = $1 AND archived = 0 \
                 ORDER BY generation DESC, last_activity_at DESC LIMIT 1",
                &[context.into()],
            )
            .await?;
        let last = match last.first() {
            Some(row) => Some((row.text("id")?, row.integer("generation")?, row.integer("last_activity_at")?)),
            None => None,
        };
        if let Some((id, of, active)) = &last
            && *of == generation
            && at_ms - active < IDLE_MS
        {
            let sql = "UPDATE sessions SET last_activity_at = $1 WHERE id = $2 AND last_activity_at < $1";
            transaction.execute(sql, &[at_ms.into(), id.as_str().into()]).await?;
            return Ok(id.clone());
        }
        let project = self.project(transaction, &rows.owner, at_ms).await?;
        let id = Uuid::now_v7().to_string();
        transaction
            .execute(
                "INSERT INTO sessions (id, project_id, user_id, context_id, started_at, last_activity_at, \
                 previous_session_id, generation, audience) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)",
                &[
                    id.as_str().into(),
                    project.into(),
                    rows.owner.as_str().into(),
                    context.into(),
                    at_ms.into(),
                    last.map(|(id, ..)| id).into(),
                    generation.into(),
                    match rows.audience {
                        Audience::Direct => "direct",
                        Audience::Group => "group",
                    }
                    .into(),
                ],
            )
            .await?;
        Ok(id)
    }

    async fn project(&self, transaction: &mut Transaction, owner: &str, at_ms: i64) -> Result<String, StoreError> {
        let sql = "INSERT INTO projects (id, owner_id, name, created_at, updated_at) VALUES ($1, $2, $3, $4, $4) \
                   ON CONFLICT (owner_id, name) DO NOTHING";
        let id = Uuid::now_v7().to_string();
        transaction.execute(sql, &[id.into(), owner.into(), self.project.as_str().into(), at_ms.into()]).await?;
        let sql = "SELECT id FROM projects WHERE owner_id = $1 AND name = $2";
        let rows = transaction.fetch(sql, &[owner.into(), self.project.as_str().into()]).await?;
        rows.first().map_or_else(|| Ok(String::new()), |row| row.text("id"))
    }
}

#[async_trait]
impl Memory for SqlMemory {
    async fn store_turn(&self, rows: &TurnRows) -> Result<(), MemoryError> {
        let Some(newest) = rows.messages.iter().map(|message| message.at_ms).max() else { return Ok(()) };
        let mut transaction = self.database.begin().await?;
        // Two replicas that project turns of one conversation take turns.
        transaction.lock(rows.conversation.as_str()).await?;
        let known = "SELECT session_id FROM messages WHERE turn_id = $1 LIMIT 1";
        let session = match transaction.fetch(known, &[rows.turn.to_string().into()]).await?.first() {
            Some(row) => row.text("session_id")?,
            None => self.session(&mut transaction, rows, newest).await?,
        };
        let mut said = 0;
        for message in &rows.messages {
            let role = match message.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            let is_new = transaction
                .execute(
                    "INSERT INTO messages (id, session_id, user_id, role, name, content, created_at, turn_id, kind, position) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
                    &[
                        message.id.as_str().into(),
                        session.as_str().into(),
                        message.user.as_str().into(),
                        role.into(),
                        message.name.as_str().into(),
                        // PostgreSQL stores no NUL in text.
                        message.text.replace('\0', "").into(),
                        message.at_ms.into(),
                        rows.turn.to_string().into(),
                        message.kind.into(),
                        message.position.into(),
                    ],
                )
                .await?;
            if is_new == 0 || !is_passage(message) {
                continue;
            }
            said += 1;
            if self.embeds {
                let sql = "INSERT INTO messages_to_embed (message_id, position) VALUES ($1, $2)";
                transaction.execute(sql, &[message.id.as_str().into(), message.position.into()]).await?;
            }
        }
        if said > 0 {
            let scope = Scope::of(rows.audience, &rows.owner, &rows.conversation);
            transaction.execute(passages::CHANGED, &[scope.to_string().into(), said.into(), 0.into()]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn has_reply(&self, turn: TurnId) -> Result<bool, MemoryError> {
        let rows = self.database.fetch("SELECT id FROM messages WHERE id = $1", &[reply_id(turn).into()]).await?;
        Ok(!rows.is_empty())
    }

    async fn history(&self, request: &RecallRequest) -> Result<Vec<HistoryMessage>, MemoryError> {
        let sql = "SELECT m.role, m.name, m.content, m.created_at FROM messages m JOIN sessions s ON s.id = m.session_id \
                   WHERE s.context_id = $1 AND s.generation = $2 AND m.kind <> 'failed' \
                   ORDER BY m.position DESC LIMIT $3";
        let values = [
            request.conversation.as_str().into(),
            i64::from(request.generation).into(),
            i64::from(request.history_limit).into(),
        ];
        let rows = self.database.fetch(sql, &values).await?;
        let mut history = rows.iter().map(history_message).collect::<Result<Vec<_>, _>>()?;
        history.reverse();
        Ok(history)
    }

    async fn remember(&self, user: &str, fact: &Fact) -> Result<Fact, MemoryError> {
        // The same words again are the same memory.
        let sql = "SELECT id, content, created_at FROM facts WHERE user_id = $1 AND (id = $2 OR content = $3) LIMIT 1";
        let known =
            self.database.fetch(sql, &[user.into(), fact.id.as_str().into(), fact.text.as_str().into()]).await?;
        if let Some(row) = known.first() {
            return Ok(fact_row(row)?);
        }
        let sql =
            "INSERT INTO facts (id, user_id, content, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING";
        let values = [fact.id.as_str().into(), user.into(), fact.text.as_str().into(), fact.created_at_ms.into()];
        self.database.execute(sql, &values).await?;
        Ok(fact.clone())
    }

    async fn search(&self, user: &str, query: &str, limit: u32) -> Result<Vec<Fact>, MemoryError> {
        let words = search_words(query);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        // Words hold letters and digits alone, so they cannot change the query.
        let (sql, expression) = match self.database.dialect() {
            Dialect::Sqlite => (
                "SELECT f.id, f.content, f.created_at FROM facts_text t JOIN facts f ON f.rowid = t.rowid \
                 WHERE t.content MATCH $1 AND f.user_id = $2 ORDER BY bm25(facts_text), f.created_at DESC LIMIT $3",
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" OR "),
            ),
            Dialect::Postgres => (
                "SELECT id, content, created_at FROM facts \
                 WHERE to_tsvector('english', content) @@ to_tsquery('english', $1) AND user_id = $2 \
                 ORDER BY ts_rank(to_tsvector('english', content), to_tsquery('english', $1)) DESC, created_at DESC LIMIT $3",
                words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" | "),
            ),
        };
        let rows = self.database.fetch(sql, &[expression.into(), user.into(), i64::from(limit).into()]).await?;
        Ok(rows.iter().map(fact_row).collect::<Result<_, _>>()?)
    }

    async fn list(&self, user: &str, limit: u32) -> Result<Vec<Fact>, MemoryError> {
        let sql = "SELECT id, content, created_at FROM facts WHERE user_id = $1 ORDER BY created_at DESC, id LIMIT $2";
        let rows = self.database.fetch(sql, &[user.into(), i64::from(limit).into()]).await?;
        Ok(rows.iter().map(fact_row).collect::<Result<_, _>>()?)
    }

    async fn forget(&self, user: &str, ids: &[String]) -> Result<Vec<Fact>, MemoryError> {
        let mut forgotten = Vec::new();
        let mut transaction = self.database.begin().await?;
        for id in ids {
            let values: [Value; 2] = [id.as_str().into(), user.into()];
            let sql = "SELECT id, content, created_at FROM facts WHERE id = $1 AND user_id = $2";
            for row in transaction.fetch(sql, &values).await? {
                forgotten.push(fact_row(&row)?);
            }
            transaction.execute("DELETE FROM facts WHERE id = $1 AND user_id = $2", &values).await?;
        }
        transaction.commit().await?;
        Ok(forgotten)
    }
}

/// Whether a message can be found later.
fn is_passage(message: &MessageRow) -> bool {
    matches!(message.kind, "said" | "answered") && !message.text.is_empty()
}

fn history_message(row: &Row) -> Result<HistoryMessage, StoreError> {
    let role = if row.text("role")? == "assistant" { Role::Assistant } else { Role::User };
    Ok(HistoryMessage { role, name: row.text("name")?, text: row.text("content")?, at_ms: row.integer("created_at")? })
}

fn fact_row(row: &Row) -> Result<Fact, StoreError> {
    Ok(Fact { id: row.text("id")?, text: row.text("content")?, created_at_ms: row.integer("created_at")? })
}
