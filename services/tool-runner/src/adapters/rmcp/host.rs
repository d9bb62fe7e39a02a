//! What servers ask of us and tell us unasked: who we are, where they may look, what changed.
//! What belongs to one call of theirs is for `in_work`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::sampling::{Sampled, Voice};
use rmcp::model::{
    ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams,
    ElicitResult, ElicitationAction, ElicitationCapability, Implementation, ListRootsResult, ProgressNotificationParam,
    ProtocolVersion, ResourceUpdatedNotificationParam, Role, Root, RootsCapabilities, SamplingCapability,
    SamplingMessage, SamplingMessageContentBlock,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use tokio::sync::Notify;

use super::in_work::Calls;

/// Resources that are known to have changed, at most.
const CHANGED: usize = 256;
/// Longest address of one, in bytes.
const URI_BYTES: usize = 2000;
/// The side of a connection that a server talks to. Cheap to clone.
#[derive(Clone)]
pub(super) struct Host {
    /// The server's folder, if it is a process.
    root: Option<String>,
    /// Its list of tools has changed.
    pub(super) changed: Arc<Notify>,
    /// The calls that it works on.
    pub(super) calls: Calls,
    /// What of its resources has changed since it was read.
    updated: Arc<Mutex<BTreeSet<String>>>,
}

impl Host {
    pub(super) fn new(root: Option<String>) -> Self {
        Self { root, changed: Arc::default(), calls: Calls::default(), updated: Arc::default() }
    }

    fn updated(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.updated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a resource has changed since it was read.
    pub(super) fn has_changed(&self, uri: &str) -> bool {
        self.updated().contains(uri)
    }

    /// Changes count from now on; whether there were some.
    pub(super) fn is_being_read(&self, uri: &str) -> bool {
        self.updated().remove(uri)
    }

    pub(super) fn note_change(&self, uri: &str) {
        let mut updated = self.updated();
        if updated.len() < CHANGED && uri.len() <= URI_BYTES {
            updated.insert(uri.to_owned());
        }
    }
}

impl ClientHandler for Host {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.roots = Some(RootsCapabilities::default());
        capabilities.sampling = Some(SamplingCapability::default());
        capabilities.elicitation = Some(ElicitationCapability::default());
        // The newest that servers of today know, and that knows what they ask of us.
        let config = ClientConfig::new(capabilities, Implementation::new("Clara", env!("CARGO_PKG_VERSION")));
        config.with_protocol_version(ProtocolVersion::V_2025_11_25)
    }

    async fn create_message(
        &self,
        asked: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let sampler = self.calls.sampler().map_err(|why| ErrorData::invalid_request(why, None))?;
        let said = asked.messages.into_iter().map(|message| {
            let voice = if message.role == Role::Assistant { Voice::Assistant } else { Voice::User };
            let texts = message.content.into_vec().into_iter().map(|block| match block {
                SamplingMessageContentBlock::Text(text) => text.text,
                _ => "[something that is no text]".to_owned(),
            });
            (voice, texts.collect::<Vec<_>>().join("\n"))
        });
        let system = asked.system_prompt.unwrap_or_default();
        let sampled = sampler.sample(system, said.collect(), asked.max_tokens).await;
        let Sampled { text, model, is_cut } = sampled.map_err(|why| ErrorData::internal_error(why, None))?;
        let ended = if is_cut { "maxTokens" } else { "endTurn" };
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text(text), model).with_stop_reason(ended))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        let roots = self.root.iter().map(|root| Root::new(root.clone()).with_name("working folder"));
        Ok(ListRootsResult::new(roots.collect()))
    }

    async fn create_elicitation(
        &self,
        asked: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(match asked {
            ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } => {
                let schema = serde_json::to_value(requested_schema).unwrap_or_default();
                self.calls.answer(&message, &schema)
            }
            ElicitRequestParams::UrlElicitationParams { message, url, .. } => {
                self.calls.keep(format!("{message}\nIt wants the person to open {url}"));
                ElicitResult::new(ElicitationAction::Decline)
            }
            _ => ElicitResult::new(ElicitationAction::Decline),
        })
    }

    async fn on_progress(&self, said: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.calls.is_at(&said);
    }

    async fn on_resource_updated(&self, updated: ResourceUpdatedNotificationParam, _: NotificationContext<RoleClient>) {
        self.note_change(&updated.uri);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}
