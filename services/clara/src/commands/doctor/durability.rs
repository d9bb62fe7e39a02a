//! What a server really does before it acknowledges, by its own word: its monitoring
//! endpoint tells how it was configured
//! (<https://docs.nats.io/running-a-nats-service/nats_admin/monitoring>).

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the endpoint may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER: u64 = 1024 * 1024;

/// When what a server acknowledges is on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Before it acknowledges.
    Always,
    /// So long after it, at most.
    After(Duration),
    /// It keeps no streams.
    NoJetStream,
}

/// Asks a server by the URL of its monitoring endpoint, such as `http://localhost:8222`.
pub(super) async fn ask(url: &str) -> anyhow::Result<Durability> {
    let host = url.strip_prefix("http://").context("give an http:// URL")?.trim_end_matches('/');
    if host.contains('/') {
        bail!("give the host and the port alone, such as http://localhost:8222");
    }
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:8222") };
    let answer =
        tokio::time::timeout(PATIENCE, get(&address, "/varz")).await.context("it gave no answer in time")??;
    read(&answer)
}

/// One request of HTTP/1.0, whose answer ends with the connection.
async fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("it does not speak HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        bail!("it answered {status:?}");
    }
    Ok(body.to_owned())
}

fn read(varz: &str) -> anyhow::Result<Durability> {
    let varz: Value = serde_json::from_str(varz).context("it is no nats-server's monitoring endpoint")?;
    let config = &varz["jetstream"]["config"];
    if config.is_null() {
        return Ok(Durability::NoJetStream);
    }
    if config["sync_always"].as_bool() == Some(true) {
        return Ok(Durability::Always);
    }
    match config["sync_interval"].as_u64() {
        Some(nanoseconds) => Ok(Durability::After(Duration::from_nanos(nanoseconds))),
        None => bail!("it does not tell its sync_interval: nats-server 2.10 or newer does"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_tells_is_read() {
        for (varz, expected) in [
            (r#"{"jetstream":{"config":{"sync_interval":120000000000,"sync_always":true}}}"#, Durability::Always),
            (r#"{"jetstream":{"config":{"sync_interval":120000000000}}}"#, Durability::After(Duration::from_secs(120))),
            (r#"{"jetstream":{}}"#, Durability::NoJetStream),
        ] {
            assert_eq!(read(varz).unwrap(), expected, "{varz}");
        }
        assert!(read(r#"{"jetstream":{"config":{}}}"#).is_err() && read("<html>").is_err());
    }
}
