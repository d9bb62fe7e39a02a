//! What the runner needs from outside: servers that speak MCP, and a database of those
//! that people have installed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{ConversationId, MessageId};
use domain::mcp::{Callback, Launch, McpCall, McpLimit, McpPrompt, McpResource, McpUsage};
use domain::message::Principal;
use domain::sampling::{Sampled, Voice};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

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

/// Whose server, and which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Empty: everybody's.
    pub(crate) owner: String,
    pub(crate) name: String,
}

/// A server as it was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) key: Key,
    pub(crate) source: String,
    pub(crate) launch: Launch,
    pub(crate) is_enabled: bool,
    /// Whether it starts anew when its files change.
    pub(crate) is_reloaded: bool,
    /// Whether it may have words of the model.
    pub(crate) may_sample: bool,
    /// What it offered when it was asked last.
    pub(crate) tools: Vec<Offered>,
    /// The hashes of those that somebody agreed to.
    pub(crate) approved: BTreeSet<String>,
    pub(crate) last_error: String,
    pub(crate) installed_by: String,
    pub(crate) installed_at_ms: i64,
    /// How often somebody wanted it to start anew: a process of an earlier time is ended.
    pub(crate) restarts: i64,
    /// Everybody's, as its owner has authorised it for themselves: what it is, and what of it was
    /// agreed to, is everybody's; what it offers, and with which tokens, is its owner's.
    pub(crate) is_personal: bool,
}

impl Installed {
    /// Everybody's server, as somebody authorises it for themselves.
    pub(crate) fn for_one(&self, owner: &str) -> Self {
        let key = Key { owner: owner.to_owned(), name: self.key.name.clone() };
        Self { key, tools: Vec::new(), last_error: String::new(), is_personal: true, ..self.clone() }
    }

    /// What is kept of such a one, with what everybody's is now.
    pub(crate) fn as_part_of(&self, all: &Self) -> Self {
        Self {
            key: self.key.clone(),
            tools: self.tools.clone(),
            last_error: self.last_error.clone(),
            restarts: self.restarts + all.restarts,
            is_personal: true,
            ..all.clone()
        }
    }

    /// Where that stands which holds for all who use it.
    pub(crate) fn shared_key(&self) -> Key {
        match self.is_personal {
            true => Key { owner: String::new(), name: self.key.name.clone() },
            false => self.key.clone(),
        }
    }

    pub(crate) fn is_approved(&self, tool: &Offered) -> bool {
        self.approved.contains(&tool.hash())
    }
}

/// One call, as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    pub(crate) key: Key,
    pub(crate) user: String,
    pub(crate) call: String,
    pub(crate) tool: String,
    pub(crate) started_at_ms: i64,
    pub(crate) duration_ms: i64,
    /// Nothing for one that went well.
    pub(crate) error: Option<&'static str>,
}

/// Calls that a person may make since a time, at most.
#[derive(Debug, Clone)]
pub(crate) struct CallLimit {
    pub(crate) most: u64,
    pub(crate) since_ms: i64,
    /// Of this server alone, and of this tool; empty: of any.
    pub(crate) server: String,
    pub(crate) tool: String,
}

/// How much people may call.
#[async_trait]
pub(crate) trait Limits: Send + Sync {
    async fn all(&self) -> Result<Vec<McpLimit>, DatabaseError>;
    /// Sets one in place of what was set for the same; whether there was room among `most`.
    async fn set(&self, limit: &McpLimit, most: usize) -> Result<bool, DatabaseError>;
    /// Whether there was one.
    async fn remove(&self, user: &str, server: &str, tool: &str) -> Result<bool, DatabaseError>;
}

/// What is noted in place of an error of a call that has begun, and not ended.
pub(crate) const RUNNING: &str = "running";

