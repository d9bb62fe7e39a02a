//! The tools there are, and whether arguments fit their schema.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::tool::{Intent, ToolRequest, ToolSpec};
use jsonschema::Validator;
use serde_json::Value;
use tracing::warn;

use crate::mcp::Plugins;
use crate::outgoing::Outgoing;

/// How many faults of one call the model is told.
const FAULTS: usize = 5;

/// How long the tools of servers are looked for when a turn begins.
const LOOKUP: Duration = Duration::from_secs(2);

/// Where a call of a server's tool holds what the person answers to the server's own
/// questions: it is no argument of the tool.
pub(crate) const ANSWERS: &str = "_answers";

/// How a call ended. The words are read by the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    Gave(String),
    /// It said no, or went wrong, and nothing more of it happens.
    Failed(String),
    /// Nobody could be asked, so nothing happened.
    Unreachable(String),
    /// Nobody knows.
    MayHaveHappened(String),
}

impl From<Result<String, String>> for Ended {
    fn from(result: Result<String, String>) -> Self {
        match result {
            Ok(text) => Ended::Gave(text),
            Err(why) => Ended::Failed(why),
        }
    }
}

/// One tool.
#[async_trait]
pub(crate) trait Tool: Send + Sync {
    fn spec(&self) -> &ToolSpec;
    /// Calls the tool. `arguments` fit the schema.
    async fn call(&self, request: &ToolRequest, arguments: Value) -> Ended;
}

/// A tool that is built in: it ends with a result or an error, and it is known which.
#[async_trait]
pub(crate) trait Builtin: Send + Sync {
    fn spec(&self) -> &ToolSpec;
    /// Runs the tool. `arguments` fit the schema. Both sides of the result are
    /// read by the model.
    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String>;
}

#[async_trait]
impl<T: Builtin> Tool for T {
    fn spec(&self) -> &ToolSpec {
        Builtin::spec(self)
    }

    async fn call(&self, request: &ToolRequest, arguments: Value) -> Ended {
        self.run(request, arguments).await.into()
    }
}

/// The tools that are built in, and those of the servers that a person has.
pub(crate) struct Registry {
    builtin: BTreeMap<String, (Arc<dyn Tool>, Validator)>,
    plugins: Arc<Plugins>,
    outgoing: Outgoing,
}

impl Registry {
    pub(crate) fn new(tools: Vec<Arc<dyn Tool>>, plugins: Arc<Plugins>, outgoing: Outgoing) -> anyhow::Result<Self> {
        let mut builtin = BTreeMap::new();
        for tool in tools {
            let spec = tool.spec();
            let validator = validator(&spec.schema).map_err(|err| anyhow::anyhow!("{}: {err}", spec.name))?;
            builtin.insert(spec.name.clone(), (tool, validator));
        }
        Ok(Self { builtin, plugins, outgoing })
    }

    /// The tools that a person may use. Without the database those of servers are missing.
    pub(crate) async fn specs(&self, user: &str) -> Vec<ToolSpec> {
        let mut specs: Vec<ToolSpec> = self.builtin.values().map(|(tool, _)| tool.spec().clone()).collect();
        match tokio::time::timeout(LOOKUP, self.plugins.tools(user)).await {
            Ok(Ok(tools)) => specs.extend(tools.iter().map(|tool| tool.spec().clone())),
            Ok(Err(why)) => warn!(why, "listing what is built in alone"),
            Err(_) => warn!("the database of tools is slow; listing what is built in alone"),
        }
        specs
    }

    /// Finds a tool that a person may use and checks its arguments; the error is for the
    /// model.
    pub(crate) async fn find(&self, user: &str, name: &str, arguments: &str) -> Result<(Arc<dyn Tool>, Value), String> {
        let arguments: Value =
            serde_json::from_str(arguments).map_err(|err| format!("the arguments are not valid JSON: {err}"))?;
        if let Some((tool, validator)) = self.builtin.get(name) {
            check(validator, &arguments)?;
            if tool.spec().intent == Intent::Network {
                self.outgoing.check(&arguments)?;
            }
            return Ok((Arc::clone(tool), arguments));
        }
        let found = self.plugins.tools(user).await?.into_iter().find(|tool| tool.spec().name == name);
        let tool = found.ok_or_else(|| format!("there is no tool `{name}`"))?;
        // A schema that cannot be read is the server's business: it checks by itself.
        if let Ok(validator) = validator(&tool.spec().schema) {
            let mut own = arguments.clone();
            own.as_object_mut().and_then(|own| own.remove(ANSWERS));
            check(&validator, &own)?;
        }
        // What a server does with them, nobody knows.
        self.outgoing.check(&arguments)?;
        Ok((tool, arguments))
    }
}

fn validator(schema: &str) -> Result<Validator, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|err| err.to_string())?;
    jsonschema::validator_for(&schema).map_err(|err| err.to_string())
}

fn check(validator: &Validator, arguments: &Value) -> Result<(), String> {
    let faults: Vec<String> = validator
        .iter_errors(arguments)
        .take(FAULTS)
        .map(|fault| match fault.instance_path().to_string() {
            place if place.is_empty() => fault.to_string(),
            place => format!("{place}: {fault}"),
        })
        .collect();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("the arguments do not fit: {}", faults.join("; "))),
    }
}
