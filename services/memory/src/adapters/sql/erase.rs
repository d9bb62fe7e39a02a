//! Erasing what is remembered with everything it came from. The proof is next door.
//!
//! A fact goes with its vectors, its history and what it superseded; the exchanges
//! that it was learnt from go with it, and so does whatever else of the person's
//! holds its words. A turn that was erased is noted, without its words, so that
//! nobody brings it in again from a journal.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{ConversationId, FileId, TurnId};
use domain::memory::Asking;
use store::{StoreError, Transaction, Value};
use tracing::warn;

use super::facts::{fact, places, with_ids};
use super::passages::ERASED;
use super::proof::{holds, patterns};
use super::{SqlMemory, channels, files, people};
use crate::ports::{Erased, Erasure, FileOf, MemoryError, is_looked_for};
use crate::scope::Scope;

/// How long the bus keeps journals (`nats/streams.toml`): 14 days.
const JOURNALS_MS: i64 = 14 * 24 * 60 * 60 * 1000;

impl SqlMemory {
    pub(super) async fn erase_all(
        &self,
        user: &str,
        what: Erasure<'_>,
        asking: Option<&Asking>,
        at_ms: i64,
    ) -> Result<Erased, MemoryError> {
        let mut transaction = self.database.begin().await?;
        // Who was a person when this was asked may be another's account by now.
        let user = &people::hold(&mut transaction, user).await?;
        let erased = Erased { person: user.clone(), ..Erased::default() };
        let (since_ms, contexts) = (i64::MAX, BTreeSet::new());
        let mut erasing = Erasing { transaction: &mut transaction, user, at_ms, since_ms, contexts, erased };
        match what {
            Erasure::Facts(ids) => erasing.facts(ids).await?,
            Erasure::Everything => erasing.everything().await?,
        }
        if let Some(Asking { conversation, turn, after }) = asking {
            erasing.note(conversation.as_str(), &turn.to_string()).await?;
            if let Some(after) = after {
                erasing.turns(BTreeSet::from([after.to_string()])).await?;
                erasing.note(conversation.as_str(), &after.to_string()).await?;
            }
        }
        erasing.prompts().await?;
        let erased = erasing.erased;
        transaction.commit().await?;
        // What was deleted leaves the files too; if not now, with the next erasure.
        if let Err(err) = self.database.scrub().await {
            warn!(error = %err, "failed to remove what was erased from the database's files");
        }
        Ok(erased)
    }
}

/// Whether a text holds another, in either case, as words of its own.
fn holds_whole(text: &str, part: &str) -> bool {
    let (text, part) = (text.to_lowercase(), part.to_lowercase());
    let is_apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(&part).any(|(place, found)| {
        is_apart(text[..place].chars().next_back()) && is_apart(text[place + found.len()..].chars().next())
    })
}

struct Erasing<'a> {
    transaction: &'a mut Transaction,
    user: &'a str,
    at_ms: i64,
    /// When the oldest of what was erased was said or stored.
    since_ms: i64,
    /// The conversations in which it was said.
    contexts: BTreeSet<String>,
    erased: Erased,
}