/// Why the database did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the database of tools did not answer")]
pub(crate) struct DatabaseError(#[from] pub(crate) store::StoreError);

/// The servers that people have installed.
#[async_trait]
pub(crate) trait Installations: Send + Sync {
    /// Those that a person may use: their own, and everybody's.
    async fn of(&self, user: &str) -> Result<Vec<Installed>, DatabaseError>;
    async fn find(&self, key: &Key) -> Result<Option<Installed>, DatabaseError>;
    /// All that everybody's server of this name offers to anybody.
    async fn offered(&self, name: &str) -> Result<Vec<Offered>, DatabaseError>;
    /// Whether it was added: not when there is one of this name.
    async fn add(&self, installed: &Installed) -> Result<bool, DatabaseError>;
    /// Everybody's goes with what people have authorised of it for themselves.
    async fn remove(&self, key: &Key) -> Result<bool, DatabaseError>;
    async fn enable(&self, key: &Key, is_enabled: bool) -> Result<bool, DatabaseError>;
    /// What it offers now, if it is still run like this; what was agreed to stays agreed to.
    async fn set_tools(&self, key: &Key, launch: &Launch, tools: &[Offered]) -> Result<(), DatabaseError>;
    /// Agrees to those of what it offers now that have these hashes.
    async fn approve(&self, key: &Key, hashes: &BTreeSet<String>) -> Result<bool, DatabaseError>;
    /// Has every replica start it anew; whether there is such a server.
    async fn restart(&self, key: &Key) -> Result<bool, DatabaseError>;
    /// Whether it is to start anew when its files change.
    async fn set_reloaded(&self, key: &Key, is_wanted: bool) -> Result<bool, DatabaseError>;
    /// Whether it may have words of the model.
    async fn set_may_sample(&self, key: &Key, is_allowed: bool) -> Result<bool, DatabaseError>;
    /// Those that start anew when their files change, whoever they belong to.
    async fn reloaded(&self) -> Result<Vec<Installed>, DatabaseError>;
    async fn note_error(&self, key: &Key, why: &str) -> Result<(), DatabaseError>;
}

/// The calls of servers.
#[async_trait]
pub(crate) trait Calls: Send + Sync {
    /// Counts a call that is about to be made, of its person's calls; the first of the limits that
    /// it would exceed, if it would, and then it counts for nothing. Those that come at once, to
    /// all replicas, are counted one after the other.
    async fn begin_call(&self, called: &Called, limits: &[CallLimit]) -> Result<Option<usize>, DatabaseError>;
    /// How a call ended.
    async fn note_call(&self, called: &Called) -> Result<(), DatabaseError>;
    /// A person's calls, the newest first.
    async fn made(&self, by: &str, limit: u32) -> Result<Vec<McpCall>, DatabaseError>;
    /// What a person has called, or everybody; the newest day first.
    async fn usage(&self, by: Option<&str>, limit: u32) -> Result<Vec<McpUsage>, DatabaseError>;
}

/// A turn that another one began to have a part of its work done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) id: String,
    /// Where it runs.
    pub(crate) conversation: ConversationId,
    /// What it was asked with.
    pub(crate) message: MessageId,
    pub(crate) started_at_ms: i64,
    /// The tools that it may use, by their names or groups; empty: all that its person may.
    pub(crate) tools: Vec<String>,
}

/// The sub-agents of conversations.
#[async_trait]
pub(crate) trait Children: Send + Sync {
    /// Adds one after all that are there, whatever its clock says. The same again is harmless.
    async fn add(&self, parent: &ConversationId, child: &Child) -> Result<(), DatabaseError>;
    async fn remove(&self, parent: &ConversationId, id: &str) -> Result<(), DatabaseError>;
    /// Newest first.
    async fn of(&self, parent: &ConversationId, limit: u32) -> Result<Vec<Child>, DatabaseError>;
    /// What a conversation may use, if it is a sub-agent's that was given some tools alone.
    async fn tools(&self, conversation: &ConversationId) -> Result<Vec<String>, DatabaseError>;
    async fn is_child(&self, conversation: &ConversationId) -> Result<bool, DatabaseError>;
}

/// A process that runs in the sandbox while nobody waits for it, as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Background {
    /// The call that began it.
    pub(crate) begun_by: String,
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) started_at_ms: i64,
    /// When what runs it was alive last.
    pub(crate) seen_at_ms: i64,
    /// How it ended, in words; empty while it runs.
    pub(crate) ended: String,
}

/// How one ended that nobody has seen for long.
pub(crate) const LOST: &str = "it ended with the tool runner that ran it";

/// What became of one that was to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is to be run now.
    New,
    /// The same call has begun it before.
    Before(Background),
    /// Another of this name runs.
    Taken,
    /// As many run as may.
    TooMany,
}

/// Processes in the background, by whose folder they run in. Times are the caller's, in
/// milliseconds.
#[async_trait]
pub(crate) trait Backgrounds: Send + Sync {
    /// Begins one, unless there is a reason not to. Those not seen since `lost_before_ms` run no
    /// more; of those that have ended the newest are kept.
    async fn begin(
        &self,
        owner: &str,
        new: &Background,
        most: usize,
        lost_before_ms: i64,
    ) -> Result<Begun, DatabaseError>;
    /// Notes how it is, and what it printed if that is new; whether somebody wants it to stop.
    async fn note(&self, owner: &str, of: &Background, output: Option<&str>) -> Result<bool, DatabaseError>;
    /// Whether one of this name was there to stop.
    async fn want_stop(&self, owner: &str, name: &str) -> Result<bool, DatabaseError>;
    /// Newest first, those that run before all others.
    async fn of(&self, owner: &str, limit: u32) -> Result<Vec<Background>, DatabaseError>;
    /// The newest of this name, with the end of what it printed.
    async fn find(&self, owner: &str, name: &str) -> Result<Option<(Background, String)>, DatabaseError>;
}
