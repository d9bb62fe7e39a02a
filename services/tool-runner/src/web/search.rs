//! Searches the web: by Tavily (<https://docs.tavily.com/documentation/api-reference/endpoint/search>)
//! or a SearXNG (<https://docs.searxng.org/dev/search_api.html>).

use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::Web;
use super::answer::{Unanswered, answered};

/// Longest answer of an engine, in bytes.
const BYTES: usize = 2 * 1024 * 1024;

/// Who is asked.
pub(crate) enum Engine {
    Tavily { base: String, key: SecretString },
    Searxng { base: String },
}

pub(crate) struct Search {
    pub(crate) web: Web,
    pub(crate) engine: Engine,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    answer: Option<String>,
    #[serde(default)]
    results: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(default)]
    title: Option<String>,
    url: String,
    #[serde(default)]
    content: Option<String>,
}

impl Search {
    /// What was found, numbered, for the model.
    pub(crate) async fn ask(&self, query: &str, limit: usize, is_deep: bool) -> Result<String, Unanswered> {
        let request = self.request(query, limit, is_deep).map_err(Unanswered::Refused)?;
        let (status, body) = answered(request, BYTES).await?;
        if !status.is_success() {
            let why = match (status.as_u16(), &self.engine) {
                (401 | 403, Engine::Tavily { .. }) => {
                    "the search engine refused the key: check TAVILY_API_KEY".to_owned()
                }
                (403, Engine::Searxng { .. }) => {
                    "the SearXNG gives no JSON: allow `json` under `search.formats` in its settings.yml".to_owned()
                }
                (429 | 432 | 433, _) => "the search engine has had enough of us for now".to_owned(),
                _ => format!("the search engine answered {status}"),
            };
            return Err(Unanswered::of(status, why));
        }
        let unreadable = |err| Unanswered::Refused(format!("the search engine's answer cannot be read: {err}"));
        let answer: Answer = serde_json::from_slice(&body).map_err(unreadable)?;
        Ok(written(answer, limit))
    }

    fn request(&self, query: &str, limit: usize, is_deep: bool) -> Result<RequestBuilder, String> {
        let at = |base: &str, path: &str| {
            let whole = format!("{}{path}", base.trim_end_matches('/'));
            Url::parse(&whole).map_err(|err| format!("the search engine's address is none: {err}"))
        };
        let client = self.web.chosen();
        match &self.engine {
            Engine::Tavily { base, key } => {
                let depth = if is_deep { "advanced" } else { "basic" };
                let body = json!({"query": query, "max_results": limit, "search_depth": depth, "include_answer": true});
                let request = client.post(at(base, "/search")?).bearer_auth(key.expose_secret());
                Ok(request.header("content-type", "application/json").body(body.to_string()))
            }
            Engine::Searxng { base } => {
                let mut url = at(base, "/search")?;
                url.query_pairs_mut().append_pair("q", query).append_pair("format", "json");
                Ok(client.get(url))
            }
        }
    }
}

fn written(answer: Answer, limit: usize) -> String {
    let mut text = String::new();
    if let Some(answer) = answer.answer.filter(|answer| !answer.trim().is_empty()) {
        text.push_str(&format!("{}\n\n", answer.trim()));
    }
    for (number, hit) in answer.results.iter().take(limit).enumerate() {
        let title = hit.title.as_deref().unwrap_or_default().trim();
        let content = hit.content.as_deref().unwrap_or_default().trim();
        text.push_str(&format!("{}. {title}\n   {}\n   {content}\n", number + 1, hit.url));
    }
    match text.is_empty() {
        true => "Nothing was found.".to_owned(),
        false => text.trim_end().to_owned(),
    }
}
