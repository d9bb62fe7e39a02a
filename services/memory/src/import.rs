//! What people have elsewhere, brought into the memory service's own tables.
//!
//! The operator runs it, beside a memory service or without one. Everything keeps its
//! id, so that it can be run again: what is here already is left alone.

mod mypalclara; // Reading MyPalClara's tables and vectors.

use std::collections::HashMap;

use anyhow::{Context, bail};
use domain::ids::{ConversationId, MessageId, Place, TurnId};
use domain::memory::{FACT_BYTES, Fact, FactOrigin, Intention, Role};
use domain::message::{Audience, TEXT_BYTES};
use learn::intention::Trigger;
use learn::strength::Strength;
use secrecy::SecretString;
use service_kit::settings::Settings;
use store::Database;

use crate::adapters::sql::SqlMemory;
use crate::learning::Learning;
use crate::open;
use crate::ports::{Change, Facts, Intentions, Linking, Memory, People};
use crate::projection::{MessageRow, TurnRows, reply_id};

/// Turns between two words about progress.
const PROGRESS: usize = 1000;

/// Where a MyPalClara keeps what it knows. At least one is given.
#[derive(Debug, Default)]
pub struct Source {
    /// Its database: a PostgreSQL URL, or a SQLite file.
    pub database: Option<String>,
    /// Its Qdrant, with the key.
    pub qdrant: Option<(String, Option<SecretString>)>,
    /// Its PostgreSQL with pgvector.
    pub pgvector: Option<String>,
    /// The name of its collection, or of its table of vectors.
    pub collection: String,
}

/// What came, or would come; and what is left out, with the reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub memories: u64,
    pub messages: u64,
    pub reminders: u64,
    pub linked_accounts: u64,
    /// Changes of memories.
    pub changes: u64,
    /// Here already.
    pub known: u64,
    /// What was left out, and how often.
    pub left_out: std::collections::BTreeMap<&'static str, u64>,
}

impl Imported {
    fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }
}

/// A memory as its system has it.
struct Remembered {
    user: String,
    fact: Fact,
    /// With the time at which it was found out.
    strength: Option<(Strength, i64)>,
}

/// Something that was said in a direct conversation.
struct Said {
    id: String,
    user: String,
    /// The session that it belongs to there; several people may have one context.
    session: String,
    /// What the conversation is called there.
    context: String,
    role: Role,
    text: String,
    at_ms: i64,
}

/// A reminder that still waits.
struct Waiting {
    user: String,
    intention: Intention,
}

/// Everything of a system, in the order in which it came to be.
#[derive(Default)]
struct Found {
    memories: Vec<Remembered>,
    said: Vec<Said>,
    waiting: Vec<Waiting>,
    /// Accounts of one person.
    accounts: Vec<Vec<String>>,
    /// How memories became what they are, oldest first.
    changed: Vec<Changed>,
}

/// A change of a memory.
struct Changed {
    memory: String,
    was: String,
    at_ms: i64,
    now: Now,
}

/// What became of a memory.
enum Now {
    /// It says this.
    Text(String),
    /// Another took its place.
    Superseded { by: String },
}

/// Brings in what a MyPalClara knows; without `apply` it says what would come.
/// `progress` hears how far it is.
pub async fn mypalclara(
    settings: &Settings,
    source: &Source,
    apply: bool,
    progress: impl Fn(&str) + Send + Sync,
) -> anyhow::Result<Imported> {
    let mut imported = Imported::default();
    let mut found = Found::default();
    if let Some(place) = &source.database {
        let database = if place.starts_with("postgres") {
            Database::postgres(place).await?
        } else {
            let file = std::path::Path::new(place.trim_start_matches("sqlite://"));
            if !file.is_file() {
                bail!("{} is no file: name MyPalClara's SQLite database, or its postgresql:// URL", file.display());
            }
            Database::sqlite(file).await?
        };
        mypalclara::tables(&database, &mut found, &mut imported).await.context("read MyPalClara's tables")?;
        progress(&format!("{} messages and {} reminders are there", found.said.len(), found.waiting.len()));
    }
    mypalclara::vectors(source, &mut found, &mut imported).await?;
    progress(&format!("{} memories are there", found.memories.len()));
    if !apply {
        imported.memories = found.memories.len() as u64;
        imported.messages = found.said.len() as u64;
        imported.reminders = found.waiting.len() as u64;
        imported.changes = found.changed.len() as u64;
        imported.linked_accounts = found.accounts.iter().map(|accounts| accounts.len() as u64).sum();
        return Ok(imported);
    }
    let database = open::database(settings).await.context("open the memory database")?;
    // Nothing is learnt from it: what was worth it was learnt there.
    let memory =
        SqlMemory::prepare(database, settings.text("DEFAULT_PROJECT"), open::embeds(settings), Learning::Off).await?;
    let mut storing = Storing { memory, imported, progress: &progress };
    storing.accounts(found.accounts).await?;
    let owners = found.memories.iter().map(|memory| (memory.fact.id.clone(), memory.user.clone())).collect();
    storing.memories(found.memories).await?;
    storing.changes(found.changed, &owners).await?;
    storing.reminders(found.waiting).await?;
    storing.said(found.said).await?;
    Ok(storing.imported)
}

