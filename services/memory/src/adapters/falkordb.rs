//! Relations in FalkorDB: <https://docs.falkordb.com/cypher/>.
//!
//! The only user of the crate falkordb. People and things are nodes, each person's
//! their own; what a fact says of two of them is an edge that names the fact. Nodes
//! and edges carry the terms that they are found by.

use std::time::Duration;

use async_trait::async_trait;
use falkordb::{AsyncGraph, FalkorAsyncClient, FalkorClientBuilder, FalkorConnectionInfo, FalkorDBError};
use futures::TryStreamExt;
use learn::relation::{PERSON, Relation};
use recall::terms;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use crate::mirrors::{GraphStore, Mirror, MirrorError, Related};

/// What people know it by.
const NAME: &str = "FalkorDB";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest part of the server's own words that is told, in characters.
const WORDS: usize = 200;

/// Takes a fact's edges away.
const UNRELATE: &str = "MATCH (a:Thing)-[r:RELATION]->(b:Thing) WHERE r.memory IN $ids \
     DELETE r";
/// Takes nodes away that no edge ends at any more, also those that an earlier try left.
const CLEAN: &str = "MATCH (n:Thing) WHERE NOT (n)--() DELETE n";
const RELATE: &str = "MERGE (a:Thing {user: $user, name: $subject}) SET a.terms = $subject_terms \
     MERGE (b:Thing {user: $user, name: $object}) SET b.terms = $object_terms \
     CREATE (a)-[:RELATION {memory: $memory, predicate: $predicate, terms: $predicate_terms}]->(b)";
/// Whom and what the terms name, then all that is said of them.
const AROUND: &str = "MATCH (a:Thing {user: $user})-[r:RELATION]->(b:Thing) \
     WHERE any(t IN b.terms WHERE t IN $terms) OR any(t IN r.terms WHERE t IN $terms) \
     OR (a.name <> $person AND any(t IN a.terms WHERE t IN $terms)) \
     WITH collect(DISTINCT a) + collect(DISTINCT b) AS named UNWIND named AS n \
     WITH DISTINCT n WHERE n.name <> $person \
     MATCH (n)-[r:RELATION]-(:Thing) RETURN DISTINCT r.memory AS memory LIMIT $most";
const COUNT: &str = "MATCH (:Thing)-[r:RELATION]->(:Thing) WHERE r.memory IN $ids RETURN count(r) AS held";

pub(crate) struct FalkorGraph {
    info: FalkorConnectionInfo,
    graph: String,
    target: String,
    client: OnceCell<FalkorAsyncClient>,
}

impl FalkorGraph {
    /// Nothing is asked of the server yet.
    pub(crate) fn new(
        host: &str,
        port: u64,
        password: Option<&SecretString>,
        graph: String,
    ) -> Result<Self, MirrorError> {
        let login = password.map_or_else(String::new, |password| format!(":{}@", escaped(password.expose_secret())));
        let info = FalkorConnectionInfo::try_from(format!("falkor://{login}{host}:{port}"))
            .map_err(|_| MirrorError { store: NAME, why: format!("{host}:{port} is no address") })?;
        let target = format!("{host}:{port} {graph}");
        Ok(Self { info, graph, target, client: OnceCell::new() })
    }

    async fn client(&self) -> Result<&FalkorAsyncClient, MirrorError> {
        let connect = || async {
            let builder = FalkorClientBuilder::new_async().with_connection_info(self.info.clone());
            let builder = builder.with_response_timeout(Some(PATIENCE)).with_connect_timeout(Some(PATIENCE));
            builder.build().await
        };
        self.client.get_or_try_init(connect).await.map_err(failed)
    }

    async fn graph(&self) -> Result<AsyncGraph, MirrorError> {
        Ok(self.client().await?.select_graph(&self.graph))
    }

    async fn unrelate(&self, graph: &mut AsyncGraph, ids: &[String]) -> Result<(), MirrorError> {
        graph.query(UNRELATE).with_param("ids", ids).execute().await.map_err(failed)?;
        graph.query(CLEAN).execute().await.map_err(failed)?;
        Ok(())
    }
}

