//! What servers offer: under which name, in which words, and whether it is still what
//! somebody agreed to. Pure.

use std::collections::BTreeSet;

use domain::guard::cut_middle;
use domain::tool::{Consent, Effect, Intent, Risk, ToolClass, ToolSpec};
use domain::untrusted::{Suspicion, suspicion, visible};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest name of a tool that vendors of models take, in bytes.
const NAME_BYTES: usize = 64;
/// Longest description that models read, in characters.
const DESCRIPTION_CHARS: usize = 1024;
/// Longest schema that models read, in bytes; a tool with a longer one is left out.
const SCHEMA_BYTES: usize = 32 * 1024;
/// Longest description that is kept, in bytes: whoever agrees to it is shown so much.
const KEPT_BYTES: usize = 16 * 1024;
/// What is kept of all tools of one server, in bytes: it is read again for every call.
const TOGETHER_BYTES: usize = 1 << 20;
/// Tools of one server, at most.
pub(crate) const TOOLS: usize = 256;

/// A tool as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) description: String,
    /// JSON Schema of its arguments, as JSON text.
    pub(crate) schema: String,
    /// The server says that it changes nothing. A hint: it counts for nothing here, since
    /// anybody can say so.
    pub(crate) says_read_only: bool,
}

impl Offered {
    /// What somebody agrees to: all that a model would read of it.
    pub(crate) fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for field in [&self.name, &self.description, &self.schema] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// As a model calls it. Two servers never share a name, nor does one with what is
    /// built in: those have no `__`.
    pub(crate) fn full_name(&self, server: &str) -> String {
        let plain: String = self
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
            .collect();
        let name = format!("{server}__{plain}");
        if plain == self.name && name.len() <= NAME_BYTES {
            return name;
        }
        // What had to be changed is told apart by what it was.
        let mark = &blake3::hash(self.name.as_bytes()).to_hex()[..8];
        let room = NAME_BYTES - server.len() - 2 - 1 - mark.len();
        format!("{server}__{}_{mark}", &plain[..plain.len().min(room)])
    }

    /// How much of what a model would read of it looks like an attack.
    pub(crate) fn suspicion(&self) -> Suspicion {
        // Names are read too, with what stands for spaces in them.
        let name = self.name.replace(['_', '-'], " ");
        suspicion(&self.description).max(suspicion(&self.schema)).max(suspicion(&name))
    }

    /// As the model and the policy see it: moderate, and anybody's words.
    pub(crate) fn spec(&self, server: &str, timeout_ms: u64) -> ToolSpec {
        ToolSpec {
            name: self.full_name(server),
            description: cut_middle(&visible(&self.description), DESCRIPTION_CHARS),
            schema: visible(&self.schema),
            class: ToolClass::Mcp,
            effect: Effect::Once,
            risk: Risk::Moderate,
            intent: Intent::Network,
            group: "mcp".to_owned(),
            is_untrusted: true,
            consent: Consent::Asked,
            for_anyone: false,
            timeout_ms,
        }
    }
}

/// What is agreed to along with a server whose command somebody agreed to: whatever does not
/// read like orders to a model. That is called when somebody has read it.
pub(crate) fn agreeable(offered: &[Offered]) -> BTreeSet<String> {
    offered.iter().filter(|tool| tool.suspicion() < Suspicion::Medium).map(Offered::hash).collect()
}

/// Those that can be offered at all, in the order of their names, each name once.
pub(crate) fn usable(mut offered: Vec<Offered>) -> Vec<Offered> {
    offered.retain_mut(|tool| {
        if tool.name.is_empty() || tool.name.len() > 200 || tool.schema.len() > SCHEMA_BYTES {
            return false;
        }
        tool.description.truncate(tool.description.floor_char_boundary(KEPT_BYTES));
        // Vendors of models refuse a whole request for one tool whose arguments are no object.
        let Ok(Value::Object(mut schema)) = serde_json::from_str(&tool.schema) else { return false };
        let kind = schema.entry("type").or_insert_with(|| "object".into());
        let is_object = kind == "object";
        tool.schema = Value::Object(schema).to_string();
        is_object
    });
    offered.sort_by(|one, other| one.name.cmp(&other.name));
    offered.dedup_by(|one, other| one.name == other.name);
    offered.truncate(TOOLS);
    let mut left = TOGETHER_BYTES;
    offered.retain(|tool| {
        let bytes = tool.name.len() + tool.description.len() + tool.schema.len();
        left.checked_sub(bytes).map(|rest| left = rest).is_some()
    });
    offered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(name: &str) -> Offered {
        Offered { name: name.into(), description: "d".into(), schema: "{}".into(), says_read_only: true }
    }

    #[test]
    fn names_say_whose_they_are() {
        assert_eq!(tool("echo").full_name("everything"), "everything__echo");
        let strange = tool("send email!").full_name("mail");
        assert!(
            strange.starts_with("mail__send_email__") && strange != tool("send email?").full_name("mail"),
            "{strange}"
        );
    }

    #[test]
    fn what_changes_is_another() {
        let known = tool("echo");
        for other in [
            Offered { description: "d ".into(), ..known.clone() },
            Offered { schema: "{ }".into(), ..known.clone() },
            tool("Echo"),
        ] {
            assert_ne!(known.hash(), other.hash());
        }
        assert_eq!(known.hash(), Offered { says_read_only: false, ..known.clone() }.hash());
    }

    #[test]
    fn what_no_model_could_call_is_left_out() {
        let broken = Offered { schema: "[]".into(), ..tool("a") };
        let long = Offered { schema: format!("{{\"x\":\"{}\"}}", "y".repeat(SCHEMA_BYTES)), ..tool("b") };
        let list = Offered { schema: r#"{"type":"array"}"#.into(), ..tool("e") };
        let usable = usable(vec![tool("d"), broken, long, list, tool("c"), tool("c"), tool("")]);
        assert_eq!(usable.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!(usable[0].schema, r#"{"type":"object"}"#);
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_vendors_take(name in ".{1,120}", server in "[a-z][a-z0-9-]{0,31}") {
            let full = tool(&name).full_name(&server);
            prop_assert!(full.len() <= NAME_BYTES);
            prop_assert!(full.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
            let prefix = format!("{}__", server);
            prop_assert!(full.starts_with(&prefix));
        }
    }
}