struct Storing<'a> {
    memory: SqlMemory,
    imported: Imported,
    progress: &'a (dyn Fn(&str) + Send + Sync),
}

impl Storing<'_> {
    /// Their proof was made there.
    async fn accounts(&mut self, persons: Vec<Vec<String>>) -> anyhow::Result<()> {
        for accounts in persons {
            let Some((first, others)) = accounts.split_first() else { continue };
            for other in others {
                // Accounts that have parted here since stay apart.
                if !self.memory.imports(&format!("{first} {other}")).await? {
                    continue;
                }
                let now = service_kit::clock::now_ms();
                if self.memory.link(first, other, now).await? == Linking::Asked {
                    self.memory.link(other, first, now).await?;
                    self.imported.linked_accounts += 1;
                }
            }
        }
        Ok(())
    }

    async fn memories(&mut self, mut memories: Vec<Remembered>) -> anyhow::Result<()> {
        memories.sort_by_key(|memory| memory.fact.created_at_ms);
        for Remembered { user, fact, strength } in memories {
            // One that was forgotten since does not come back.
            if !self.memory.imports(&fact.id).await? {
                self.imported.known += 1;
                continue;
            }
            let person = self.memory.person(&user).await?;
            let (id, created) = (fact.id.clone(), fact.created_at_ms);
            let add = Change::Add { fact, sources: Vec::new() };
            self.memory.change(&person, "import", created, &[add], None).await?;
            if let Some((strength, at_ms)) = strength {
                let strengthen = Change::Strengthen { id, strength };
                self.memory.change(&person, "import", at_ms, &[strengthen], None).await?;
            }
            self.imported.memories += 1;
        }
        Ok(())
    }

    /// `owners` are whose memories they are.
    async fn changes(&mut self, changed: Vec<Changed>, owners: &HashMap<String, String>) -> anyhow::Result<()> {
        for Changed { memory, was, at_ms, now } in changed {
            let Some(owner) = owners.get(&memory) else {
                self.imported.leave_out("changes of memories that are gone");
                continue;
            };
            if !self.memory.imports(&format!("{memory} {at_ms}")).await? {
                self.imported.known += 1;
                continue;
            }
            let person = self.memory.person(owner).await?;
            match now {
                Now::Text(text) => self.memory.import_change(&person, &memory, (&was, &text), at_ms).await?,
                Now::Superseded { by } => {
                    let superseded = Change::Supersede { old: memory, by, reason: "imported" };
                    self.memory.change(&person, "import", at_ms, &[superseded], None).await?;
                }
            }
            self.imported.changes += 1;
        }
        Ok(())
    }

    async fn reminders(&mut self, waiting: Vec<Waiting>) -> anyhow::Result<()> {
        for Waiting { user, intention } in waiting {
            if Trigger::parse(&intention.trigger).is_err() {
                self.imported.leave_out("reminders whose trigger is none here");
                continue;
            }
            let person = self.memory.person(&user).await?;
            let now = service_kit::clock::now_ms();
            if self.memory.waiting(&person, now).await?.iter().any(|waiting| waiting.id == intention.id) {
                self.imported.known += 1;
                continue;
            }
            match self.memory.intend(&person, &intention, now).await? {
                true => self.imported.reminders += 1,
                false => self.imported.leave_out("reminders beyond what may wait"),
            }
        }
        Ok(())
    }

    async fn said(&mut self, mut said: Vec<Said>) -> anyhow::Result<()> {
        said.sort_by(|one, other| {
            let order =
                |said: &Said| (said.user.clone(), said.session.clone(), said.at_ms, said.id.len(), said.id.clone());
            order(one).cmp(&order(other))
        });
        for (number, turn) in turns(said).into_iter().enumerate() {
            let Some(rows) = rows(&turn) else {
                self.imported.leave_out("messages whose id is none here");
                continue;
            };
            let count = rows.messages.len() as u64;
            if self.memory.has_messages(rows.turn).await? {
                self.imported.known += count;
                continue;
            }
            self.memory.store_turn(&rows).await?;
            self.imported.messages += count;
            if (number + 1).is_multiple_of(PROGRESS) {
                (self.progress)(&format!("{} messages are stored", self.imported.messages));
            }
        }
        Ok(())
    }
}