#[async_trait]
impl Mirror<Related> for FalkorGraph {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn exists(&self) -> Result<bool, MirrorError> {
        Ok(self.client().await?.list_graphs().await.map_err(failed)?.contains(&self.graph))
    }

    async fn reset(&self) -> Result<(), MirrorError> {
        let mut graph = self.graph().await?;
        if self.exists().await? {
            graph.delete().await.map_err(failed)?;
        }
        // An index also makes the graph, so that an empty one is known as filled.
        for index in
            ["CREATE INDEX FOR (n:Thing) ON (n.user, n.name)", "CREATE INDEX FOR ()-[r:RELATION]-() ON (r.memory)"]
        {
            // An index that is there already is as good.
            match graph.query(index).execute().await {
                Err(FalkorDBError::RedisError(why)) if why.contains("already indexed") => {}
                made => drop(made.map_err(failed)?),
            }
        }
        Ok(())
    }

    async fn put(&self, items: &[Related]) -> Result<(), MirrorError> {
        let mut graph = self.graph().await?;
        let ids: Vec<String> = items.iter().map(|item| item.id.clone()).collect();
        self.unrelate(&mut graph, &ids).await?;
        for Related { id, user, relations } in items {
            for Relation { subject, predicate, object } in relations {
                let relate = graph
                    .query(RELATE)
                    .with_param("user", user)
                    .with_param("memory", id)
                    .with_param("subject", subject)
                    .with_param("subject_terms", terms(subject))
                    .with_param("predicate", predicate)
                    .with_param("predicate_terms", terms(predicate))
                    .with_param("object", object)
                    .with_param("object_terms", terms(object));
                relate.execute().await.map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn remove(&self, ids: &[String]) -> Result<(), MirrorError> {
        if !self.exists().await? {
            return Ok(());
        }
        self.unrelate(&mut self.graph().await?, ids).await
    }

    async fn holding(&self, ids: &[String]) -> Result<u64, MirrorError> {
        if !self.exists().await? {
            return Ok(0);
        }
        let mut graph = self.graph().await?;
        let counted = graph.ro_query(COUNT).with_param("ids", ids).execute().await.map_err(failed)?;
        let rows = counted.data.try_collect::<Vec<_>>().await.map_err(failed)?;
        let held: i64 = rows.first().map_or(Ok(0), |row| row.try_get("held")).map_err(failed)?;
        Ok(u64::try_from(held).unwrap_or(0))
    }
}

#[async_trait]
impl GraphStore for FalkorGraph {
    async fn around(&self, user: &str, terms: &[String], limit: usize) -> Result<Vec<String>, MirrorError> {
        let mut graph = self.graph().await?;
        let asked = graph
            .ro_query(AROUND)
            .with_param("user", user)
            .with_param("person", PERSON)
            .with_param("terms", terms)
            .with_param("most", i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = asked.execute().await.map_err(failed)?.data.try_collect::<Vec<_>>().await.map_err(failed)?;
        rows.iter().map(|row| row.try_get("memory").map_err(failed)).collect()
    }
}

/// A password as a URL takes it (RFC 3986, section 2.1).
fn escaped(password: &str) -> String {
    let escape = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    password.bytes().map(escape).collect()
}

/// The server's words without the query that it quotes, which holds what people said.
fn failed(err: FalkorDBError) -> MirrorError {
    let words = err.to_string();
    let words = words.split("errCtx").next().unwrap_or_default().split("CYPHER ").next().unwrap_or_default();
    MirrorError { store: NAME, why: words.chars().take(WORDS).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_anything() {
        assert_eq!(escaped("a:b@c/ü"), "a%3Ab%40c%2F%C3%BC");
        let password = SecretString::from("p@ss:word/#?");
        assert!(FalkorGraph::new("localhost", 6379, Some(&password), "g".into()).is_ok());
    }

    #[test]
    fn what_people_said_stands_in_no_error() {
        let err = FalkorDBError::RedisError("errMsg: Invalid input errCtx: CYPHER subject=\"Ida\" MATCH".into());
        assert!(!failed(err).to_string().contains("Ida"));
    }
}
