//! The tools there are, and whether arguments fit their schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::tool::{ToolRequest, ToolSpec};
use jsonschema::Validator;
use serde_json::Value;

/// How many faults of one call the model is told.
const FAULTS: usize = 5;

/// One tool.
#[async_trait]
pub(crate) trait Tool: Send + Sync {
    fn spec(&self) -> &ToolSpec;
    /// Runs the tool. `arguments` fit the schema. Both sides of the result are
    /// read by the model.
    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String>;
}

/// A tool with arguments that fit it.
pub(crate) struct Registered<'a> {
    pub(crate) tool: &'a Arc<dyn Tool>,
    pub(crate) arguments: Value,
}

pub(crate) struct Registry {
    tools: BTreeMap<String, (Arc<dyn Tool>, Validator)>,
}

impl Registry {
    pub(crate) fn new(tools: Vec<Arc<dyn Tool>>) -> anyhow::Result<Self> {
        let mut registered = BTreeMap::new();
        for tool in tools {
            let spec = tool.spec();
            let schema: Value = serde_json::from_str(&spec.schema)?;
            let validator =
                jsonschema::validator_for(&schema).map_err(|err| anyhow::anyhow!("{}: {err}", spec.name))?;
            registered.insert(spec.name.clone(), (tool, validator));
        }
        Ok(Self { tools: registered })
    }

    pub(crate) fn specs(&self) -> Vec<ToolSpec> {
        self.tools.values().map(|(tool, _)| tool.spec().clone()).collect()
    }

    /// Finds a tool and checks its arguments; the error is for the model.
    pub(crate) fn check(&self, name: &str, arguments: &str) -> Result<Registered<'_>, String> {
        let (tool, validator) = self.tools.get(name).ok_or_else(|| format!("there is no tool `{name}`"))?;
        let arguments: Value =
            serde_json::from_str(arguments).map_err(|err| format!("the arguments are not valid JSON: {err}"))?;
        let faults: Vec<String> = validator
            .iter_errors(&arguments)
            .take(FAULTS)
            .map(|fault| match fault.instance_path().to_string() {
                place if place.is_empty() => fault.to_string(),
                place => format!("{place}: {fault}"),
            })
            .collect();
        if faults.is_empty() {
            Ok(Registered { tool, arguments })
        } else {
            Err(format!("the arguments do not fit: {}", faults.join("; ")))
        }
    }
}