/// What was said, with what was answered to it.
fn turns(said: Vec<Said>) -> Vec<Vec<Said>> {
    let mut turns: Vec<Vec<Said>> = Vec::new();
    for message in said {
        match turns.last_mut() {
            Some(turn)
                if message.role == Role::Assistant
                    && turn[0].session == message.session
                    && turn[0].user == message.user
                    && turn.len() == 1
                    && turn[0].role == Role::User =>
            {
                turn.push(message);
            }
            _ => turns.push(vec![message]),
        }
    }
    turns
}

/// A turn as rows; none if its ids are none of ours.
fn rows(turn: &[Said]) -> Option<TurnRows> {
    let first = turn.first()?;
    let place = Place {
        platform: "mypalclara".to_owned(),
        tenant: first.user.clone(),
        channel: first.context.clone(),
        thread: String::new(),
    };
    let conversation = ConversationId::derive(&place);
    let id = MessageId::new("mypalclara", &first.id).ok()?;
    let turn_id = TurnId::derive(&conversation, &id);
    let messages = turn.iter().zip(0..).map(|(said, place)| MessageRow {
        id: match said.role {
            Role::User => format!("{conversation}/mypalclara:{}", said.id),
            Role::Assistant => reply_id(turn_id),
        },
        user: first.user.clone(),
        role: said.role,
        name: String::new(),
        attachments: Vec::new(),
        text: said.text[..said.text.floor_char_boundary(TEXT_BYTES)].to_owned(),
        at_ms: said.at_ms,
        kind: if said.role == Role::User { "said" } else { "answered" },
        position: said.at_ms.saturating_mul(1000) + place,
    });
    Some(TurnRows {
        messages: messages.collect(),
        conversation,
        turn: turn_id,
        owner: first.user.clone(),
        audience: Audience::Direct,
        generation: 0,
        used: Vec::new(),
        reminded: Vec::new(),
    })
}

/// A fact as another system has it.
fn fact(id: String, text: &str, at_ms: i64) -> Fact {
    let text = text.trim();
    Fact { origin: FactOrigin::Imported, ..Fact::asked(id, &text[..text.floor_char_boundary(FACT_BYTES)], at_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: &str, role: Role, at_ms: i64) -> Said {
        let of = |text: &str| text.to_owned();
        Said { id: of(id), user: of("discord-1"), session: of("s"), context: of("default"), role, text: of("x"), at_ms }
    }

    #[test]
    fn an_answer_belongs_to_what_was_said_before_it() {
        use Role::{Assistant, User};
        let all = vec![said("1", Assistant, 1), said("2", User, 2), said("3", Assistant, 3), said("4", Assistant, 4)];
        let turns = turns(all);
        assert_eq!(turns.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1]);
        let ids: Vec<TurnId> = turns.iter().map(|turn| rows(turn).unwrap().turn).collect();
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
        assert_eq!(rows(&turns[1]).unwrap(), rows(&turns[1]).unwrap(), "the same again is the same");
        // Nor is an answer to somebody else's words an answer to these.
        let other = Said { user: "discord-2".into(), ..said("5", Assistant, 5) };
        assert_eq!(super::turns(vec![said("2", User, 2), other]).len(), 2);
    }
}
