//! One person, several accounts, one memory. Everything here belongs to people; an
//! account that was never linked is a person by itself.

use async_trait::async_trait;
use store::{StoreError, Transaction, Value};

use super::SqlMemory;
use super::passages::ERASED;
use crate::ports::{Linking, MemoryError, People, Unlinking};
use crate::scope::Scope;

/// How long the other side has to agree: an hour.
const ASKED_MS: i64 = 60 * 60 * 1000;

/// Tables whose rows go with their person, in an order that references allow.
const OWNED: &[&str] = &[
    "memories",
    "memory_dynamics",
    "memory_history",
    "memory_relations",
    "intentions",
    "messages",
    "sessions",
    "emotional_contexts",
    "topic_mentions",
];

/// Whose memory an account has.
pub(super) async fn person(transaction: &mut Transaction, account: &str) -> Result<String, StoreError> {
    let sql = "SELECT canonical_user_id FROM platform_links WHERE prefixed_user_id = $1";
    let rows = transaction.fetch(sql, &[account.into()]).await?;
    rows.first().map_or_else(|| Ok(account.to_owned()), |row| row.text("canonical_user_id"))
}

/// The person of an account, with nobody else changing what they have until this
/// transaction ends.
pub(super) async fn hold(transaction: &mut Transaction, account: &str) -> Result<String, StoreError> {
    let mut known = person(transaction, account).await?;
    while !transaction.is_alone() {
        transaction.lock(&Scope::Facts(known.clone()).to_string()).await?;
        // They may have been linked while the lock was waited for; then the lock is of
        // nobody any more, and does no harm. Persons only ever join.
        let now = person(transaction, account).await?;
        if now == known {
            break;
        }
        known = now;
    }
    Ok(known)
}

#[async_trait]
impl People for SqlMemory {
    async fn person(&self, account: &str) -> Result<String, MemoryError> {
        let sql = "SELECT canonical_user_id FROM platform_links WHERE prefixed_user_id = $1";
        let rows = self.database.fetch(sql, &[account.into()]).await?;
        Ok(rows.first().map_or_else(|| Ok(account.to_owned()), |row| row.text("canonical_user_id"))?)
    }

    async fn accounts(&self, account: &str) -> Result<Vec<String>, MemoryError> {
        let person = self.person(account).await?;
        let sql = "SELECT prefixed_user_id FROM platform_links WHERE canonical_user_id = $1 ORDER BY prefixed_user_id";
        let rows = self.database.fetch(sql, &[person.into()]).await?;
        let accounts = rows.iter().map(|row| row.text("prefixed_user_id")).collect::<Result<Vec<_>, _>>()?;
        Ok(if accounts.is_empty() { vec![account.to_owned()] } else { accounts })
    }

    async fn link(&self, account: &str, wanted: &str, at_ms: i64) -> Result<Linking, MemoryError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock("platform_links").await?;
        let (own, other) = (person(&mut transaction, account).await?, person(&mut transaction, wanted).await?);
        if own == other {
            return Ok(Linking::Linked);
        }
        let sql = "SELECT wanted FROM link_requests WHERE prefixed_user_id = $1 AND wanted = $2 AND asked_at > $3";
        let values: [Value; 3] = [wanted.into(), account.into(), (at_ms - ASKED_MS).into()];
        if transaction.fetch(sql, &values).await?.is_empty() {
            let sql = "INSERT INTO link_requests (prefixed_user_id, wanted, asked_at) VALUES ($1, $2, $3) \
                       ON CONFLICT (prefixed_user_id) DO UPDATE SET wanted = $2, asked_at = $3";
            transaction.execute(sql, &[account.into(), wanted.into(), at_ms.into()]).await?;
            transaction.commit().await?;
            return Ok(Linking::Asked);
        }
        // In one order, whoever links whom.
        let mut scopes = [Scope::Facts(own.clone()).to_string(), Scope::Facts(other.clone()).to_string()];
        scopes.sort();
        for scope in scopes {
            transaction.lock(&scope).await?;
        }
        join(&mut transaction, &own, &other).await?;
        let sql = "UPDATE platform_links SET canonical_user_id = $2 WHERE canonical_user_id = $1";
        transaction.execute(sql, &[own.as_str().into(), other.as_str().into()]).await?;
        for of_them in [account, wanted] {
            let sql = "INSERT INTO platform_links (prefixed_user_id, canonical_user_id, linked_at) VALUES ($1, $2, $3) \
                       ON CONFLICT (prefixed_user_id) DO NOTHING";
            transaction.execute(sql, &[of_them.into(), other.as_str().into(), at_ms.into()]).await?;
            transaction.execute("DELETE FROM link_requests WHERE prefixed_user_id = $1", &[of_them.into()]).await?;
        }
        transaction.commit().await?;
        Ok(Linking::Linked)
    }

    async fn unlink(&self, account: &str) -> Result<Unlinking, MemoryError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock("platform_links").await?;
        let own = person(&mut transaction, account).await?;
        let sql = "SELECT prefixed_user_id FROM platform_links WHERE canonical_user_id = $1 AND prefixed_user_id <> $2";
        let others = transaction.fetch(sql, &[own.as_str().into(), account.into()]).await?.len();
        // The account that the person is named after keeps what there is: the others leave it.
        let (sql, unlinked) = if own == account {
            ("DELETE FROM platform_links WHERE canonical_user_id = $1", Unlinking::Kept)
        } else {
            ("DELETE FROM platform_links WHERE prefixed_user_id = $1", Unlinking::Left)
        };
        transaction.execute(sql, &[account.into()]).await?;
        transaction.execute("DELETE FROM link_requests WHERE prefixed_user_id = $1", &[account.into()]).await?;
        transaction.commit().await?;
        Ok(if others == 0 && own == account { Unlinking::Alone } else { unlinked })
    }
}

