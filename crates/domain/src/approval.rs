//! What a turn asks a person before it goes on: whether a call may run, or what became of
//! one. The answer is an event of the conversation, so it outlives every process.

use crate::journal::Call;
use crate::untrusted::escaped;

/// Longest arguments that a person is asked about, in characters as they are shown.
const SHOWN: usize = 16_000;
/// Longest arguments of all calls in one question, in bytes as they are shown: lists show a
/// question whole, too (`conversation::asking`).
const TOGETHER: usize = 96 * 1024;

/// What a turn ended with a question about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// A call may or may not have happened.
    Outcome,
    /// A call waits for a person's word.
    Approval,
}

/// Which calls are asked for, in one conversation; MCPOmni Connect's users know the names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApprovalMode {
    /// Those that the policy says.
    #[default]
    Auto,
    /// Every one.
    Chat,
}

impl ApprovalMode {
    pub const ALL: [Self; 2] = [Self::Auto, Self::Chat];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Chat => "chat",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text.trim().to_lowercase())
    }

    /// What the person is told when they choose it.
    pub fn told_user(self) -> &'static str {
        match self {
            Self::Auto => "From your next message on I ask before calls that the policy does not allow by itself.",
            Self::Chat => "From your next message on I ask before every call of a tool; `!stop` ends what is running.",
        }
    }
}

/// The question that a turn ends with when calls wait for a person's word. It is made of
/// the calls alone: nothing that a model wrote can stand in for it.
pub(crate) fn question(waiting: &[&Call], is_tainted: bool) -> String {
    let mut text = String::from("May I do this?\n");
    for call in waiting {
        text.push_str(&format!("\n`{}` with\n{}\n", escaped(&call.name), shown(&call.arguments)));
    }
    if is_tainted {
        text.push_str("\nLook closely: in this turn I have read text that somebody else wrote.\n");
    }
    text.push_str("\nSay \"yes\" to allow it once, or \"no\".");
    text
}

/// What one question has room for. What cannot be shown whole is not asked for: whatever was
/// left out could be what matters.
pub(crate) struct Room(usize);

impl Room {
    pub(crate) fn new() -> Self {
        Self(TOGETHER)
    }

    /// Takes room for a call; the error is for the model.
    pub(crate) fn take(&mut self, arguments: &str) -> Result<(), &'static str> {
        let shown = shown(arguments);
        if shown.chars().count() > SHOWN {
            return Err("not run: it needs the person's word, and its arguments are too long to be shown; make them \
                        shorter, or go in steps");
        }
        let left = self.0.checked_sub(shown.len());
        self.0 = left.ok_or(
            "not run: it needs the person's word, and so do others of this answer, which are too much \
                             to be shown at once; call it again after them",
        )?;
        Ok(())
    }
}

/// Arguments as a person can read them, whole, with nothing in them that moves the cursor,
/// hides text or ends the code block early.
fn shown(arguments: &str) -> String {
    let pretty = serde_json::from_str::<serde_json::Value>(arguments)
        .ok()
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| arguments.to_owned());
    let plain: String = pretty.lines().map(|line| format!("    {}\n", escaped(line))).collect();
    plain.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CallId, TurnId};
    use crate::tool::Effect;

    fn call(name: &str, arguments: &str) -> Call {
        let turn = TurnId::parse("00000000-0000-5000-8000-000000000000").unwrap();
        Call {
            id: CallId { turn, step: 0, index: 0 },
            vendor_id: String::new(),
            name: name.into(),
            arguments: arguments.into(),
            effect: Effect::Once,
            outcome: None,
        }
    }

    #[test]
    fn modes_read_back() {
        for mode in ApprovalMode::ALL {
            assert_eq!(ApprovalMode::parse(mode.as_str()), Some(mode));
        }
        assert_eq!(ApprovalMode::parse("orchestrator"), None);
    }

    #[test]
    fn a_question_shows_exactly_what_would_run() {
        let text = question(&[&call("send", r#"{"body":"hi","to":"bob"}"#)], false);
        assert_eq!(
            text,
            "May I do this?\n\n`send` with\n    {\n      \"body\": \"hi\",\n      \"to\": \"bob\"\n    }\n\nSay \"yes\" to allow it once, or \"no\"."
        );
        let hidden = question(&[&call("se\u{1b}[2Jnd", "{\"to\":\"a\u{202e}b\"}")], true);
        assert!(!hidden.contains(['\u{1b}', '\u{202e}']), "{hidden:?}");
        assert!(hidden.contains("Look closely"));
        assert!(hidden.contains("\\u{202e}"), "what is hidden is written out: {hidden}");
        let body = |length: usize| format!("{{\"body\":\"{}\"}}", "x".repeat(length));
        let mut room = Room::new();
        assert!(room.take(&body(16_000)).unwrap_err().contains("too long"));
        assert_eq!((0..9).filter(|_| room.take(&body(15_000)).is_ok()).count(), 6, "no more than is shown together");
        assert!(room.take("{}").is_ok());
        assert!(question(&[&call("send", &body(15_000))], false).contains(&"x".repeat(15_000)), "nothing is left out");
    }
}
