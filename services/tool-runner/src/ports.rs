//! What the runner needs from outside: servers that speak MCP, and a database of those
//! that people have installed.

mod backgrounds; // Processes in the background of the sandbox.
mod installed; // The servers that people have installed.
mod subagents; // The sub-agents of conversations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::ConversationId;
use domain::mcp::{Callback, Launch, McpPrompt, McpResource};
use domain::message::Principal;
use domain::sampling::{Sampled, Voice};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

pub(crate) use self::backgrounds::{Background, Backgrounds, Begun, LOST};
pub(crate) use self::installed::{CallLimit, Called, Calls, Installations, Installed, Key, RUNNING, RateLimits};
pub(crate) use self::subagents::{Child, Children};
use crate::mcp::Offered;

/// What went wrong with a server; the words are for the person and the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum McpError {
    /// It could not be started, or did not speak.
    #[error("it did not start: {0}")]
    Start(String),
    /// It wants to know who asks.
    #[error("it wants to know who asks: `clara mcp oauth-start` authorises it, or give a header such as Authorization")]
    Unauthorized,
    /// The way to it was closed before it heard of this: nothing was done.
    #[error("it was not asked: the way to it had ended")]
    Unsent,
    /// It said no: nothing was done.
    #[error("{0}")]
    Refused(String),
    /// It ended, or the way to it did, while it was asked: it may have done it.
    #[error("it ended while it was asked: {0}")]
    Gone(String),
    #[error("it gave no answer within {0:?}")]
    TimedOut(Duration),
}

/// What a tool gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) text: String,
    /// The tool's own word that it failed.
    pub(crate) is_error: bool,
    /// What the server wanted to know of the person, and was not told.
    pub(crate) questions: Vec<String>,
}

/// What goes with a call.
pub(crate) struct Calling {
    /// What the person answers to the server's own questions, as far as they fit.
    pub(crate) answers: Option<Map<String, Value>>,
    pub(crate) limit: Duration,
    /// Where it is told how far the server says that it is.
    pub(crate) progress: watch::Sender<String>,
    /// Who answers when the server wants words of the model; nobody, unless somebody agreed.
    pub(crate) sampler: Option<Arc<dyn Sampler>>,
}

/// The model, for one call of a server.
#[async_trait]
pub(crate) trait Sampler: Send + Sync {
    /// Who pays, and in which conversation.
    fn payer(&self) -> (&Principal, &ConversationId);
    /// The error is for the server.
    async fn sample(&self, system: String, said: Vec<(Voice, String)>, max_tokens: u32) -> Result<Sampled, String>;
}

/// A server that is there.
#[async_trait]
pub(crate) trait Connection: Send + Sync {
    async fn tools(&self) -> Result<Vec<Offered>, McpError>;
    async fn call(&self, tool: &str, arguments: Map<String, Value>, with: Calling) -> Result<Given, McpError>;
    async fn resources(&self) -> Result<Vec<McpResource>, McpError>;
    async fn read(&self, uri: &str) -> Result<String, McpError>;
    /// Hears of changes of a resource, or no more.
    async fn subscribe(&self, uri: &str, is_wanted: bool) -> Result<(), McpError>;
    async fn prompts(&self) -> Result<Vec<McpPrompt>, McpError>;
    /// A prompt, filled in.
    async fn prompt(&self, name: &str, arguments: &BTreeMap<String, String>) -> Result<String, McpError>;
    /// Whether it is ending or has ended: then nobody new should ask it.
    fn is_ending(&self) -> bool;
    /// Asks whether it is there, and ends the way to it if it does not say so; waits for neither.
    fn ping(&self);
    /// Waits until its list of tools has changed.
    async fn changed(&self);
    /// Waits until it has ended.
    async fn ended(&self);
    /// Ends it, with everything it started.
    async fn close(&self);
}

#[async_trait]
pub(crate) trait Connector: Send + Sync {
    async fn connect(&self, key: &Key, launch: &Launch) -> Result<Arc<dyn Connection>, McpError>;
}

/// Where the authorisation of a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authority {
    None,
    /// Somebody is to open a page.
    Begun,
    Given,
}

/// How an authorisation is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begin {
    /// Where the page leads back to.
    pub(crate) redirect_uri: String,
    /// As whom, with its secret if it has one, when somebody has registered us; else we register.
    pub(crate) client: Option<(String, Option<String>)>,
}

/// As whom we are known where nobody opens a page.
pub(crate) struct Machine {
    pub(crate) id: String,
    /// A private key in PEM, where `algorithm` says how it signs.
    pub(crate) secret: String,
    pub(crate) algorithm: Option<String>,
    /// Who says for whom we ask; else we ask for ourselves.
    pub(crate) voucher: Option<Voucher>,
}

/// Why a person's identity provider vouches for them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Voucher {
    /// The provider, as its metadata name it.
    pub(crate) issuer: String,
    /// As whom we are known there.
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<String>,
    /// An ID token that it gave us, or what renews one.
    pub(crate) token: String,
    pub(crate) is_refresh: bool,
}

/// Authorising servers, each under its address: what was given for one goes to no other.
/// Errors are in words, for the person.
#[async_trait]
pub(crate) trait Authorities: Send + Sync {
    /// Begins; gives the address that somebody must open.
    async fn start(&self, key: &Key, url: &str, begin: &Begin) -> Result<String, String>;
    async fn complete(&self, key: &Key, url: &str, given: &Callback) -> Result<(), String>;
    /// Authorises us as a machine, now and whenever what was given is too old.
    async fn machine(&self, key: &Key, url: &str, machine: &Machine) -> Result<(), String>;
    /// Takes tokens that somebody has from elsewhere.
    async fn set(&self, key: &Key, url: &str, access: &str, refresh: Option<&str>) -> Result<(), String>;
    async fn authority(&self, key: &Key, url: &str) -> Result<Authority, String>;
    async fn forget(&self, key: &Key) -> Result<(), String>;
}

/// Why the database did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the database of tools did not answer")]
pub(crate) struct DatabaseError(#[from] pub(crate) store::StoreError);
