//! What MCP servers offer, as MCPOmni Connect's users ask for it. There a name has no server before
//! it: whichever of a person's servers has it is meant, in the order of their names.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::mcp::{McpAnswer, McpCommand, McpRequest, McpResource, Status};
use domain::message::Principal;
use domain::untrusted::visible;
use proto::terminal::Saying;

use super::client::Own;

/// How long the tool runner may take: servers may have to start.
const PATIENCE: Duration = Duration::from_secs(330);
/// How long one of many that are asked may take.
const EACH: Duration = Duration::from_secs(75);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Tools,
    Resources,
    Resource(String),
    Subscribe { uri: String, is_wanted: bool },
    Prompts,
    Prompt { name: String, arguments: BTreeMap<String, String> },
    Refresh,
    Remove(String),
}

/// What a line asks of servers, if it does; the error is a word to the person.
pub(super) fn in_chat(line: &str) -> Option<Result<Asked, String>> {
    let line = line.trim();
    let of = |before: &str| line.strip_prefix(before).map(str::trim).filter(|rest| !rest.is_empty());
    match line {
        "/tools" => return Some(Ok(Asked::Tools)),
        "/resources" => return Some(Ok(Asked::Resources)),
        "/prompts" => return Some(Ok(Asked::Prompts)),
        "/refresh" => return Some(Ok(Asked::Refresh)),
        _ => {}
    }
    if let Some(uri) = of("/resource:") {
        return Some(Ok(Asked::Resource(uri.to_owned())));
    }
    for (before, is_wanted) in [("/subscribe:", true), ("/unsubscribe:", false)] {
        if let Some(rest) = of(before) {
            let uri = rest.strip_prefix("/resource:").unwrap_or(rest).to_owned();
            return Some(Ok(Asked::Subscribe { uri, is_wanted }));
        }
    }
    if let Some(name) = of("/remove_server:") {
        return Some(Ok(Asked::Remove(name.to_owned())));
    }
    of("/prompt:").map(prompt)
}

/// `NAME`, `NAME/a=b/c=d` or `NAME/{"a": "b"}`.
fn prompt(text: &str) -> Result<Asked, String> {
    let (name, rest) = text.split_once('/').unwrap_or((text, ""));
    let arguments = if rest.trim_start().starts_with('{') {
        serde_json::from_str(rest).map_err(|err| format!("the arguments are no JSON object of texts: {err}"))?
    } else {
        let pairs = rest.split('/').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').ok_or_else(|| format!("{pair:?} is no name=value")));
        let pairs = pairs.map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
        pairs.collect::<Result<_, _>>()?
    };
    Ok(Asked::Prompt { name: name.to_owned(), arguments })
}

pub(super) async fn ask(bus: &Bus, person: &Principal, asked: Result<Asked, String>) -> Result<Own, String> {
    let servers = Servers { bus, person };
    let text = match asked? {
        Asked::Tools => servers.tools().await?,
        Asked::Resources => {
            let found = servers.each(|name| McpCommand::Resources { name }).await?;
            let line = |(server, answer): &(String, McpAnswer)| {
                let words = |one: &McpResource| match one.has_changed {
                    true => format!("{} (changed since it was read)", one.name),
                    false => one.name.clone(),
                };
                let named: Vec<_> = answer.resources.iter().map(|one| (one.uri.as_str(), words(one))).collect();
                lines(server, named.iter().map(|(uri, words)| (*uri, words.as_str())))
            };
            found.iter().map(line).collect()
        }
        Asked::Prompts => {
            let found = servers.each(|name| McpCommand::Prompts { name }).await?;
            let line = |(server, answer): &(String, McpAnswer)| {
                let prompts = answer.prompts.iter().map(|one| (one.name.as_str(), one.description.as_str()));
                lines(server, prompts)
            };
            found.iter().map(line).collect()
        }
        Asked::Resource(uri) => {
            let name = servers.of(&uri).await?;
            servers.answer(McpCommand::Read { name, uri }).await?.text
        }
        Asked::Subscribe { uri, is_wanted } => {
            let server = servers.of(&uri).await?;
            servers.answer(McpCommand::Subscribe { name: server.clone(), uri: uri.clone(), is_wanted }).await?;
            let what = if is_wanted { "You hear" } else { "You hear no more" };
            format!("{what} of changes of {uri} from `{server}`: /resources marks what changed.")
        }
        Asked::Prompt { name, arguments } => {
            let found = servers.each(|name| McpCommand::Prompts { name }).await?;
            let has_it = |(_, answer): &&(String, McpAnswer)| answer.prompts.iter().any(|one| one.name == name);
            let (server, _) = found.iter().find(has_it).ok_or_else(|| format!("no server has a prompt `{name}`"))?;
            // Said by the person, and filled in by the server, whose words stay the server's.
            let arguments = serde_json::json!(arguments);
            let text = format!(
                "Get the prompt `{name}` of the server `{server}` by mcp_get_prompt, with the arguments {arguments}, and do \
                 what it asks for."
            );
            return Ok(Own::Say(Saying::text(text)));
        }
        Asked::Refresh => {
            let answer = servers.answer(McpCommand::Refresh { name: String::new() }).await?;
            format!("Started anew: {} servers. /tools shows what they offer.", answer.servers.len())
        }
        Asked::Remove(name) => servers.answer(McpCommand::Uninstall { name }).await?.text,
    };
    let text = if text.trim().is_empty() { "There is nothing.".to_owned() } else { visible(text.trim_end()) };
    Ok(Own::done("servers", text))
}

