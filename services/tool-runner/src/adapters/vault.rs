//! What servers were authorised with: kept by server, sealed, on SQLite and PostgreSQL.

use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Database, StoreError};

use super::sealed::MasterKey;
use crate::ports::Key;

/// The parts of what is kept. Each is sealed for its own server, address and part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What a server said of how it is to be authorised.
    Challenge,
    /// Who we are to the server that authorises.
    Client,
    /// The same for an authorisation that has begun.
    Pending,
    /// An authorisation that has begun.
    Flow,
    /// The tokens.
    Credentials,
}

impl Part {
    fn column(self) -> &'static str {
        match self {
            Part::Challenge => "challenge",
            Part::Client => "client",
            Part::Pending => "pending",
            Part::Flow => "flow",
            Part::Credentials => "credentials",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Vault {
    database: Database,
    key: MasterKey,
}

/// Why something was not kept or found.
#[derive(Debug, thiserror::Error)]
pub(super) enum VaultError {
    #[error("the database of tools did not answer")]
    Database(#[from] StoreError),
    #[error("{0}")]
    Seal(String),
}

impl Vault {
    pub(crate) fn new(database: Database, key: MasterKey) -> Self {
        Self { database, key }
    }

    /// Tokens never go anywhere else than where they were given for: they are sealed for the
    /// address too.
    fn place(key: &Key, url: &str, part: Part) -> String {
        format!("mcp\n{}\n{}\n{url}\n{}", key.owner, key.name, part.column())
    }

    /// The server's row.
    fn row(key: &Key) -> [store::Value; 2] {
        [key.owner.as_str().into(), key.name.as_str().into()]
    }

    fn sealed(&self, key: &Key, url: &str, part: Part, value: &impl Serialize) -> Result<store::Value, VaultError> {
        let text = serde_json::to_string(value).map_err(|err| VaultError::Seal(err.to_string()))?;
        let sealed = self.key.seal(&key.owner, &Self::place(key, url, part), &text).map_err(VaultError::Seal)?;
        Ok(sealed.into())
    }

    pub(super) async fn keep(
        &self,
        key: &Key,
        url: &str,
        part: Part,
        value: &impl Serialize,
    ) -> Result<(), VaultError> {
        let ([owner, name], column) = (Self::row(key), part.column());
        let sql = format!(
            "INSERT INTO mcp_oauth_tokens (user_id, server_name, {column}) VALUES ($1, $2, $3) \
             ON CONFLICT (user_id, server_name) DO UPDATE SET {column} = $3"
        );
        self.database.execute(&sql, &[owner, name, self.sealed(key, url, part, value)?]).await?;
        Ok(())
    }

    /// Keeps something in place of what was kept; nothing, if the server was forgotten meanwhile.
    pub(super) async fn replace(
        &self,
        key: &Key,
        url: &str,
        part: Part,
        value: &impl Serialize,
    ) -> Result<(), VaultError> {
        let ([owner, name], column) = (Self::row(key), part.column());
        let sql = format!("UPDATE mcp_oauth_tokens SET {column} = $3 WHERE user_id = $1 AND server_name = $2");
        self.database.execute(&sql, &[owner, name, self.sealed(key, url, part, value)?]).await?;
        Ok(())
    }

    /// What is kept of a server; nothing if it was kept for another address, or with another key.
    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        key: &Key,
        url: &str,
        part: Part,
    ) -> Result<Option<T>, VaultError> {
        let column = part.column();
        let sql = format!("SELECT {column} AS sealed FROM mcp_oauth_tokens WHERE user_id = $1 AND server_name = $2");
        let rows = self.database.fetch(&sql, &Self::row(key)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let text = self.key.unseal(&key.owner, &Self::place(key, url, part), &row.text("sealed")?);
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) async fn drop(&self, key: &Key, part: Part) -> Result<(), VaultError> {
        let column = part.column();
        let sql = format!("UPDATE mcp_oauth_tokens SET {column} = '' WHERE user_id = $1 AND server_name = $2");
        self.database.execute(&sql, &Self::row(key)).await?;
        Ok(())
    }

    /// Takes the right to renew tokens, in all replicas, until a time; whether nobody else had it.
    /// Of a server that is not known there is nothing to renew, and so nobody has it.
    pub(super) async fn take_renewal(
        &self,
        key: &Key,
        by: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<bool, VaultError> {
        let [owner, name] = Self::row(key);
        let sql = "UPDATE mcp_oauth_tokens SET renewing = $3, renewing_until = $4 \
                   WHERE user_id = $1 AND server_name = $2 AND renewing_until < $5";
        let values = [owner, name, by.into(), until_ms.into(), now_ms.into()];
        if self.database.execute(sql, &values).await? > 0 {
            return Ok(true);
        }
        let sql = "SELECT 1 AS n FROM mcp_oauth_tokens WHERE user_id = $1 AND server_name = $2";
        Ok(self.database.fetch(sql, &Self::row(key)).await?.is_empty())
    }

    pub(super) async fn give_renewal_up(&self, key: &Key, by: &str) -> Result<(), VaultError> {
        let [owner, name] = Self::row(key);
        let sql =
            "UPDATE mcp_oauth_tokens SET renewing_until = 0 WHERE user_id = $1 AND server_name = $2 AND renewing = $3";
        self.database.execute(sql, &[owner, name, by.into()]).await?;
        Ok(())
    }

    pub(super) async fn forget(&self, key: &Key) -> Result<(), VaultError> {
        // Everybody's goes with what people have authorised of it for themselves, or begun to: those
        // who have a server of that name which is no part of it keep theirs.
        let sql = "DELETE FROM mcp_oauth_tokens WHERE server_name = $2 AND (user_id = $1 OR ($1 = '' AND NOT EXISTS \
                   (SELECT 1 FROM mcp_servers AS known WHERE known.user_id = mcp_oauth_tokens.user_id \
                   AND known.name = $2 AND known.personal = 0)))";
        self.database.execute(sql, &Self::row(key)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::sql::prepare;

    #[tokio::test]
    async fn what_is_renewed_after_a_server_was_forgotten_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(&folder.path().join("tools.sqlite")).await.unwrap();
        prepare(&database).await.unwrap();
        let vault = Vault::new(database, MasterKey::open(None, &folder.path().join("secrets.key")).unwrap());
        let (key, url) = (Key { owner: "ann".into(), name: "far".into() }, "https://mcp.example/mcp");
        let found = async || vault.find::<String>(&key, url, Part::Credentials).await.unwrap();
        vault.keep(&key, url, Part::Flow, &"begun").await.unwrap();
        vault.replace(&key, url, Part::Credentials, &"first").await.unwrap();
        assert_eq!(found().await.as_deref(), Some("first"));
        vault.forget(&key).await.unwrap();
        vault.replace(&key, url, Part::Credentials, &"second").await.unwrap();
        assert_eq!(found().await, None);
    }
}
