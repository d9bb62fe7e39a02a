//! MyPalClara's tables, and the memories in its store of vectors. Tables that an older
//! version lacks are left out.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use domain::memory::{Intention, Role};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use learn::fsrs::Memory;
use learn::strength::Strength;
use serde_json::Value;
use store::{Database, Row, StoreError};

use super::{Changed, Found, Imported, Now, Remembered, Said, Source, Waiting, fact};
use crate::adapters::qdrant;

/// Reads the tables. The memories' own texts are with their vectors.
pub(super) async fn tables(database: &Database, found: &mut Found, imported: &mut Imported) -> Result<(), StoreError> {
    // Times and ids have types of their own on PostgreSQL.
    let sql = "SELECT CAST(m.id AS TEXT) AS id, m.user_id, m.role, m.content, CAST(m.created_at AS TEXT) AS at, \
               s.context_id, CAST(m.session_id AS TEXT) AS session FROM messages m JOIN sessions s ON s.id = m.session_id";
    for row in rows(database, sql, "its table of messages", imported).await {
        let context = row.text("context_id")?;
        if context.starts_with("channel-") {
            imported.leave_out("messages of group channels");
            continue;
        }
        let role = match row.text("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => {
                imported.leave_out("messages of neither side");
                continue;
            }
        };
        let (id, user, text) = (row.text("id")?, row.text("user_id")?, row.text("content")?);
        let session = row.text("session")?;
        let at_ms = milliseconds(&row.text("at")?).unwrap_or(0);
        found.said.push(Said { id, user, session, context, role, text, at_ms });
    }

    let sql = "SELECT CAST(id AS TEXT) AS id, user_id, content, CAST(trigger_conditions AS TEXT) AS conditions, \
               CAST(priority AS BIGINT) AS priority, CASE WHEN fire_once THEN 1 ELSE 0 END AS once, \
               CAST(expires_at AS TEXT) AS expires FROM intentions WHERE NOT fired";
    for row in rows(database, sql, "its table of intentions", imported).await {
        let expires = row.optional_text("expires")?.and_then(|at| milliseconds(&at));
        let intention = Intention {
            id: row.text("id")?,
            content: row.text("content")?,
            trigger: row.text("conditions")?,
            priority: i32::try_from(row.integer("priority")?).unwrap_or(0),
            fires_once: row.integer("once")? != 0,
            expires_at_ms: expires.unwrap_or(0),
        };
        found.waiting.push(Waiting { user: row.text("user_id")?, intention });
    }

    let sql = "SELECT CAST(canonical_user_id AS TEXT) AS person, prefixed_user_id FROM platform_links \
               ORDER BY prefixed_user_id";
    let mut persons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(database, sql, "its table of linked accounts", imported).await {
        persons.entry(row.text("person")?).or_default().push(row.text("prefixed_user_id")?);
    }
    found.accounts.extend(persons.into_values().filter(|accounts| accounts.len() > 1));

    changes(database, found, imported).await?;

    let sql = "SELECT CAST(memory_id AS TEXT) AS id, user_id, stability, difficulty, retrieval_strength, \
               storage_strength, CASE WHEN is_key THEN 1 ELSE 0 END AS is_key, COALESCE(category, '') AS category, \
               CAST(last_accessed_at AS TEXT) AS at FROM memory_dynamics";
    for row in rows(database, sql, "its table of dynamics", imported).await {
        let at_ms = row.optional_text("at")?.and_then(|at| milliseconds(&at)).unwrap_or(0);
        let memory = Memory { stability: row.real("stability")?, difficulty: row.real("difficulty")? };
        let strength =
            Strength { memory, retrieval: row.real("retrieval_strength")?, storage: row.real("storage_strength")? };
        let mut fact = fact(row.text("id")?, "", at_ms);
        fact.is_key = row.integer("is_key")? != 0;
        fact.category = row.text("category")?;
        // The text is still to come.
        found.memories.push(Remembered { user: row.text("user_id")?, fact, strength: sound(strength, at_ms) });
    }
    Ok(())
}

/// How memories became what they are.
async fn changes(database: &Database, found: &mut Found, imported: &mut Imported) -> Result<(), StoreError> {
    let sql = "SELECT CAST(memory_id AS TEXT) AS id, COALESCE(old_memory, '') AS was, COALESCE(new_memory, '') AS now, \
               CAST(created_at AS TEXT) AS at FROM memory_history WHERE event = 'UPDATE' ORDER BY created_at";
    for row in rows(database, sql, "its table of memories' history", imported).await {
        let now = Now::Text(row.text("now")?);
        let at_ms = milliseconds(&row.text("at")?).unwrap_or(0);
        found.changed.push(Changed { memory: row.text("id")?, was: row.text("was")?, at_ms, now });
    }
    let sql = "SELECT CAST(old_memory_id AS TEXT) AS id, CAST(new_memory_id AS TEXT) AS by, \
               CAST(created_at AS TEXT) AS at FROM memory_supersessions ORDER BY created_at";
    for row in rows(database, sql, "its table of supersessions", imported).await {
        let now = Now::Superseded { by: row.text("by")? };
        let at_ms = milliseconds(&row.text("at")?).unwrap_or(0);
        found.changed.push(Changed { memory: row.text("id")?, was: String::new(), at_ms, now });
    }
    Ok(())
}

