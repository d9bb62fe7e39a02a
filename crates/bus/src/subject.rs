//! Subjects: the only place where they are written.
//!
//! A subject holds ids of ours alone. A platform's id never enters one, so no
//! wildcard, space or dot of a stranger can reach the server.

use std::fmt;

use domain::ids::{CallId, ConversationId, FileId, TurnId};
use domain::tool::ToolClass;

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    Inbound(&'a ConversationId),
    TurnPrepare(&'a ConversationId),
    TurnRun(&'a ConversationId),
    Journal(&'a ConversationId, TurnId),
    /// What is to be published after a time.
    Timer(&'a ConversationId),
    Tool(ToolClass),
    ToolResult(CallId),
    /// All results of a turn, to listen on.
    ToolResults(TurnId),
    Outbound(&'a str, &'a ConversationId),
    Delivery(TurnId, u32),
    /// What terminals show: one message a reply.
    Terminal(&'a ConversationId, TurnId),
    /// All that the terminals of a conversation show.
    Terminals(&'a ConversationId),
    /// A part of a file that came with a message.
    File(&'a ConversationId, &'a FileId, u32),
    /// All parts of a file.
    FileChunks(&'a ConversationId, &'a FileId),
    /// All files of a conversation.
    Files(&'a ConversationId),
    Dead(&'a str),
    Delta(&'a str, &'a ConversationId),
    /// How far the calls of a turn say that they are.
    ToolProgress(TurnId),
    Control(TurnId),
    Snapshot(TurnId),
    /// Those of all turns, to listen on.
    Controls,
    Snapshots,
    Request(Endpoints),
}

/// Request-and-reply subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoints {
    MemoryRecall,
    MemoryFacts,
    MemoryPassages,
    MemoryCompare,
    MemorySessions,
    ToolsList,
    ToolsMcp,
    ToolsSandbox,
    ModelSample,
    CliSay,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("clara.v1.")?;
        match self {
            Subject::Inbound(conversation) => write!(f, "inbound.{}.{conversation}", conversation.partition()),
            Subject::TurnPrepare(conversation) => write!(f, "turn.prepare.{conversation}"),
            Subject::TurnRun(conversation) => write!(f, "turn.run.{conversation}"),
            Subject::Journal(conversation, turn) => write!(f, "journal.{conversation}.{turn}"),
            Subject::Timer(conversation) => write!(f, "timer.{conversation}"),
            Subject::Tool(class) => write!(f, "tool.{}", class.as_str()),
            Subject::ToolResult(call) => write!(f, "tool_result.{}.{}.{}", call.turn, call.step, call.index),
            Subject::ToolResults(turn) => write!(f, "tool_result.{turn}.>"),
            Subject::Outbound(platform, conversation) => write!(f, "outbound.{platform}.{conversation}"),
            Subject::Delivery(turn, segment) => write!(f, "delivery.{turn}.{segment}"),
            Subject::Terminal(conversation, turn) => write!(f, "terminal.{conversation}.{turn}"),
            Subject::Terminals(conversation) => write!(f, "terminal.{conversation}.*"),
            Subject::File(conversation, file, chunk) => write!(f, "file.{conversation}.{file}.{chunk}"),
            Subject::FileChunks(conversation, file) => write!(f, "file.{conversation}.{file}.*"),
            Subject::Files(conversation) => write!(f, "file.{conversation}.*.*"),
            Subject::Dead(service) => write!(f, "dead.{service}"),
            Subject::Delta(platform, conversation) => write!(f, "delta.{platform}.{conversation}"),
            Subject::ToolProgress(turn) => write!(f, "tool_progress.{turn}"),
            Subject::Control(turn) => write!(f, "control.{turn}"),
            Subject::Controls => f.write_str("control.*"),
            Subject::Snapshots => f.write_str("snapshot.*"),
            Subject::Snapshot(turn) => write!(f, "snapshot.{turn}"),
            Subject::Request(Endpoints::MemoryRecall) => f.write_str("memory.recall"),
            Subject::Request(Endpoints::MemoryFacts) => f.write_str("memory.facts"),
            Subject::Request(Endpoints::MemoryPassages) => f.write_str("memory.passages"),
            Subject::Request(Endpoints::MemoryCompare) => f.write_str("memory.compare"),
            Subject::Request(Endpoints::MemorySessions) => f.write_str("memory.sessions"),
            Subject::Request(Endpoints::ToolsList) => f.write_str("tools.list"),
            Subject::Request(Endpoints::ToolsSandbox) => f.write_str("tools.sandbox"),
            Subject::Request(Endpoints::ToolsMcp) => f.write_str("tools.mcp"),
            Subject::Request(Endpoints::ModelSample) => f.write_str("model.sample"),
            Subject::Request(Endpoints::CliSay) => f.write_str("cli.say"),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{MessageId, Place};

    use super::*;
    use crate::topology::{SPEC, Spec};

    /// Every stored subject has exactly one stream that keeps it.
    #[test]
    fn every_stored_subject_has_its_stream() {
        let place = Place { platform: "cli".into(), tenant: "t".into(), channel: "c".into(), thread: String::new() };
        let conversation = ConversationId::derive(&place);
        let turn = TurnId::derive(&conversation, &MessageId::parse("cli:1").unwrap());
        let call = CallId { turn, step: 0, index: 0 };
        let spec = Spec::parse(SPEC).unwrap();
        for subject in [
            Subject::Inbound(&conversation),
            Subject::TurnPrepare(&conversation),
            Subject::TurnRun(&conversation),
            Subject::Journal(&conversation, turn),
            Subject::Timer(&conversation),
            Subject::Tool(ToolClass::Builtin),
            Subject::Tool(ToolClass::Mcp),
            Subject::Tool(ToolClass::Sandbox),
            Subject::ToolResult(call),
            Subject::Outbound("cli", &conversation),
            Subject::Delivery(turn, 0),
            Subject::Terminal(&conversation, turn),
            Subject::File(&conversation, &FileId::of(b"x"), 0),
            Subject::Dead("router"),
        ] {
            let text = subject.to_string();
            let keeping =
                spec.stream.iter().filter(|stream| stream.subjects.iter().any(|filter| matches(filter, &text)));
            assert_eq!(keeping.count(), 1, "{text}");
        }
        for subject in
            [Subject::Delta("cli", &conversation), Subject::Control(turn), Subject::Request(Endpoints::CliSay)]
        {
            let text = subject.to_string();
            assert!(
                !spec.stream.iter().any(|stream| stream.subjects.iter().any(|filter| matches(filter, &text))),
                "{text}"
            );
        }
    }

    fn matches(filter: &str, subject: &str) -> bool {
        let (filter, subject): (Vec<_>, Vec<_>) = (filter.split('.').collect(), subject.split('.').collect());
        filter.len() == subject.len() && filter.iter().zip(&subject).all(|(f, s)| *f == "*" || f == s)
    }
}
