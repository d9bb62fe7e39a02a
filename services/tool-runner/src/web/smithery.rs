//! Searches the registry of MCP servers at Smithery (<https://smithery.ai/docs/use/registry>).

use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Web;
use super::answer::{Unanswered, answered};

/// Longest answer, in bytes.
const BYTES: usize = 2 * 1024 * 1024;
/// Servers that one search gives.
const HITS: usize = 10;
/// What is given of a description, in characters.
const DESCRIPTION: usize = 300;

pub(crate) struct Smithery {
    pub(crate) web: Web,
    pub(crate) base: String,
    pub(crate) key: SecretString,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    servers: Vec<Server>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    qualified_name: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    /// Whether Smithery runs it.
    #[serde(default)]
    is_deployed: Option<bool>,
}

impl Smithery {
    /// The servers that fit, a line each, with the source that installs it.
    pub(crate) async fn ask(&self, query: &str) -> Result<String, Unanswered> {
        let mut url = Url::parse(&format!("{}/servers", self.base.trim_end_matches('/')))
            .map_err(|err| Unanswered::Refused(format!("the registry's address is none: {err}")))?;
        url.query_pairs_mut().append_pair("q", query).append_pair("pageSize", &HITS.to_string());
        let (status, body) = answered(self.web.chosen().get(url).bearer_auth(self.key.expose_secret()), BYTES).await?;
        if !status.is_success() {
            let why = match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    "Smithery refused the key: check SMITHERY_API_KEY".to_owned()
                }
                _ => format!("Smithery answered {status}"),
            };
            return Err(Unanswered::of(status, why));
        }
        let unreadable = |err| Unanswered::Refused(format!("Smithery's answer cannot be read: {err}"));
        let answer: Answer = serde_json::from_slice(&body).map_err(unreadable)?;
        let lines: Vec<String> = answer.servers.iter().take(HITS).map(line).collect();
        Ok(if lines.is_empty() { "Nothing was found.".to_owned() } else { lines.join("\n") })
    }
}

fn line(server: &Server) -> String {
    let source = if server.is_deployed == Some(true) { "smithery-hosted" } else { "smithery" };
    let said = server.description.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(DESCRIPTION).collect();
    let name = server.display_name.as_deref().unwrap_or_default();
    format!("- {source}:{} ({name}): {said}", server.qualified_name)
}