/// Gives everything of one person to another.
async fn join(transaction: &mut Transaction, from: &str, to: &str) -> Result<(), StoreError> {
    let both: [Value; 2] = [from.into(), to.into()];
    // What both know, one of them keeps.
    let sql = "DELETE FROM memories WHERE user_id = $1 AND LOWER(content) IN \
               (SELECT LOWER(content) FROM memories WHERE user_id = $2 AND superseded_by IS NULL)";
    transaction.execute(sql, &both).await?;
    // The newcomer's stand after the others, in their own order.
    let sql = "UPDATE memories SET position = position + (SELECT COALESCE(MAX(o.position), 0) FROM memories o \
               WHERE o.user_id = $2) WHERE user_id = $1";
    transaction.execute(sql, &both).await?;
    for table in OWNED {
        transaction.execute(&format!("UPDATE {table} SET user_id = $2 WHERE user_id = $1"), &both).await?;
    }
    let sql = "DELETE FROM conversation_projects WHERE user_id = $1 AND EXISTS (SELECT 1 FROM conversation_projects o \
               WHERE o.user_id = $2 AND o.context_id = conversation_projects.context_id \
               AND o.since = conversation_projects.since)";
    transaction.execute(sql, &both).await?;
    transaction.execute("UPDATE conversation_projects SET user_id = $2 WHERE user_id = $1", &both).await?;
    // Projects are known by their owner and name.
    let sql = "UPDATE sessions SET project_id = (SELECT t.id FROM projects f JOIN projects t ON t.name = f.name \
               WHERE f.id = sessions.project_id AND t.owner_id = $2) WHERE project_id IN (SELECT f.id FROM projects f \
               JOIN projects t ON t.name = f.name AND t.owner_id = $2 WHERE f.owner_id = $1)";
    transaction.execute(sql, &both).await?;
    let sql = "DELETE FROM projects WHERE owner_id = $1 AND name IN (SELECT name FROM projects WHERE owner_id = $2)";
    transaction.execute(sql, &both).await?;
    transaction.execute("UPDATE projects SET owner_id = $2 WHERE owner_id = $1", &both).await?;
    // Copies elsewhere are known by whose they are.
    let touched = [
        "UPDATE memory_vectors SET model = model WHERE memory_id IN (SELECT id FROM memories WHERE user_id = $1)",
        "UPDATE message_vectors SET model = model WHERE message_id IN (SELECT m.id FROM messages m \
         JOIN sessions s ON s.id = m.session_id WHERE s.user_id = $1)",
    ];
    for sql in touched {
        transaction.execute(sql, &both[1..]).await?;
    }
    for of_them in [from, to] {
        for scope in [Scope::Facts(of_them.to_owned()), Scope::Person(of_them.to_owned())] {
            transaction.execute(ERASED, &[scope.to_string().into()]).await?;
        }
    }
    Ok(())
}
