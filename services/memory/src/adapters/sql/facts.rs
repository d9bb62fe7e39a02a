//! What is remembered of people: facts with their sources, their strength and the
//! history of their changes. How they change is next door.

use async_trait::async_trait;
use domain::ids::{ConversationId, FileId, TurnId};
use domain::memory::{Asking, Count, Fact, FactChange, FactOrigin, Passage, Searched};
use learn::fsrs::Memory;
use learn::relation::Relation;
use learn::strength::Strength;
use store::{Row, StoreError, Value};

use super::SqlMemory;
use super::changes::{By, Effect};
use super::mirrors::relation;
use super::passages::{ASSISTANT, CHANGED, ERASED};
use super::people;
use crate::ports::{Change, Erased, Erasure, Facts, FileOf, MemoryError, Remembered, SaidBy, Unlearnt, Unpurged};
use crate::scope::Scope;

/// The columns of a fact.
const FACT: &str = "f.id, f.content, f.category, f.is_key, f.visibility, f.origin, f.project, f.confidence, f.created_at, f.updated_at";
/// Facts of a person (`$1`) that are true, with their strength; `d.memory_id` is to
/// be named. SQLite takes a cross join in this order: it would rather read all that
/// a person has than look up a few by their ids.
pub(super) const DYNAMICS: &str = "SELECT f.id, f.content, f.category, f.is_key, f.visibility, f.origin, f.project, f.confidence, \
     f.created_at, f.updated_at, d.stability, d.difficulty, d.retrieval_strength, d.storage_strength, \
     d.last_accessed_at FROM memory_dynamics d CROSS JOIN memories f \
     WHERE f.id = d.memory_id AND f.user_id = $1 AND f.superseded_by IS NULL";
/// Most ids of one statement: databases limit what is bound.
pub(super) const IDS: usize = 500;

#[async_trait]
impl Facts for SqlMemory {
    async fn list(
        &self,
        user: &str,
        before: Option<&str>,
        project: &str,
        limit: u32,
    ) -> Result<Vec<Fact>, MemoryError> {
        let sql = format!(
            "SELECT {FACT} FROM memories f WHERE f.user_id = $1 AND f.superseded_by IS NULL \
             AND ($2 = '' OR f.position < (SELECT b.position FROM memories b WHERE b.id = $2 AND b.user_id = $1)) \
             AND ($4 = '' OR f.project = $4) ORDER BY f.position DESC, f.id LIMIT $3"
        );
        let values = [user.into(), before.unwrap_or_default().into(), i64::from(limit).into(), project.into()];
        let rows = self.database.fetch(&sql, &values).await?;
        Ok(rows.iter().map(fact).collect::<Result<_, _>>()?)
    }

    async fn keys(&self, user: &str, limit: u32) -> Result<Vec<Fact>, MemoryError> {
        let sql = format!(
            "SELECT {FACT} FROM memories f WHERE f.user_id = $1 AND f.is_key = 1 AND f.superseded_by IS NULL \
             ORDER BY f.position DESC, f.id LIMIT $2"
        );
        let rows = self.database.fetch(&sql, &[user.into(), i64::from(limit).into()]).await?;
        Ok(rows.iter().map(fact).collect::<Result<_, _>>()?)
    }

