//! Reading pages and searching the web. What comes from there is anybody's words.

use std::sync::Arc;

use async_trait::async_trait;
use domain::tool::{Effect, Intent, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use super::{for_anyone, of_group, spec, text};
use crate::registry::{Builtin, Ended, Tool};
use crate::web::{Search, Smithery, Unanswered, Web, taken_apart};

/// How long asking and taking apart may take together, in milliseconds.
const TIMEOUT_MS: u64 = 30_000;
/// Characters of a page that are read at once.
const CHARS: usize = 20_000;
/// Hits of one search, when nobody says how many, and at most.
const HITS: u64 = 5;
const MOST_HITS: u64 = 20;

/// All of them; without an engine nothing is searched.
pub(crate) fn all(web: &Web, search: Option<Search>) -> Vec<Arc<dyn Tool>> {
    let mut tools: Vec<Arc<dyn Tool>> = vec![Arc::new(FetchPage::new(web.clone()))];
    tools.extend(search.map(|search| Arc::new(WebSearch::new(search)) as Arc<dyn Tool>));
    tools
}

/// What finds MCP servers.
pub(crate) fn smithery(smithery: Smithery) -> Arc<dyn Tool> {
    Arc::new(SmitherySearch::new(smithery))
}

/// It reads, and whoever is asked hears of it.
fn of_web(spec: ToolSpec) -> ToolSpec {
    ToolSpec {
        intent: Intent::Network,
        is_untrusted: true,
        timeout_ms: TIMEOUT_MS,
        ..of_group("web", for_anyone(spec))
    }
}

struct FetchPage {
    spec: ToolSpec,
    web: Web,
}

impl FetchPage {
    fn new(web: Web) -> Self {
        let properties = json!({
            "url": {"type": "string", "description": "http:// or https:// address of the page"},
            "start": {"type": "integer", "minimum": 0, "description": "The character to begin at, to read on in a long page; 0 if left out"},
        });
        let description = "Reads a page of the web: its title and its text, without menus and markup.";
        let spec = spec("fetch_page", description, Effect::ReadOnly, Risk::Safe, properties, &["url"]);
        Self { spec: of_web(spec), web }
    }
}

#[async_trait]
impl Builtin for FetchPage {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, _: &ToolRequest, arguments: Value) -> Result<String, String> {
        let page = self.web.fetch(text(&arguments, "url").trim()).await?;
        let (url, kind, is_cut) = (page.url.clone(), page.kind.clone(), page.is_cut);
        let read = taken_apart(page).await?;
        let (title, text) = read.ok_or_else(|| format!("{url} is of the type {kind}, which cannot be read here"))?;
        let start = arguments.get("start").and_then(Value::as_u64).unwrap_or(0);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let all = text.chars().count();
        let part: String = text.chars().skip(start).take(CHARS).collect();
        if part.is_empty() && start > 0 {
            return Err(format!("the page has {all} characters and ends before {start}"));
        }
        let mut told = format!("{url}\n");
        if !title.is_empty() {
            told.push_str(&format!("# {title}\n"));
        }
        told.push_str(&format!("\n{part}"));
        let end = start + part.chars().count();
        if end < all {
            told.push_str(&format!("\n\n[{end} of {all} characters; read on with \"start\": {end}]"));
        } else if is_cut {
            told.push_str("\n\n[the page is longer than what is read of one]");
        }
        Ok(told)
    }
}

struct WebSearch {
    spec: ToolSpec,
    search: Search,
}

impl WebSearch {
    fn new(search: Search) -> Self {
        let properties = json!({
            "query": {"type": "string", "minLength": 1, "maxLength": 400, "description": "What to look for"},
            "max_results": {"type": "integer", "minimum": 1, "maximum": MOST_HITS, "description": "How many hits; 5 if left out"},
            "search_depth": {"type": "string", "enum": ["basic", "advanced"], "description": "How thoroughly; basic if left out"},
        });
        let description = "Searches the web; gives titles, addresses and extracts, which fetch_page reads whole.";
        let spec = spec("web_search", description, Effect::ReadOnly, Risk::Safe, properties, &["query"]);
        Self { spec: of_web(spec), search }
    }
}

#[async_trait]
impl Tool for WebSearch {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, _: &ToolRequest, arguments: Value) -> Ended {
        let hits = arguments.get("max_results").and_then(Value::as_u64).unwrap_or(HITS).min(MOST_HITS);
        let is_deep = text(&arguments, "search_depth") == "advanced";
        let hits = usize::try_from(hits).unwrap_or(usize::MAX);
        match self.search.ask(text(&arguments, "query"), hits, is_deep).await {
            Ok(found) => Ended::Gave(found),
            Err(why) => why.into(),
        }
    }
}

impl From<Unanswered> for Ended {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::Refused(why) => Ended::Failed(why),
            Unanswered::Unreachable(why) => Ended::Unreachable(why),
        }
    }
}

struct SmitherySearch {
    spec: ToolSpec,
    smithery: Smithery,
}

impl SmitherySearch {
    fn new(smithery: Smithery) -> Self {
        let properties = json!({
            "query": {"type": "string", "minLength": 1, "maxLength": 400, "description": "What a server is needed for"},
        });
        let description = "Searches Smithery's registry for MCP servers; gives the sources that mcp_plan takes.";
        let spec = spec("smithery_search", description, Effect::ReadOnly, Risk::Safe, properties, &["query"]);
        Self { spec: of_group("admin", of_web(spec)), smithery }
    }
}

#[async_trait]
impl Tool for SmitherySearch {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, _: &ToolRequest, arguments: Value) -> Ended {
        match self.smithery.ask(text(&arguments, "query")).await {
            Ok(found) => Ended::Gave(found),
            Err(why) => why.into(),
        }
    }
}
