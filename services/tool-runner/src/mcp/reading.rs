//! What servers let people read: resources and prompts. All of it is the server's word.

use std::collections::BTreeMap;

use domain::guard::cut_middle;
use domain::mcp::{McpAnswer, McpPrompt, McpResource};
use tokio::sync::OwnedSemaphorePermit;

use super::Plugins;
use super::link::Link;
use crate::ports::Connection;

/// What is given of one thing that is read, in characters: an answer fits a message of the bus.
const READ_CHARS: usize = 200_000;
/// What is given of a list, in bytes.
const LIST_BYTES: usize = 400_000;
/// Longest address of a resource, or name of a prompt, in bytes.
const NAME_BYTES: usize = 2000;

impl Plugins {
    pub(super) async fn resources(&self, user: &str, name: &str) -> Result<McpAnswer, String> {
        let mut resources =
            self.asked(user, name).await?.connection().resources().await.map_err(|err| err.to_string())?;
        let size = |resource: &McpResource| {
            resource.uri.len() + resource.name.len() + resource.description.len() + resource.media_type.len()
        };
        cut(&mut resources, size);
        Ok(McpAnswer { resources, ..McpAnswer::default() })
    }

    pub(super) async fn read(&self, user: &str, name: &str, uri: &str) -> Result<McpAnswer, String> {
        let text = self.asked(user, name).await?.connection().read(bounded(uri)?).await;
        text.map(said).map_err(|err| err.to_string())
    }

    pub(super) async fn subscribe(
        &self,
        user: &str,
        name: &str,
        uri: &str,
        is_wanted: bool,
    ) -> Result<McpAnswer, String> {
        let subscribed = self.asked(user, name).await?.connection().subscribe(bounded(uri)?, is_wanted).await;
        subscribed.map(|()| McpAnswer::default()).map_err(|err| err.to_string())
    }

    pub(super) async fn prompts(&self, user: &str, name: &str) -> Result<McpAnswer, String> {
        let mut prompts = self.asked(user, name).await?.connection().prompts().await.map_err(|err| err.to_string())?;
        let size = |prompt: &McpPrompt| {
            let arguments = prompt.arguments.iter().map(|known| known.name.len() + known.description.len());
            prompt.name.len() + prompt.description.len() + arguments.sum::<usize>()
        };
        cut(&mut prompts, size);
        Ok(McpAnswer { prompts, ..McpAnswer::default() })
    }

    pub(super) async fn prompt(
        &self,
        user: &str,
        name: &str,
        prompt: &str,
        arguments: &BTreeMap<String, String>,
    ) -> Result<McpAnswer, String> {
        let text = self.asked(user, name).await?.connection().prompt(bounded(prompt)?, arguments).await;
        text.map(said).map_err(|err| err.to_string())
    }

    /// A place among those who ask a server that a person may use.
    async fn asked(&self, user: &str, name: &str) -> Result<Asked, String> {
        let installed = self.find(user, name).await?;
        if !installed.is_enabled {
            return Err(format!("the server `{name}` is disabled"));
        }
        let link = self.servers.connect(&installed).await?;
        let place = link.place().await?;
        Ok(Asked { link, _place: place })
    }
}

/// A server that is asked, by one of those who may at the same time.
struct Asked {
    link: Link,
    _place: OwnedSemaphorePermit,
}

impl Asked {
    fn connection(&self) -> &dyn Connection {
        self.link.connection.as_ref()
    }
}

fn said(text: String) -> McpAnswer {
    McpAnswer { text: cut_middle(&text, READ_CHARS), ..McpAnswer::default() }
}

fn bounded(name: &str) -> Result<&str, String> {
    match name.len() {
        1..=NAME_BYTES => Ok(name),
        _ => Err(format!("a resource or prompt has a name of 1 to {NAME_BYTES} bytes")),
    }
}

/// Leaves the end of a list that is too long out.
fn cut<T>(items: &mut Vec<T>, size: impl Fn(&T) -> usize) {
    let mut bytes = 0;
    let kept = items.iter().take_while(|item| {
        bytes += size(item);
        bytes <= LIST_BYTES
    });
    let kept = kept.count();
    items.truncate(kept);
}
