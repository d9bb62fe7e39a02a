//! Sessions and messages in SQL, on SQLite and PostgreSQL.

mod changes; // How facts change.
mod channels; // What was said in groups long ago.
mod erase; // Erasing.
mod fact_vectors; // Facts for the index, and their vectors.
mod facts; // What is remembered of people.
mod files; // What came with messages.
mod intentions; // What people want to be reminded of.
pub(crate) mod mirrors; // What is copied to stores beside it.
mod moods; // How sessions felt, and what comes up again.
mod passages; // What was said, for the index.
mod people; // One person, several accounts.
mod projects; // What belongs to a topic.
mod proof; // Every store, searched for what was erased.
mod sessions; // What was said in one go, as people ask for it.
mod summaries; // What sessions were about.

use async_trait::async_trait;
use domain::ids::TurnId;
use domain::memory::{HistoryMessage, RecallRequest, Role};
use domain::message::Audience;
use store::{Database, Migration, Row, StoreError, Transaction, migration};
use uuid::Uuid;

use crate::learning::Learning;
use crate::ports::{History, Memory, MemoryError, Projected};
use crate::projection::{MessageRow, TurnRows, reply_id};
use crate::scope::Scope;

/// A session that nobody spoke in for this long is over: 30 minutes.
const IDLE_MS: i64 = 30 * 60 * 1000;

const MIGRATIONS: &[Migration] = &[
    migration!(1, "memory", "0001_memory"),
    migration!(2, "turns", "0002_turns"),
    migration!(3, "passages", "0003_passages"),
    migration!(4, "memories", "0004_memories"),
    migration!(5, "relations", "0005_relations"),
    migration!(6, "summaries", "0006_summaries"),
    migration!(7, "intentions", "0007_intentions"),
    migration!(8, "mirrors", "0008_mirrors"),
    migration!(9, "moods", "0009_moods"),
    migration!(10, "people", "0010_people"),
    migration!(11, "files", "0011_files"),
    migration!(12, "projects", "0012_projects"),
    migration!(13, "channels", "0013_channels"),
    migration!(14, "prompts", "0014_prompts"),
];

pub(crate) struct SqlMemory {
    database: Database,
    /// The project of everything that belongs to no other.
    project: String,
    /// Whether what is said is queued for a model that embeds.
    embeds: bool,
    learning: Learning,
    /// Whether vectors are compared elsewhere: then they need not be read.
    compares_elsewhere: bool,
}

impl SqlMemory {
    pub(crate) async fn prepare(
        database: Database,
        project: String,
        embeds: bool,
        learning: Learning,
    ) -> Result<Self, StoreError> {
        database.migrate(MIGRATIONS).await?;
        Ok(Self { database, project, embeds, learning, compares_elsewhere: false })
    }

    /// Leaves the vectors of texts in the database: another store compares them.
    pub(crate) fn comparing_elsewhere(self) -> Self {
        Self { compares_elsewhere: true, ..self }
    }

    /// Whether something may be learnt from a text.
    fn learns(&self, text: &str) -> bool {
        match self.learning {
            Learning::Off => false,
            // Rules are quick: what they find nothing in is not queued.
            Learning::Rules => !learn::statement::statements(text).is_empty(),
            Learning::Model => true,
        }
    }

    /// Whether something of another system has not been brought in before; from now on
    /// it has.
    pub(crate) async fn imports(&self, id: &str) -> Result<bool, MemoryError> {
        let sql = "INSERT INTO imported (id) VALUES ($1) ON CONFLICT (id) DO NOTHING";
        Ok(self.database.execute(sql, &[id.into()]).await? > 0)
    }