    async fn find(&self, user: &str, ids: &[String]) -> Result<Vec<Remembered>, MemoryError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS) {
            let sql = format!("{DYNAMICS} AND d.memory_id IN ({})", places(2, ids.len()));
            let rows = self.database.fetch(&sql, &with_ids(&[user.into()], ids)).await?;
            for row in &rows {
                found.push(remembered(row)?);
            }
        }
        Ok(found)
    }

    async fn relations(
        &self,
        user: &str,
        only_public: bool,
        project: &str,
        limit: u32,
    ) -> Result<Vec<Relation>, MemoryError> {
        let sql = "SELECT r.subject, r.predicate, r.object FROM memory_relations r JOIN memories f ON f.id = r.memory_id \
                   WHERE r.user_id = $1 AND f.superseded_by IS NULL AND ($2 = 0 OR f.visibility = 'public') \
                   AND (f.project = '' OR f.project = $4) ORDER BY f.position DESC, r.subject, r.object LIMIT $3";
        let values = [user.into(), i64::from(only_public).into(), i64::from(limit).into(), project.into()];
        let rows = self.database.fetch(sql, &values).await?;
        Ok(rows.iter().map(relation).collect::<Result<_, _>>()?)
    }

    async fn relations_of(
        &self,
        user: &str,
        only_public: bool,
        project: &str,
        ids: &[String],
    ) -> Result<Vec<Relation>, MemoryError> {
        let mut found = Vec::new();
        for ids in ids.chunks(IDS) {
            let sql = format!(
                "SELECT r.subject, r.predicate, r.object, f.position FROM memory_relations r \
                 JOIN memories f ON f.id = r.memory_id WHERE r.user_id = $1 AND f.superseded_by IS NULL \
                 AND ($2 = 0 OR f.visibility = 'public') AND (f.project = '' OR f.project = $3) AND r.memory_id IN ({})",
                places(4, ids.len())
            );
            let first = [user.into(), i64::from(only_public).into(), project.into()];
            for row in &self.database.fetch(&sql, &with_ids(&first, ids)).await? {
                found.push((row.integer("position")?, relation(row)?));
            }
        }
        found.sort_by(|one, other| other.cmp(one));
        Ok(found.into_iter().map(|(_, relation)| relation).collect())
    }

    async fn change(
        &self,
        user: &str,
        actor: &str,
        at_ms: i64,
        changes: &[Change],
        learnt: Option<TurnId>,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        // Who was a person when this was read may be another's account by now.
        let user = people::hold(&mut transaction, user).await?;
        let scope = Scope::Facts(user.clone()).to_string();
        let mut by = By { transaction: &mut transaction, user: &user, actor, at_ms };
        let (mut added, mut is_another) = (0, false);
        for change in changes {
            match by.apply(change).await? {
                Effect::Added => added += 1,
                Effect::Another => is_another = true,
                Effect::Same => {}
                Effect::Nothing => break,
            }
        }
        if added > 0 {
            transaction.execute(CHANGED, &[scope.as_str().into(), added.into(), 0.into()]).await?;
        }
        if is_another {
            transaction.execute(ERASED, &[scope.as_str().into()]).await?;
        }
        if let Some(turn) = learnt {
            transaction.execute("DELETE FROM turns_to_learn WHERE turn_id = $1", &[turn.to_string().into()]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn story(&self, user: &str, id: &str) -> Result<Option<(Fact, Vec<FactChange>, Vec<Passage>)>, MemoryError> {
        let values: [Value; 2] = [id.into(), user.into()];
        let sql = format!("SELECT {FACT} FROM memories f WHERE f.id = $1 AND f.user_id = $2");
        let Some(row) = self.database.fetch(&sql, &values).await?.pop() else { return Ok(None) };
        let sql = "SELECT event, old_memory, new_memory, actor_id, reason, created_at FROM memory_history \
                   WHERE memory_id = $1 AND user_id = $2 ORDER BY created_at, id LIMIT 200";
        let changes = self.database.fetch(sql, &values).await?;
        let sql = "SELECT m.id, m.role, m.name, m.content, m.created_at FROM memory_sources s \
                   JOIN memories f ON f.id = s.memory_id JOIN messages m ON m.id = s.message_id \
                   WHERE s.memory_id = $1 AND f.user_id = $2 ORDER BY m.position DESC LIMIT 50";
        let sources = self.database.fetch(sql, &values).await?;
        Ok(Some((
            fact(&row)?,
            changes.iter().map(change).collect::<Result<_, _>>()?,
            sources.iter().map(source).collect::<Result<_, _>>()?,
        )))
    }

    async fn undo(&self, user: &str, id: &str, since_ms: i64, at_ms: i64) -> Result<Option<Fact>, MemoryError> {
        let mut transaction = self.database.begin().await?;
        let user = people::hold(&mut transaction, user).await?;
        let (scope, user) = (Scope::Facts(user.clone()).to_string(), user.as_str());
        let sql = "SELECT id, event, old_memory, new_memory FROM memory_history WHERE memory_id = $1 AND user_id = $2 \
                   AND undone = 0 AND event IN ('UPDATE', 'MERGE', 'SUPERSEDE') AND created_at >= $3 \
                   ORDER BY created_at DESC, id DESC LIMIT 1";
        let found = transaction.fetch(sql, &[id.into(), user.into(), since_ms.into()]).await?;
        let Some(last) = found.first() else { return Ok(None) };
        let (event, old, new) = (last.text("event")?, last.text("old_memory")?, last.text("new_memory")?);
        let sql =
            "UPDATE memories SET content = $3, updated_at = $4, superseded_by = NULL WHERE id = $1 AND user_id = $2";
        let values: [Value; 4] = [id.into(), user.into(), old.as_str().into(), at_ms.into()];
        transaction.execute(sql, &values).await?;
        transaction.execute("DELETE FROM memory_vectors WHERE memory_id = $1", &[id.into()]).await?;
        transaction.execute("UPDATE memory_history SET undone = 1 WHERE id = $1", &[last.text("id")?.into()]).await?;
        transaction.execute(ERASED, &[scope.into()]).await?;
        let mut by = By { transaction: &mut transaction, user, actor: user, at_ms };
        by.relate(id, &old).await?;
        by.note(id, "UNDO", &new, &old, &event.to_lowercase()).await?;
        let sql = format!("SELECT {FACT} FROM memories f WHERE f.id = $1");
        let fact = transaction.fetch(&sql, &[id.into()]).await?.first().map(fact).transpose()?;
        transaction.commit().await?;
        Ok(fact)
    }

    async fn counts(&self, user: &str) -> Result<Vec<Count>, MemoryError> {
        const ALL: &[(&str, &str)] = &[
            ("memories", "SELECT COUNT(*) AS n FROM memories WHERE user_id = $1 AND superseded_by IS NULL"),
            ("key", "SELECT COUNT(*) AS n FROM memories WHERE user_id = $1 AND superseded_by IS NULL AND is_key = 1"),
            (
                "public",
                "SELECT COUNT(*) AS n FROM memories WHERE user_id = $1 AND superseded_by IS NULL AND visibility = 'public'",
            ),
            ("superseded", "SELECT COUNT(*) AS n FROM memories WHERE user_id = $1 AND superseded_by IS NOT NULL"),
            ("relations", "SELECT COUNT(*) AS n FROM memory_relations WHERE user_id = $1"),
            ("changes", "SELECT COUNT(*) AS n FROM memory_history WHERE user_id = $1"),
            (
                "memories with vectors",
                "SELECT COUNT(*) AS n FROM memory_vectors v JOIN memories f ON f.id = v.memory_id WHERE f.user_id = $1",
            ),
            (
                "messages",
                "SELECT COUNT(*) AS n FROM messages m JOIN sessions s ON s.id = m.session_id \
                 WHERE s.user_id = $1 AND s.audience = 'direct'",
            ),
            (
                "messages to embed",
                "SELECT COUNT(*) AS n FROM messages_to_embed e JOIN messages m ON m.id = e.message_id \
                 JOIN sessions s ON s.id = m.session_id WHERE s.user_id = $1 AND s.audience = 'direct'",
            ),
            (
                "turns to learn from",
                "SELECT COUNT(DISTINCT l.turn_id) AS n FROM turns_to_learn l JOIN messages m ON m.turn_id = l.turn_id \
                 WHERE m.user_id = $1",
            ),
        ];
        let mut counts = Vec::with_capacity(ALL.len());
        for (name, sql) in ALL {
            let rows = self.database.fetch(sql, &[user.into()]).await?;
            let value = rows.first().map_or(Ok(0), |row| row.integer("n"))?;
            counts.push(Count { name: (*name).to_owned(), value: u64::try_from(value).unwrap_or(0) });
        }
        Ok(counts)
    }

    async fn reindex(&self, user: &str) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        let sql = "DELETE FROM memory_vectors WHERE memory_id IN (SELECT id FROM memories WHERE user_id = $1)";
        transaction.execute(sql, &[user.into()]).await?;
        let facts = transaction.fetch("SELECT id, content FROM memories WHERE user_id = $1", &[user.into()]).await?;
        let mut by = By { transaction: &mut transaction, user, actor: user, at_ms: 0 };
        for row in &facts {
            by.relate(&row.text("id")?, &row.text("content")?).await?;
        }
        let own = "SELECT m.id FROM messages m JOIN sessions s ON s.id = m.session_id \
                   WHERE s.user_id = $1 AND s.audience = 'direct' AND m.kind IN ('said', 'answered') AND m.content <> ''";
        let sql = format!("DELETE FROM message_vectors WHERE message_id IN ({own})");
        transaction.execute(&sql, &[user.into()]).await?;
        if self.embeds {
            let sql = format!(
                "INSERT INTO messages_to_embed (message_id, position) SELECT m.id, m.position FROM messages m \
                 WHERE m.id IN ({own}) ON CONFLICT (message_id) DO NOTHING"
            );
            transaction.execute(&sql, &[user.into()]).await?;
        }
        for scope in [Scope::Facts(user.to_owned()), Scope::Person(user.to_owned())] {
            transaction.execute(ERASED, &[scope.to_string().into()]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn erase(
        &self,
        user: &str,
        what: Erasure<'_>,
        asking: Option<&Asking>,
        at_ms: i64,
    ) -> Result<Erased, MemoryError> {
        self.erase_all(user, what, asking, at_ms).await
    }

    async fn unpurged(&self, before_ms: i64, limit: u32) -> Result<Vec<Unpurged>, MemoryError> {
        let sql = "SELECT turn_id, conversation_id, erased_at, 1 AS is_erased FROM erased_turns \
                   WHERE purged = 0 AND erased_at <= $1 UNION ALL \
                   SELECT turn_id, conversation_id, erased_at, 0 FROM journals_to_purge WHERE erased_at <= $1 \
                   ORDER BY erased_at, turn_id LIMIT $2";
        let rows = self.database.fetch(sql, &[before_ms.into(), i64::from(limit).into()]).await?;
        let mut turns = Vec::with_capacity(rows.len());
        for row in &rows {
            let (turn, conversation) = (row.text("turn_id")?, row.text("conversation_id")?);
            if let (Ok(turn), Ok(conversation)) = (TurnId::parse(&turn), ConversationId::parse(&conversation)) {
                turns.push(Unpurged { conversation, turn, is_erased: row.integer("is_erased")? != 0 });
            }
        }
        Ok(turns)
    }

    async fn postpone_purge(&self, turn: TurnId, at_ms: i64) -> Result<(), MemoryError> {
        let sql = "UPDATE journals_to_purge SET erased_at = $2 WHERE turn_id = $1";
        self.database.execute(sql, &[turn.to_string().into(), at_ms.into()]).await?;
        Ok(())
    }

    async fn note_purged(&self, turn: TurnId, is_erased: bool) -> Result<(), MemoryError> {
        if is_erased {
            let sql = "UPDATE erased_turns SET purged = 1 WHERE turn_id = $1";
            self.database.execute(sql, &[turn.to_string().into()]).await?;
        }
        let sql = "DELETE FROM journals_to_purge WHERE turn_id = $1";
        self.database.execute(sql, &[turn.to_string().into()]).await?;
        Ok(())
    }

    async fn unpurged_files(&self, limit: u32) -> Result<Vec<FileOf>, MemoryError> {
        let sql = "SELECT context_id, file_id FROM files_to_purge ORDER BY context_id, file_id LIMIT $1";
        let rows = self.database.fetch(sql, &[i64::from(limit).into()]).await?;
        let mut files = Vec::with_capacity(rows.len());
        for row in &rows {
            let (conversation, file) = (row.text("context_id")?, row.text("file_id")?);
            if let Ok(conversation) = ConversationId::parse(&conversation) {
                files.push(FileOf { conversation, file: FileId::parse(&file).ok() });
            }
        }
        Ok(files)
    }

    async fn note_file_purged(&self, of: &FileOf) -> Result<(), MemoryError> {
        let sql = "DELETE FROM files_to_purge WHERE context_id = $1 AND file_id = $2";
        let file = of.file.as_ref().map_or("", FileId::as_str);
        self.database.execute(sql, &[of.conversation.as_str().into(), file.into()]).await?;
        Ok(())
    }

    async fn search_everywhere(&self, user: &str, texts: &[String]) -> Result<Vec<Searched>, MemoryError> {
        self.search_stores(user, texts).await
    }

    async fn claim(&self, replica: &str, now_ms: i64, until_ms: i64) -> Result<Option<Unlearnt>, MemoryError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock("turns_to_learn").await?;
        let sql = "SELECT turn_id, tries FROM turns_to_learn WHERE claimed_until < $1 ORDER BY position LIMIT 1";
        let Some(row) = transaction.fetch(sql, &[now_ms.into()]).await?.pop() else { return Ok(None) };
        let (id, tries) = (row.text("turn_id")?, row.integer("tries")?);
        let sql = "UPDATE turns_to_learn SET claimed_by = $2, claimed_until = $3, tries = tries + 1 WHERE turn_id = $1";
        transaction.execute(sql, &[id.as_str().into(), replica.into(), until_ms.into()]).await?;
        // By what its speaker had chosen when it was said, in a group too.
        let sql = "SELECT m.id, m.user_id, m.content, m.created_at, s.context_id, (SELECT c.project FROM conversation_projects c \
                   WHERE c.context_id = s.context_id AND c.user_id = m.user_id AND c.since <= m.created_at \
                   ORDER BY c.since DESC LIMIT 1) AS project FROM messages m JOIN sessions s ON s.id = m.session_id \
                   WHERE m.turn_id = $1 AND m.role = 'user' AND m.kind = 'said' ORDER BY m.position";
        let rows = transaction.fetch(sql, &[id.as_str().into()]).await?;
        transaction.commit().await?;
        let Ok(turn) = TurnId::parse(&id) else { return Ok(None) };
        let said = rows.iter().map(|row| {
            Ok::<_, StoreError>(SaidBy {
                id: row.text("id")?,
                user: row.text("user_id")?,
                conversation: ConversationId::parse(&row.text("context_id")?).ok(),
                text: row.text("content")?,
                at_ms: row.integer("created_at")?,
                project: row.optional_text("project")?.unwrap_or_default(),
            })
        });
        let said = said.collect::<Result<_, _>>()?;
        Ok(Some(Unlearnt { turn, tries: u32::try_from(tries).unwrap_or(u32::MAX), said }))
    }
}

/// `$from, $from+1, …`.
pub(super) fn places(from: usize, count: usize) -> String {
    (from..from + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn with_ids(first: &[Value], ids: &[String]) -> Vec<Value> {
    first.iter().cloned().chain(ids.iter().map(|id| id.as_str().into())).collect()
}

pub(super) fn fact(row: &Row) -> Result<Fact, StoreError> {
    Ok(Fact {
        id: row.text("id")?,
        text: row.text("content")?,
        created_at_ms: row.integer("created_at")?,
        updated_at_ms: row.integer("updated_at")?,
        category: row.text("category")?,
        is_key: row.integer("is_key")? != 0,
        is_public: row.text("visibility")? == "public",
        origin: FactOrigin::parse(&row.text("origin")?).unwrap_or(FactOrigin::Asked),
        project: row.text("project")?,
        confidence: u32::try_from(row.integer("confidence")?).unwrap_or(100),
    })
}

pub(super) fn remembered(row: &Row) -> Result<Remembered, StoreError> {
    let memory = Memory { stability: row.real("stability")?, difficulty: row.real("difficulty")? };
    let (retrieval, storage) = (row.real("retrieval_strength")?, row.real("storage_strength")?);
    Ok(Remembered {
        fact: fact(row)?,
        strength: Strength { memory, retrieval, storage },
        graded_at_ms: row.integer("last_accessed_at")?,
    })
}

fn change(row: &Row) -> Result<FactChange, StoreError> {
    Ok(FactChange {
        at_ms: row.integer("created_at")?,
        event: row.text("event")?,
        old: row.text("old_memory")?,
        new: row.text("new_memory")?,
        actor: row.text("actor_id")?,
        reason: row.text("reason")?,
    })
}

fn source(row: &Row) -> Result<Passage, StoreError> {
    let speaker = if row.text("role")? == "assistant" { ASSISTANT.to_owned() } else { row.text("name")? };
    Ok(Passage { id: row.text("id")?, speaker, text: row.text("content")?, at_ms: row.integer("created_at")? })
}
