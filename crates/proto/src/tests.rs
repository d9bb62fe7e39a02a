//! What is written is read back; what is garbage is named.

use domain::approval::{ApprovalMode, Question};
use domain::attachment::{Attachment, FileKind, Image};
use domain::carry::{Carry, Choice, Origin};
use domain::chat::{Answer, ChatMessage, ToolCall, Usage};
use domain::conversation::{Active, Asked, Conversation, Effect, Ending, Position};
use domain::decide::Tools;
use domain::delivery::DeliveryRecord;
use domain::ids::{CallId, ConversationId, MessageId, Place, TurnId};
use domain::journal::{Entry, Fault, Record};
use domain::memory::{Fact, Passage, Reminder};
use domain::message::{Audience, Event, Inbound, Principal, Route, TurnFinished, UserMessage};
use domain::queue::QueueMode;
use domain::tier::Tier;
use domain::tool::{Consent, Intent, Outcome, OutcomeKind, Risk, ToolClass, ToolRecord, ToolSpec};
use domain::turn::{Reply, ReplyKind, TurnContext, TurnRequest};
use proptest::prelude::*;

use crate::Wire;

fn reads_back<T: Wire + PartialEq + std::fmt::Debug>(value: T) {
    assert_eq!(T::from_wire(&value.to_wire()).unwrap(), value);
}

fn conversation() -> ConversationId {
    ConversationId::derive(&Place {
        platform: "cli".into(),
        tenant: "t".into(),
        channel: "c".into(),
        thread: "".into(),
    })
}

fn message_id() -> MessageId {
    MessageId::parse("cli:1").unwrap()
}

fn turn() -> TurnId {
    TurnId::derive(&conversation(), &message_id())
}

fn principal() -> Principal {
    Principal { user: "u".into(), name: "Ann".into(), tenant: "t".into() }
}

fn route() -> Route {
    Route { platform: "cli".into(), channel: "c".into(), audience: Audience::Direct, parent: None }
}

fn attachment() -> Attachment {
    Attachment::of("plan.txt", b"milk").unwrap()
}

fn user_message() -> UserMessage {
    UserMessage {
        id: message_id(),
        speaker: principal(),
        text: "hi ✓".into(),
        attachments: vec![attachment()],
        tier: Some(Tier::High),
        sent_at_ms: 7,
    }
}

fn origin(carry: Carry) -> Origin {
    Origin { conversation: conversation(), turn: turn(), carry }
}

fn request() -> TurnRequest {
    TurnRequest {
        turn: turn(),
        conversation: conversation(),
        route: route(),
        messages: vec![user_message()],
        previous: Some(turn()),
        discussion_tier: None,
        generation: 3,
        origin: Some(origin(Carry::Answered(Choice::Worked))),
        model: Some("m".into()),
        approval: ApprovalMode::Chat,
    }
}

fn reply() -> Reply {
    Reply {
        turn: turn(),
        conversation: conversation(),
        route: route(),
        answers: vec![message_id()],
        kind: ReplyKind::Stopped,
        text: "Stopped.".into(),
        notices: vec!["memory unavailable".into()],
        tier: Tier::Low,
        usage: Usage { input_tokens: 1, output_tokens: 2, cached_tokens: 3 },
        tool_calls: 4,
        asks: Some(Question::Approval),
    }
}

fn context() -> TurnContext {
    let call = ToolCall { vendor_id: "v".into(), name: "n".into(), arguments: "{".into() };
    TurnContext {
        request: request(),
        system: "be".into(),
        messages: vec![
            ChatMessage::User {
                text: "q".into(),
                images: vec![Image { conversation: conversation(), file: attachment().file, kind: FileKind::Png }],
            },
            ChatMessage::Assistant { text: "".into(), calls: vec![call], signatures: vec!["s".into()] },
            ChatMessage::ToolResult { vendor_id: "v".into(), text: "r".into() },
        ],
        tools: [ToolSpec {
            name: "n".into(),
            description: "d".into(),
            schema: "{}".into(),
            class: ToolClass::Builtin,
            effect: domain::tool::Effect::Idempotent,
            risk: Risk::Moderate,
            intent: Intent::Network,
            group: "mcp".into(),
            is_untrusted: true,
            consent: Consent::Asked,
            for_anyone: true,
            timeout_ms: 5,
        }]
        .into(),
        later: [domain::tool_search::spec()].into(),
        found: vec!["mail__send".into()],
        tier: Tier::Mid,
        recalled: vec![Fact { is_key: true, is_public: true, ..Fact::asked("f", "likes tea", 4) }],
        passages: vec![Passage { id: "c/m".into(), speaker: "Ann".into(), text: "I like tea".into(), at_ms: 3 }],
        reminders: vec![Reminder { id: "r".into(), content: "Buy milk".into() }],
        notices: vec![],
        is_tainted: true,
        room: 9000,
        rules: vec![domain::policy::ToolRule { ruling: domain::policy::Ruling::Deny, tools: vec!["group:fs".into()] }],
        done: vec!["charge".into()],
    }
}

