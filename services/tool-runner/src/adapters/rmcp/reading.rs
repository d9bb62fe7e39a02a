//! What servers let people read: resources, and prompts that they have ready.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::mcp::{McpArgument, McpPrompt, McpResource};
use rmcp::ServiceError;
use rmcp::model::{
    GetPromptRequestParams, Prompt, ReadResourceRequestParams, Role, ServerCapabilities, SubscribeRequestParams,
    UnsubscribeRequestParams,
};
use serde_json::Value;

use super::blocks::{contents, text};
use super::connection::{RmcpConnection, all_pages};
use crate::ports::McpError;

/// How long a server may take to give what is read.
const READ: Duration = Duration::from_secs(30);
/// Resources or prompts of one server, at most.
const ITEMS: usize = 1000;

impl RmcpConnection {
    /// Whether the server says that it has such a thing.
    fn has(&self, what: &'static str, has: impl Fn(&ServerCapabilities) -> bool) -> Result<(), McpError> {
        let info = self.peer.peer_info();
        match info.is_some_and(|info| has(&info.capabilities)) {
            true => Ok(()),
            false => Err(McpError::Refused(format!("it offers no {what}"))),
        }
    }

    async fn within<T>(&self, asked: impl Future<Output = Result<T, ServiceError>>) -> Result<T, McpError> {
        let asked = tokio::time::timeout(READ, asked).await;
        match asked.map_err(|_| McpError::TimedOut(READ))? {
            Ok(given) => Ok(given),
            Err(err) => Err(self.fault(err, READ).await),
        }
    }

    pub(super) async fn list_resources(&self) -> Result<Vec<McpResource>, McpError> {
        self.has("resources", |has| has.resources.is_some())?;
        let listed = async {
            let page = |from| async move {
                let page = self.peer.list_resources(from).await?;
                Ok((page.resources, page.next_cursor))
            };
            let found = all_pages(ITEMS, page).await?.into_iter().map(|resource| McpResource {
                has_changed: self.host.has_changed(&resource.uri),
                uri: resource.uri,
                name: resource.name,
                description: resource.description.unwrap_or_default(),
                media_type: resource.mime_type.unwrap_or_default(),
                is_template: false,
            });
            let page = |from| async move {
                let page = self.peer.list_resource_templates(from).await?;
                Ok((page.resource_templates, page.next_cursor))
            };
            // A server need not have any.
            let templates = all_pages(ITEMS, page).await.unwrap_or_default().into_iter().map(|template| McpResource {
                uri: template.uri_template,
                name: template.name,
                description: template.description.unwrap_or_default(),
                media_type: template.mime_type.unwrap_or_default(),
                is_template: true,
                has_changed: false,
            });
            Ok(found.chain(templates).take(ITEMS).collect())
        };
        self.within(listed).await
    }

    pub(super) async fn read_resource(&self, uri: &str) -> Result<String, McpError> {
        self.has("resources", |has| has.resources.is_some())?;
        // What changes while it is read may not be in what is read.
        let had_changed = self.host.is_being_read(uri);
        let read = self.within(self.peer.read_resource(ReadResourceRequestParams::new(uri))).await;
        if read.is_err() && had_changed {
            self.host.note_change(uri);
        }
        let read = read?;
        Ok(read.contents.into_iter().map(contents).collect::<Vec<_>>().join("\n"))
    }

    pub(super) async fn set_subscribed(&self, uri: &str, is_wanted: bool) -> Result<(), McpError> {
        let subscribes = |has: &ServerCapabilities| has.resources.as_ref().and_then(|has| has.subscribe) == Some(true);
        self.has("news of its resources", subscribes)?;
        match is_wanted {
            true => self.within(self.peer.subscribe(SubscribeRequestParams::new(uri))).await,
            false => self.within(self.peer.unsubscribe(UnsubscribeRequestParams::new(uri))).await,
        }
    }

    pub(super) async fn list_prompts(&self) -> Result<Vec<McpPrompt>, McpError> {
        self.has("prompts", |has| has.prompts.is_some())?;
        let listed = async {
            let page = |from| async move {
                let page = self.peer.list_prompts(from).await?;
                Ok((page.prompts, page.next_cursor))
            };
            Ok(all_pages(ITEMS, page).await?.into_iter().take(ITEMS).map(prompt).collect())
        };
        self.within(listed).await
    }

    pub(super) async fn fill_prompt(&self, name: &str, given: &BTreeMap<String, String>) -> Result<String, McpError> {
        self.has("prompts", |has| has.prompts.is_some())?;
        let given = given.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
        let params = GetPromptRequestParams::new(name).with_arguments(given);
        let filled = self.within(self.peer.get_prompt(params)).await?;
        let said = filled.messages.into_iter().map(|message| {
            let who = if message.role == Role::User { "user" } else { "assistant" };
            format!("{who}: {}", text(message.content))
        });
        Ok(said.collect::<Vec<_>>().join("\n"))
    }
}

fn prompt(prompt: Prompt) -> McpPrompt {
    let arguments = prompt.arguments.unwrap_or_default().into_iter().map(|argument| McpArgument {
        name: argument.name,
        description: argument.description.unwrap_or_default(),
        is_required: argument.required.unwrap_or(false),
    });
    McpPrompt { name: prompt.name, description: prompt.description.unwrap_or_default(), arguments: arguments.collect() }
}