struct Servers<'a> {
    bus: &'a Bus,
    person: &'a Principal,
}

impl Servers<'_> {
    async fn answer(&self, command: McpCommand) -> Result<McpAnswer, String> {
        let request = McpRequest { principal: self.person.clone(), command };
        self.bus.request(Endpoints::ToolsMcp, &request, PATIENCE).await.map_err(|err| err.to_string())
    }

    async fn tools(&self) -> Result<String, String> {
        let answer = self.answer(McpCommand::Tools { name: String::new() }).await?;
        let line = |tool: &domain::mcp::McpTool| {
            let first = tool.description.lines().next().unwrap_or_default();
            let state = if tool.is_approved { "" } else { " (not approved)" };
            format!("{}{state}  {first}\n", tool.name)
        };
        Ok(answer.tools.iter().map(line).collect())
    }

    /// What each server answers, all asked at once; one that does not is left out.
    async fn each(&self, command: impl Fn(String) -> McpCommand) -> Result<Vec<(String, McpAnswer)>, String> {
        let names = self.names().await?;
        let asked = names.into_iter().map(|name| {
            let command = command(name.clone());
            async move {
                let answer = tokio::time::timeout(EACH, self.answer(command)).await.ok()?;
                Some((name, answer.ok()?))
            }
        });
        Ok(futures::future::join_all(asked).await.into_iter().flatten().collect())
    }

    /// The server that has a resource, or says that it makes such: no other hears its address.
    async fn of(&self, uri: &str) -> Result<String, String> {
        let found = self.each(|name| McpCommand::Resources { name }).await?;
        let has = |fits: &dyn Fn(&McpResource) -> bool| {
            found.iter().find(|(_, answer)| answer.resources.iter().any(fits)).map(|(name, _)| name.clone())
        };
        let listed = has(&|one| one.uri == uri);
        let made = || has(&|one| one.is_template && fits(&one.uri, uri));
        listed.or_else(made).ok_or_else(|| format!("no server lists {uri}; /resources shows what they have"))
    }

    /// Those that may be asked.
    async fn names(&self) -> Result<Vec<String>, String> {
        let answer = self.answer(McpCommand::List).await?;
        let asked = answer.servers.into_iter().filter(|one| one.status != Status::Disabled);
        let mut names: Vec<String> = asked.map(|one| one.name).collect();
        // One's own and everybody's of that name are one.
        names.dedup();
        Ok(names)
    }
}

/// Whether an address may be made by a template (RFC 6570): it begins and ends as that does.
fn fits(template: &str, uri: &str) -> bool {
    let Some((begin, rest)) = template.split_once('{') else { return false };
    let end = rest.rsplit_once('}').map_or("", |(_, end)| end);
    !begin.is_empty() && uri.len() > begin.len() + end.len() && uri.starts_with(begin) && uri.ends_with(end)
}

/// Names of one server, a line each.
fn lines<'a>(server: &str, of: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    of.map(|(name, words)| format!("{name}  ({server})  {}\n", words.lines().next().unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_fits_the_template_that_makes_it() {
        assert!(fits("demo://text/{id}", "demo://text/7") && fits("file:///{path}.md", "file:///a/b.md"));
        for (template, uri) in [
            ("demo://text/{id}", "demo://text/"),
            ("demo://text/{id}", "other://text/7"),
            ("file:///{path}.md", "file:///a.txt"),
            ("{anything}", "secret://token"),
            ("demo://text", "demo://text"),
        ] {
            assert!(!fits(template, uri), "{template} {uri}");
        }
    }

    #[test]
    fn lines_are_read_as_mcpomni_connects_users_type_them() {
        let asked = |line: &str| in_chat(line).unwrap().unwrap();
        assert_eq!(asked("/tools"), Asked::Tools);
        assert_eq!(asked("/resource:demo://a/b"), Asked::Resource("demo://a/b".into()));
        let uri = "demo://a".to_owned();
        assert_eq!(asked("/subscribe:/resource:demo://a"), Asked::Subscribe { uri: uri.clone(), is_wanted: true });
        assert_eq!(asked("/unsubscribe:/resource:demo://a"), Asked::Subscribe { uri, is_wanted: false });
        let filled = |pairs: &[(&str, &str)]| Asked::Prompt {
            name: "weather".into(),
            arguments: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        assert_eq!(asked("/prompt:weather"), filled(&[]));
        assert_eq!(asked("/prompt:weather/city=Oslo/days=3"), filled(&[("city", "Oslo"), ("days", "3")]));
        assert_eq!(asked(r#"/prompt:weather/{"city": "a/b"}"#), filled(&[("city", "a/b")]));
        assert!(in_chat("/prompt:weather/city").unwrap().is_err());
        assert!(in_chat("/prompt:weather/{city}").unwrap().is_err());
        for other in ["/toolsmith", "tools", "/resource:", "/home/ann/notes", "/prompt"] {
            assert_eq!(in_chat(other), None, "{other}");
        }
    }
}