/// The rows of a table, if this version has it.
async fn rows(database: &Database, sql: &str, table: &'static str, imported: &mut Imported) -> Vec<Row> {
    match database.fetch(sql, &[]).await {
        Ok(rows) => rows,
        Err(_) => {
            imported.leave_out(table);
            Vec::new()
        }
    }
}

/// A strength that our formulas take.
fn sound(strength: Strength, at_ms: i64) -> Option<(Strength, i64)> {
    let Strength { memory, retrieval, storage } = strength;
    let is_sound = memory.stability.is_normal()
        && memory.stability > 0.0
        && (1.0..=10.0).contains(&memory.difficulty)
        && (0.0..=1.0).contains(&retrieval)
        && (0.0..=1.0).contains(&storage);
    (is_sound && at_ms > 0).then_some((strength, at_ms))
}

/// Reads the memories' texts from where their vectors are, and joins what the tables say
/// of them.
pub(super) async fn vectors(source: &Source, found: &mut Found, imported: &mut Imported) -> anyhow::Result<()> {
    let mut payloads: Vec<(String, Value)> = Vec::new();
    if let Some((url, key)) = &source.qdrant {
        let read = qdrant::payloads(url, key.as_ref(), &source.collection).await;
        payloads.extend(read.with_context(|| format!("read the collection {} of Qdrant", source.collection))?);
    }
    if let Some(url) = &source.pgvector {
        let database = Database::postgres(url).await?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        anyhow::ensure!(source.collection.chars().all(is_name), "{:?} is no name of a table", source.collection);
        let sql = format!("SELECT CAST(id AS TEXT) AS id, CAST(payload AS TEXT) AS payload FROM {}", source.collection);
        let read = database.fetch(&sql, &[]).await;
        for row in read.with_context(|| format!("read the table {}", source.collection))? {
            payloads.push((row.text("id")?, serde_json::from_str(&row.text("payload")?).unwrap_or_default()));
        }
    }
    let mut known: HashMap<String, Remembered> =
        found.memories.drain(..).map(|memory| (memory.fact.id.clone(), memory)).collect();
    for (id, payload) in payloads {
        let text = |name: &str| payload[name].as_str().unwrap_or_default();
        // mem0 calls it `data`; some versions call it `memory`.
        let said = [text("data"), text("memory")].into_iter().find(|text| !text.trim().is_empty());
        let user = text("user_id");
        let (Some(said), false) = (said, user.is_empty()) else {
            imported.leave_out("memories without a text or a person");
            continue;
        };
        let at_ms = milliseconds(text("created_at")).unwrap_or(0);
        let dynamics = known.remove(&id);
        let mut fact = fact(id, said, at_ms);
        let is_key = payload["is_key"].as_bool().unwrap_or(false);
        fact.is_public = text("visibility") == "public";
        fact.is_key = is_key || dynamics.as_ref().is_some_and(|memory| memory.fact.is_key);
        fact.category =
            dynamics.as_ref().map_or_else(|| text("category").to_owned(), |memory| memory.fact.category.clone());
        let strength = dynamics.and_then(|memory| memory.strength);
        found.memories.push(Remembered { user: user.to_owned(), fact, strength });
    }
    for _ in known {
        imported.leave_out("memories of which only the dynamics are there");
    }
    Ok(())
}

/// A time as databases and Python write it; without a zone it is UTC.
fn milliseconds(text: &str) -> Option<i64> {
    let text = text.trim();
    // PostgreSQL writes the offset in hours alone.
    let widened = match text.len().checked_sub(3).and_then(|at| text.split_at_checked(at)) {
        Some((before, zone)) if zone.starts_with(['+', '-']) && before.contains(':') => format!("{before}{zone}:00"),
        _ => text.to_owned(),
    };
    if let Ok(at) = widened.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    let at = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let expected = Some(1_717_243_200_500);
        for text in [
            "2024-06-01 12:00:00.500000",
            "2024-06-01T12:00:00.500000",
            "2024-06-01 12:00:00.5+00",
            "2024-06-01T05:00:00.500000-07:00",
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        assert_eq!(milliseconds("yesterday"), None);
    }
}
