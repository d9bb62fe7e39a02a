//! Waits on this machine for what a page leads back with, on which somebody agrees to
//! authorise a server.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use domain::mcp::{Authorisation, Callback, callback};
use domain::message::without_controls;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Mcp, Server};

/// What is read of a request at most, in bytes.
const REQUEST_BYTES: usize = 16 * 1024;

impl Mcp {
    /// Listens on this machine for where the page leads back to.
    pub(super) async fn on_a_page(
        &self,
        server: &Server,
        client_id: Option<String>,
        client_secret: Option<String>,
        patience: Duration,
    ) -> anyhow::Result<ExitCode> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listen on this machine")?;
        let redirect_uri = format!("http://{}/callback", listener.local_addr()?);
        let start = Authorisation::Start { redirect_uri, client_id, client_secret };
        let begun = self.authorise(server, start).await?;
        match self.json {
            true => println!("{}", json!({"open": begun.text})),
            false => println!("Open this, and agree there:\n\n    {}\n\nWaiting …", begun.text),
        }
        std::io::stdout().flush()?;
        let back = tokio::time::timeout(patience, led_back(&listener)).await;
        let back = back.context("nobody agreed in time; begin again")??;
        let back = callback(&back, "");
        agreed(&back)?;
        let answer = self.authorise(server, Authorisation::Complete(back)).await?;
        if !self.json {
            println!("`{}` is authorised. It offers:", server.name);
        }
        self.tools(&answer)
    }
}

/// Whether somebody agreed there.
pub(super) fn agreed(back: &Callback) -> anyhow::Result<()> {
    match &back.refusal {
        Some(why) if back.code.is_empty() => {
            let why = without_controls(why);
            bail!("not authorised: the page led back with {why:?}; begin again to agree there")
        }
        None if back.code.is_empty() => bail!("not authorised: the page led back without a code; begin again"),
        _ => Ok(()),
    }
}

/// Waits for the first request to `/callback`, and gives its path with what it led back with.
async fn led_back(listener: &tokio::net::TcpListener) -> anyhow::Result<String> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = Vec::new();
        let read = async {
            let mut part = [0; 1024];
            while !request.contains(&b'\n') && request.len() < REQUEST_BYTES {
                match stream.read(&mut part).await? {
                    0 => break,
                    length => request.extend_from_slice(&part[..length]),
                }
            }
            anyhow::Ok(())
        };
        // One that says nothing keeps nobody else from being heard.
        let heard = tokio::time::timeout(Duration::from_secs(5), read).await;
        let line = String::from_utf8_lossy(&request);
        let path = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned();
        let is_meant = matches!(heard, Ok(Ok(()))) && path.starts_with("/callback?");
        let (status, words) = match is_meant {
            true => ("200 OK", "Clara has heard. You can close this page."),
            false => ("404 Not Found", "There is nothing here."),
        };
        let length = words.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{words}"
        );
        // The browser may have gone: what it brought counts.
        let _ = stream.write_all(answer.as_bytes()).await;
        if is_meant {
            return Ok(path);
        }
    }
}