    /// Notes a change of a memory that another system made, if the memory is here.
    pub(crate) async fn import_change(
        &self,
        user: &str,
        memory: &str,
        (was, now): (&str, &str),
        at_ms: i64,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        let user = people::hold(&mut transaction, user).await?;
        let mut by = changes::By { transaction: &mut transaction, user: &user, actor: "import", at_ms };
        by.note_known(memory, "UPDATE", was, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Whether anything of a turn is here.
    pub(crate) async fn has_messages(&self, turn: TurnId) -> Result<bool, MemoryError> {
        let sql = "SELECT id FROM messages WHERE turn_id = $1 LIMIT 1";
        Ok(!self.database.fetch(sql, &[turn.to_string().into()]).await?.is_empty())
    }

    /// The name of the project of everything that belongs to no other.
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// The session that a message at `at_ms` belongs to: the running one, or a
    /// new one linked to it when it was idle for too long or was reset.
    async fn session(
        &self,
        transaction: &mut Transaction,
        rows: &TurnRows,
        owner: &str,
        (first_ms, at_ms): (i64, i64),
    ) -> Result<String, StoreError> {
        let context = rows.conversation.as_str();
        let generation = i64::from(rows.generation);
        let sql = format!(
            "SELECT s.id, s.generation, s.last_activity_at, s.archived, p.name, ({}) AS chosen FROM sessions s \
             JOIN projects p ON p.id = s.project_id WHERE s.context_id = $1 AND (s.audience = 'group' OR s.user_id = $2) \
             ORDER BY s.generation DESC, s.last_activity_at DESC, s.started_at DESC LIMIT 1",
            projects::CHOSEN
        );
        // Whose account was unlinked begins a session of their own.
        let last = transaction.fetch(&sql, &[context.into(), owner.into(), first_ms.into()]).await?;
        let chosen = match last.first() {
            Some(row) => row.optional_text("chosen")?.unwrap_or_default(),
            None => projects::of_conversation(transaction, context, owner, first_ms).await?,
        };
        let name = if chosen.is_empty() { self.project.as_str() } else { chosen.as_str() };
        let last = match last.first() {
            Some(row) => {
                // A group has one session, whoever speaks, and whatever they work on.
                let goes_on = row.integer("archived")? == 0
                    && (rows.audience == Audience::Group || row.text("name")? == name)
                    && row.integer("generation")? == generation
                    && at_ms - row.integer("last_activity_at")? < IDLE_MS;
                Some((row.text("id")?, goes_on))
            }
            None => None,
        };
        if let Some((id, true)) = &last {
            let sql = "UPDATE sessions SET last_activity_at = $1 WHERE id = $2 AND last_activity_at < $1";
            transaction.execute(sql, &[at_ms.into(), id.as_str().into()]).await?;
            return Ok(id.clone());
        }
        let project = projects::named(transaction, owner, name, at_ms).await?;
        let id = Uuid::now_v7().to_string();
        transaction
            .execute(
                "INSERT INTO sessions (id, project_id, user_id, context_id, started_at, last_activity_at, \
                 previous_session_id, generation, audience) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)",
                &[
                    id.as_str().into(),
                    project.into(),
                    owner.into(),
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
}

#[async_trait]
impl Memory for SqlMemory {
    async fn store_turn(&self, rows: &TurnRows) -> Result<Projected, MemoryError> {
        let Some(newest) = rows.messages.iter().map(|message| message.at_ms).max() else {
            return Ok(Projected::Whole);
        };
        let mut transaction = self.database.begin().await?;
        // Two replicas that project turns of one conversation take turns.
        transaction.lock(rows.conversation.as_str()).await?;
        // What is erased meanwhile is erased whole, or is not there yet and is refused here.
        let owner = people::hold(&mut transaction, &rows.owner).await?;
        // Both for the person and for the account, which may have been cleared before it was linked.
        let sql = "SELECT (SELECT COUNT(*) FROM erased_turns WHERE turn_id = $1) AS erased, \
                   (SELECT MAX(position) FROM erased_people WHERE user_id IN ($2, $3)) AS forgotten, \
                   (SELECT session_id FROM messages WHERE turn_id = $1 LIMIT 1) AS session";
        let known = transaction
            .fetch(sql, &[rows.turn.to_string().into(), owner.as_str().into(), rows.owner.as_str().into()])
            .await?;
        let mut known_session = None;
        if let Some(row) = known.first() {
            let forgotten = row.optional_integer("forgotten")?;
            let is_forgotten = |message: &MessageRow| forgotten.is_some_and(|until| message.position <= until);
            if row.integer("erased")? > 0 || rows.messages.iter().any(is_forgotten) {
                return Ok(Projected::Whole);
            }
            known_session = row.optional_text("session")?;
        }
        let session = match known_session {
            Some(session) => session,
            None => {
                // What is said is about what the person had chosen then, however long the answer took.
                let said = rows.messages.iter().filter(|message| message.role == Role::User);
                let first = said.map(|message| message.at_ms).min().unwrap_or(newest);
                self.session(&mut transaction, rows, &owner, (first, newest)).await?
            }
        };
        let (mut said, mut to_learn, mut reply_is_new, mut is_due) = (0, None, false, false);
        for message in &rows.messages {
            let user = match message.user == rows.owner {
                true => owner.clone(),
                false => people::person(&mut transaction, &message.user).await?,
            };
            let role = match message.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            let is_new = transaction
                .execute(
                    "INSERT INTO messages (id, session_id, user_id, role, name, content, created_at, turn_id, kind, position, \
                      attachments) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
                    &[
                        message.id.as_str().into(),
                        session.as_str().into(),
                        user.into(),
                        role.into(),
                        message.name.as_str().into(),
                        // PostgreSQL stores no NUL in text.
                        message.text.replace('\0', "").into(),
                        message.at_ms.into(),
                        rows.turn.to_string().into(),
                        message.kind.into(),
                        message.position.into(),
                        files::to_column(&message.attachments),
                    ],
                )
                .await?;
            if is_new == 0 || !is_passage(message) {
                continue;
            }
            said += 1;
            reply_is_new |= message.role == Role::Assistant;
            to_learn =
                to_learn.or((message.role == Role::User && self.learns(&message.text)).then_some(message.position));
            if self.embeds {
                let sql = "INSERT INTO messages_to_embed (message_id, position) VALUES ($1, $2)";
                transaction.execute(sql, &[message.id.as_str().into(), message.position.into()]).await?;
            }
        }
        if said > 0 {
            let scope = Scope::of(rows.audience, &owner, &rows.conversation);
            transaction.execute(passages::CHANGED, &[scope.to_string().into(), said.into(), 0.into()]).await?;
            if self.learning != Learning::Off {
                is_due = summaries::said(&mut transaction, &session, said, newest).await?;
            }
        }
        if reply_is_new {
            changes::strengthen(&mut transaction, &owner, newest, &rows.used).await?;
            intentions::fired(&mut transaction, &owner, newest, &rows.reminded).await?;
        }
        if let Some(position) = to_learn {
            let sql = "INSERT INTO turns_to_learn (turn_id, position) VALUES ($1, $2) ON CONFLICT (turn_id) DO NOTHING";
            transaction.execute(sql, &[rows.turn.to_string().into(), position.into()]).await?;
        }
        transaction.commit().await?;
        let waits = to_learn.is_some() || is_due || (self.embeds && said > 0);
        Ok(if waits { Projected::Waits } else { Projected::Whole })
    }

    async fn has_reply(&self, turn: TurnId) -> Result<bool, MemoryError> {
        // One that was erased is there no more, and must not be brought in again.
        let sql = "SELECT id FROM messages WHERE id = $1 UNION ALL SELECT turn_id FROM erased_turns WHERE turn_id = $2";
        let rows = self.database.fetch(sql, &[reply_id(turn).into(), turn.to_string().into()]).await?;
        Ok(!rows.is_empty())
    }

    async fn history(&self, request: &RecallRequest) -> Result<History, MemoryError> {
        let sql = "SELECT m.id, m.role, m.name, m.content, m.created_at, m.attachments \
                   FROM messages m JOIN sessions s ON s.id = m.session_id \
                   WHERE s.context_id = $1 AND s.generation = $2 AND s.archived = 0 AND m.kind <> 'failed' \
                   ORDER BY m.position DESC LIMIT $3";
        let values = [
            request.conversation.as_str().into(),
            i64::from(request.generation).into(),
            i64::from(request.history_limit).into(),
        ];
        let rows = self.database.fetch(sql, &values).await?;
        let mut messages = rows.iter().map(history_message).collect::<Result<Vec<_>, _>>()?;
        messages.reverse();
        let mut holds_previous = false;
        if let Some(previous) = request.previous.map(reply_id) {
            for row in &rows {
                holds_previous |= row.text("id")? == previous;
            }
        }
        Ok(History { messages, holds_previous })
    }
}

/// Whether a message can be found later.
fn is_passage(message: &MessageRow) -> bool {
    matches!(message.kind, "said" | "answered") && !message.text.is_empty()
}

fn history_message(row: &Row) -> Result<HistoryMessage, StoreError> {
    let role = if row.text("role")? == "assistant" { Role::Assistant } else { Role::User };
    Ok(HistoryMessage {
        role,
        name: row.text("name")?,
        text: row.text("content")?,
        attachments: files::from_column(row.optional_text("attachments")?.as_deref()),
        at_ms: row.integer("created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Facts;

    #[tokio::test]
    async fn facts_of_an_older_build_are_memories_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(&folder.path().join("m.sqlite")).await.unwrap();
        database.migrate(&MIGRATIONS[..3]).await.unwrap();
        let sql = "INSERT INTO facts (id, user_id, content, created_at) VALUES ('1', 'ann', 'likes tea', 7)";
        database.execute(sql, &[]).await.unwrap();
        let memory = SqlMemory::prepare(database, "p".into(), false, Learning::Off).await.unwrap();
        let listed = memory.list("ann", None, "", 10).await.unwrap();
        let found = memory.find("ann", &["1".into()]).await.unwrap();
        let shown = memory.facts_after("ann", (i64::MIN, ""), "", 10).await.unwrap();
        assert_eq!((listed.len(), found.len(), shown.len()), (1, 1, 1));
        assert_eq!((listed[0].text.as_str(), found[0].fact.created_at_ms), ("likes tea", 7));
    }
}