#[test]
fn events_read_back() {
    let events = [
        Event::MessageReceived(user_message()),
        Event::StopRequested { id: message_id(), by: principal() },
        Event::ConversationReset { id: message_id(), by: principal() },
        Event::TurnLost { turn: turn() },
        Event::QueueModeChosen { id: message_id(), by: principal(), mode: QueueMode::Steer },
        Event::TurnForked { id: message_id(), by: principal(), origin: origin(Carry::Fork { at: 2 }), model: None },
        Event::DebounceElapsed { last: message_id() },
        Event::QuestionAsked { turn: turn(), question: Question::Approval, text: "May I?".into(), at_ms: 7 },
        Event::ApprovalModeChosen { id: message_id(), by: principal(), mode: ApprovalMode::Chat },
        Event::QuestionAnswered { id: message_id(), by: principal(), turn: turn(), choice: Choice::Approve, at_ms: 7 },
        Event::TurnFinished(TurnFinished { turn: turn(), answers: vec![message_id()], tier: Tier::Mid }),
    ];
    for event in events {
        reads_back(Inbound { conversation: conversation(), route: Some(route()), event });
    }
}

#[test]
fn conversations_and_contexts_read_back() {
    reads_back(context());
    reads_back(Conversation {
        applied: Position { incarnation: 9, sequence: 8 },
        seen: [message_id()].into(),
        route: Some(route()),
        active: Some(Active {
            turn: turn(),
            speaker: principal(),
            owes: vec![message_id()],
            steered: vec![user_message()],
            ending: Some(Ending::Interrupted),
        }),
        mode: Some(QueueMode::Collect),
        approval: Some(ApprovalMode::Auto),
        asked: Some(Asked {
            turn: turn(),
            of: principal(),
            question: Question::Outcome,
            text: "What now?".into(),
            at_ms: 7,
        }),
        waiting: [user_message()].into(),
        previous: None,
        tier: Some(Tier::Mid),
        generation: 2,
        outbox: vec![
            Effect::StartTurn(request()),
            Effect::StopTurn { turn: turn(), stop: message_id() },
            Effect::Steer { turn: turn(), message: Box::new(user_message()) },
            Effect::Interrupt { turn: turn(), by: message_id() },
            Effect::Wake { after_ms: 2000, last: message_id() },
            Effect::Reply(reply()),
        ],
    });
}

#[test]
fn journals_read_back() {
    let call = CallId { turn: turn(), step: 1, index: 2 };
    let answer = Answer {
        text: "t".into(),
        calls: vec![ToolCall { vendor_id: "v".into(), name: "n".into(), arguments: "{}".into() }],
        signatures: vec!["s".into()],
        usage: Usage { input_tokens: 1, output_tokens: 2, cached_tokens: 0 },
        ending: domain::chat::Ending::Cut,
    };
    let outcome = Outcome { kind: OutcomeKind::Unknown, text: "?".into(), elapsed_ms: 12 };
    let faults = [
        Fault::Auth,
        Fault::RateLimited { retry_after_s: Some(5) },
        Fault::RateLimited { retry_after_s: None },
        Fault::ContextOverflow,
        Fault::Transient,
        Fault::Rejected,
    ];
    let mut entries = vec![
        Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 },
        Entry::ContextFixed(context().into()),
        Entry::StepStarted {
            step: 0,
            tier: Tier::High,
            model: "m".into(),
            request_hash: "h".into(),
            tools: Tools::Withheld,
            max_tokens: 9,
        },
        Entry::ModelAnswered { step: 0, answer },
        Entry::ToolIntended {
            call,
            vendor_id: "v".into(),
            name: "n".into(),
            arguments: "{}".into(),
            effect: domain::tool::Effect::Once,
        },
        Entry::ToolFinished { call, outcome: outcome.clone() },
        Entry::ToolsEnded { reason: "round".into() },
        Entry::StopRequested { stop: message_id() },
        Entry::Injected { message: Box::new(user_message()) },
        Entry::Interrupted { by: message_id() },
        Entry::ReplyReady(Box::new(reply())),
        Entry::Finished,
    ];
    entries.extend(faults.map(|fault| Entry::ModelFailed { step: 0, fault }));
    reads_back(Record { epoch: 2, at_ms: 3, entries });
    reads_back(crate::timer::Timer {
        event: Inbound {
            conversation: conversation(),
            route: None,
            event: Event::DebounceElapsed { last: message_id() },
        },
        after_ms: 5,
    });
    reads_back(ToolRecord::Done(outcome));
    reads_back(ToolRecord::Started { runner: "r".into() });
    reads_back(DeliveryRecord::Sending { replica: "r".into() });
    reads_back(DeliveryRecord::Sent { platform_message: "9".into() });
}

#[test]
fn faults_name_the_field() {
    let mut raw = crate::v1::Inbound::from(&Inbound {
        conversation: conversation(),
        route: Some(route()),
        event: Event::MessageReceived(user_message()),
    });
    raw.conversation = "x".into();
    let fault = Inbound::try_from(raw.clone()).unwrap_err().to_string();
    assert!(fault.contains("conversation"), "{fault}");
    raw.conversation = conversation().to_string();
    raw.route = Some(crate::v1::Route { platform: "a.>".into(), channel: String::new(), audience: 1, parent: None });
    assert!(Inbound::try_from(raw).unwrap_err().to_string().contains("route.platform"));
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // Most bytes are no message; what can be read is written and read alike.
        if let Ok(inbound) = Inbound::from_wire(&bytes) {
            reads_back(inbound);
        }
        if let Ok(record) = Record::from_wire(&bytes) {
            reads_back(record);
        }
        if let Ok(conversation) = Conversation::from_wire(&bytes) {
            reads_back(conversation);
        }
    }
}