impl Erasing<'_> {
    async fn facts(&mut self, ids: &[String]) -> Result<(), StoreError> {
        let mut open: Vec<String> = ids.to_vec();
        let mut known = BTreeSet::new();
        let mut texts = BTreeSet::new();
        let mut turns = BTreeSet::new();
        while let Some(id) = open.pop() {
            let values: [Value; 2] = [id.as_str().into(), self.user.into()];
            let sql = "SELECT f.id, f.content, f.category, f.is_key, f.visibility, f.origin, f.project, f.confidence, f.created_at, \
                       f.updated_at FROM memories f WHERE f.id = $1 AND f.user_id = $2";
            let Some(row) = self.transaction.fetch(sql, &values).await?.pop() else { continue };
            let fact = fact(&row)?;
            self.since_ms = self.since_ms.min(fact.created_at_ms);
            texts.insert(fact.text.clone());
            self.erased.facts.push(fact);
            // What took its place is another's text, and stays.
            let sql = "SELECT old_memory, new_memory FROM memory_history \
                       WHERE memory_id = $1 AND user_id = $2 AND event IN ('ADD', 'UPDATE', 'MERGE')";
            for row in self.transaction.fetch(sql, &values).await? {
                texts.extend([row.text("old_memory")?, row.text("new_memory")?]);
            }
            let sql =
                "SELECT m.turn_id FROM memory_sources s JOIN messages m ON m.id = s.message_id WHERE s.memory_id = $1";
            for row in self.transaction.fetch(sql, &values[..1]).await? {
                turns.insert(row.text("turn_id")?);
            }
            // What it took the place of says much the same.
            let sql = "SELECT id FROM memories WHERE superseded_by = $1 AND user_id = $2";
            for row in self.transaction.fetch(sql, &values).await? {
                let before = row.text("id")?;
                if known.insert(before.clone()) {
                    open.push(before);
                }
            }
            known.insert(id);
        }
        texts.remove("");
        for text in &texts {
            // What it took the place of, or gave way to, tells of it.
            let sql = "DELETE FROM memory_history WHERE user_id = $1 AND (old_memory = $2 OR new_memory = $2)";
            self.transaction.execute(sql, &[self.user.into(), text.as_str().into()]).await?;
        }
        for text in texts.iter().filter(|text| is_looked_for(text)) {
            let [lower, raw] = patterns(text);
            let values = [self.user.into(), lower, raw];
            let sql = format!("SELECT id, content FROM intentions WHERE user_id = $1 AND {}", holds("content", 2));
            for row in self.transaction.fetch(&sql, &values).await? {
                if holds_whole(&row.text("content")?, text) {
                    self.transaction.execute("DELETE FROM intentions WHERE id = $1", &[row.text("id")?.into()]).await?;
                }
            }
            let sql = format!(
                "SELECT t.turn_id, t.content FROM messages t JOIN sessions s ON s.id = t.session_id \
                 WHERE (t.user_id = $1 OR (s.user_id = $1 AND s.audience = 'direct')) AND {}",
                holds("t.content", 2)
            );
            for row in self.transaction.fetch(&sql, &values).await? {
                if holds_whole(&row.text("content")?, text) {
                    turns.insert(row.text("turn_id")?);
                }
            }
        }
        let known: Vec<String> = known.into_iter().collect();
        for ids in known.chunks(100) {
            let sql = format!("DELETE FROM memories WHERE user_id = $1 AND id IN ({})", places(2, ids.len()));
            self.transaction.execute(&sql, &with_ids(&[self.user.into()], ids)).await?;
        }
        if !known.is_empty() {
            self.begin_anew(&Scope::Facts(self.user.to_owned())).await?;
        }
        self.erased.ids.extend(known);
        self.erased.texts = texts.into_iter().collect();
        self.turns(turns).await
    }

    /// Erases what a person said in these turns, and what was answered.
    async fn turns(&mut self, turns: BTreeSet<String>) -> Result<(), StoreError> {
        let (mut scopes, mut brought) = (BTreeMap::new(), BTreeSet::new());
        for turn in turns {
            let mut context = String::new();
            let sql = "SELECT s.id, s.context_id, s.audience, s.user_id, MIN(m.created_at) AS since FROM messages m \
                       JOIN sessions s ON s.id = m.session_id WHERE m.turn_id = $1 \
                       GROUP BY s.id, s.context_id, s.audience, s.user_id";
            for row in self.transaction.fetch(sql, &[turn.as_str().into()]).await? {
                let (session, audience) = (row.text("id")?, row.text("audience")?);
                let Ok(conversation) = ConversationId::parse(&row.text("context_id")?) else { continue };
                context = conversation.to_string();
                self.contexts.insert(context.clone());
                self.since_ms = self.since_ms.min(row.integer("since")?);
                if let Ok(turn) = TurnId::parse(&turn) {
                    self.erased.turns.push((conversation.clone(), turn));
                }
                // Summaries may tell of it: they are written anew.
                if audience == "group" {
                    channels::erased(self.transaction, &context).await?;
                }
                let scope =
                    if audience == "group" { Scope::Group(conversation) } else { Scope::Person(row.text("user_id")?) };
                scopes.insert(scope.to_string(), scope);
                let sql = "UPDATE sessions SET title = NULL, session_summary = NULL, context_snapshot = NULL, \
                           summarized_to = 0 WHERE id = $1";
                self.transaction.execute(sql, &[session.as_str().into()]).await?;
                for table in ["emotional_contexts", "topic_mentions"] {
                    let sql = format!("DELETE FROM {table} WHERE session_id = $1");
                    self.transaction.execute(&sql, &[session.as_str().into()]).await?;
                }
                let sql = "INSERT INTO sessions_to_summarize (session_id, due_at, messages) VALUES ($1, $2, 1) \
                           ON CONFLICT (session_id) DO UPDATE SET due_at = $2, \
                           messages = sessions_to_summarize.messages + 1, claimed_until = 0";
                self.transaction.execute(sql, &[session.into(), self.at_ms.into()]).await?;
            }
            let of_turn: [Value; 2] = [turn.as_str().into(), self.user.into()];
            let sql = "SELECT id FROM messages WHERE turn_id = $1 AND (user_id = $2 OR role = 'assistant')";
            for row in self.transaction.fetch(sql, &of_turn).await? {
                self.erased.ids.push(row.text("id")?);
            }
            let sql =
                "SELECT attachments FROM messages WHERE turn_id = $1 AND user_id = $2 AND attachments IS NOT NULL";
            for row in self.transaction.fetch(sql, &of_turn).await? {
                let attached = files::from_column(row.optional_text("attachments")?.as_deref());
                brought.extend(attached.into_iter().map(|attachment| (context.clone(), attachment.file)));
            }
            let sql = "DELETE FROM messages WHERE turn_id = $1 AND (user_id = $2 OR role = 'assistant')";
            self.transaction.execute(sql, &of_turn).await?;
            self.transaction.execute("DELETE FROM turns_to_learn WHERE turn_id = $1", &[turn.as_str().into()]).await?;
            self.note(context.as_str(), &turn).await?;
        }
        for (context, file) in brought {
            // The same file may have come with something that stays.
            let sql = "SELECT m.id FROM messages m JOIN sessions s ON s.id = m.session_id \
                       WHERE s.context_id = $1 AND m.attachments LIKE $2 LIMIT 1";
            let values = [context.as_str().into(), format!("%{file}%").into()];
            if self.transaction.fetch(sql, &values).await?.is_empty() {
                self.purge_file(&context, Some(file)).await?;
            }
        }
        for scope in scopes.into_values() {
            self.begin_anew(&scope).await?;
        }
        Ok(())
    }

    /// Notes that a file is to be purged, or all of a conversation.
    async fn purge_file(&mut self, context: &str, file: Option<FileId>) -> Result<(), StoreError> {
        let Ok(conversation) = ConversationId::parse(context) else { return Ok(()) };
        let sql = "INSERT INTO files_to_purge (context_id, file_id) VALUES ($1, $2) \
                   ON CONFLICT (context_id, file_id) DO NOTHING";
        let values = [context.into(), file.as_ref().map_or("", FileId::as_str).into()];
        self.transaction.execute(sql, &values).await?;
        self.erased.files.push(FileOf { conversation, file });
        Ok(())
    }

    /// Notes that a turn is to be forgotten: nobody brings it in any more, and its
    /// journal is to be purged.
    async fn note(&mut self, conversation: &str, turn: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO erased_turns (turn_id, conversation_id, erased_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (turn_id) DO NOTHING";
        self.transaction.execute(sql, &[turn.into(), conversation.into(), self.at_ms.into()]).await.map(|_| ())
    }

    /// Notes the journals of the turns since in all conversations that the person took part
    /// in: their prompts may hold what was erased.
    async fn prompts(&mut self) -> Result<(), StoreError> {
        let since = self.since_ms.max(self.at_ms.saturating_sub(JOURNALS_MS));
        let theirs = "s.user_id = $3 OR s.context_id IN (SELECT p.context_id FROM messages o \
                      JOIN sessions p ON p.id = o.session_id WHERE o.user_id = $3 AND o.created_at >= $2)";
        // Nothing of the person's may be left there by now.
        let places = std::iter::once(theirs).chain(self.contexts.iter().map(|_| "s.context_id = $3"));
        let of = std::iter::once(self.user).chain(self.contexts.iter().map(String::as_str));
        for (place, of) in places.zip(of) {
            let sql = format!(
                "INSERT INTO journals_to_purge (turn_id, conversation_id, erased_at) \
                 SELECT DISTINCT m.turn_id, s.context_id, CAST($1 AS BIGINT) FROM messages m \
                 JOIN sessions s ON s.id = m.session_id WHERE m.created_at >= $2 AND ({place}) \
                 ON CONFLICT (turn_id) DO NOTHING"
            );
            let values = [self.at_ms.into(), since.into(), of.into()];
            self.erased.prompts += self.transaction.execute(&sql, &values).await?;
        }
        Ok(())
    }

    async fn everything(&mut self) -> Result<(), StoreError> {
        let user: [Value; 1] = [self.user.into()];
        // What was said before and is still on its way is not stored any more.
        let sql = "INSERT INTO erased_people (user_id, position) VALUES ($1, $2) \
                   ON CONFLICT (user_id) DO UPDATE SET position = $2";
        self.transaction.execute(sql, &[self.user.into(), self.at_ms.saturating_mul(1000).into()]).await?;
        let sql = "SELECT DISTINCT m.turn_id FROM messages m JOIN sessions s ON s.id = m.session_id \
                   WHERE m.user_id = $1 OR (s.user_id = $1 AND s.audience = 'direct')";
        let rows = self.transaction.fetch(sql, &user).await?;
        let turns = rows.iter().map(|row| row.text("turn_id")).collect::<Result<BTreeSet<_>, _>>()?;
        self.turns(turns).await?;
        for row in self.transaction.fetch("SELECT id FROM memories WHERE user_id = $1", &user).await? {
            self.erased.ids.push(row.text("id")?);
        }
        self.transaction.execute("DELETE FROM memories WHERE user_id = $1", &user).await?;
        self.transaction.execute("DELETE FROM intentions WHERE user_id = $1", &user).await?;
        self.transaction.execute("DELETE FROM conversation_projects WHERE user_id = $1", &user).await?;
        // Also what came with messages that were refused, or are on their way.
        let sql = "SELECT DISTINCT context_id FROM sessions WHERE user_id = $1 AND audience = 'direct'";
        for row in self.transaction.fetch(sql, &user).await? {
            let context = row.text("context_id")?;
            self.purge_file(&context, None).await?;
            self.erased.conversations.extend(ConversationId::parse(&context).ok());
        }
        let sql = "DELETE FROM sessions WHERE user_id = $1 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.session_id = sessions.id)";
        self.transaction.execute(sql, &user).await?;
        let sql = "DELETE FROM projects WHERE owner_id = $1 AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.project_id = projects.id)";
        self.transaction.execute(sql, &user).await?;
        // In a group others have spoken too: its session stays, and is not this person's.
        self.transaction.execute("UPDATE sessions SET user_id = '' WHERE user_id = $1", &user).await?;
        // What is left belongs to sessions of groups, which have no need of the name.
        self.transaction.execute("UPDATE projects SET name = id, owner_id = '' WHERE owner_id = $1", &user).await?;
        for scope in [Scope::Facts(self.user.to_owned()), Scope::Person(self.user.to_owned())] {
            self.begin_anew(&scope).await?;
        }
        Ok(())
    }

    /// Every index of a scope is read anew before its next search.
    async fn begin_anew(&mut self, scope: &Scope) -> Result<(), StoreError> {
        self.transaction.execute(ERASED, &[scope.to_string().into()]).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_their_own_are_held_in_either_case() {
        assert!(holds_whole("So: My brother lives in ÖSTERREICH.", "my brother lives in Österreich"));
        assert!(!holds_whole("I like teaching", "I like tea"));
        assert!(!holds_whole("", "x"));
    }
}
