//! The fold, and what is decided from it.

use proptest::prelude::*;

use super::*;
use crate::carry::{Carry, Choice, carry};
use crate::chat::{ChatMessage, ToolCall};
use crate::decide::{Next, Tools, TurnLimits, decide, messages, request};
use crate::ids::{ConversationId, Place, TurnId};
use crate::message::{Audience, Principal, Route};
use crate::replay::{Asked, questions};
use crate::tool::{Consent, Intent, OutcomeKind, Risk, ToolClass, ToolSpec};
use crate::turn::{ReplyKind, TurnRequest};

mod approvals; // Calls that wait for a person's word.
mod carrying; // What goes on from another turn.
mod searching; // Tools that are offered once they were searched for.

const LIMITS: TurnLimits = TurnLimits { steps: 5, calls_per_step: 3, idle_claims: 5 };

fn context(tier: Tier) -> TurnContext {
    let conversation = ConversationId::derive(&Place {
        platform: "cli".into(),
        tenant: "t".into(),
        channel: "main".into(),
        thread: String::new(),
    });
    let first = MessageId::parse("cli:1").unwrap();
    let speaker = Principal { user: "cli-user".into(), name: "Ann".into(), tenant: "t".into() };
    TurnContext {
        request: TurnRequest {
            turn: TurnId::derive(&conversation, &first),
            conversation,
            route: Route { platform: "cli".into(), channel: "main".into(), audience: Audience::Direct, parent: None },
            messages: vec![UserMessage {
                id: first,
                speaker,
                text: "hi".into(),
                attachments: vec![],
                tier: None,
                sent_at_ms: 0,
            }],
            previous: None,
            discussion_tier: None,
            generation: 0,
            origin: None,
            model: None,
            approval: crate::approval::ApprovalMode::Auto,
        },
        system: "be Clara".into(),
        messages: vec![ChatMessage::user("hi")],
        tools: [ToolSpec {
            name: "look".into(),
            description: "looks".into(),
            schema: "{}".into(),
            class: ToolClass::Builtin,
            effect: Effect::ReadOnly,
            risk: Risk::Safe,
            intent: Intent::Read,
            group: "basics".into(),
            is_untrusted: false,
            consent: Consent::Given,
            for_anyone: false,
            timeout_ms: 1000,
        }]
        .into(),
        later: [].into(),
        found: Vec::new(),
        tier,
        recalled: vec![],
        passages: vec![],
        reminders: vec![],
        notices: vec![],
        is_tainted: false,
        room: usize::MAX,
        rules: Vec::new(),
        done: Vec::new(),
    }
}

/// What the model says in one step: words, or calls.
fn answer(text: &str, calls: &[(&str, &str)]) -> Answer {
    Answer {
        text: text.into(),
        calls: calls
            .iter()
            .enumerate()
            .map(|(index, (name, arguments))| ToolCall {
                vendor_id: format!("v{index}"),
                name: (*name).into(),
                arguments: (*arguments).into(),
            })
            .collect(),
        ..Answer::default()
    }
}

/// Runs a turn to its end, as an orchestrator would; every record it stores
/// comes back. `answers` are the model's, in order, the last one repeating.
fn run(tier: Tier, answers: &[Answer]) -> Vec<Record> {
    run_with(context(tier), answers)
}

fn run_with(context: TurnContext, answers: &[Answer]) -> Vec<Record> {
    let mut records = vec![record(vec![
        Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 },
        Entry::ContextFixed(context.clone().into()),
    ])];
    for round in 0..1000 {
        let state = TurnState::fold(&records);
        let entries = match decide(&state, &LIMITS) {
            Next::AskModel { step, tier, tools } => {
                let hash = request(&state, &context, step, "m".into(), tools, 100).hash();
                let given = answers.get(step as usize).or(answers.last()).unwrap().clone();
                vec![started(step, tier, &hash, tools), Entry::ModelAnswered { step, answer: given }]
            }
            Next::Plan(entries) => entries,
            Next::AwaitTools(calls) => calls
                .iter()
                .map(|call| Entry::ToolFinished {
                    call: call.id,
                    outcome: Outcome { kind: OutcomeKind::Succeeded, text: format!("seen {round}"), elapsed_ms: 1 },
                })
                .collect(),
            Next::Conclude(reply) => vec![Entry::ReplyReady(reply)],
            Next::Deliver(_) => vec![Entry::Finished],
            Next::Done => return records,
            Next::NoContext => panic!("the context was stored first"),
        };
        records.push(record(entries));
    }
    panic!("a turn ends");
}

fn started(step: u32, tier: Tier, hash: &str, tools: Tools) -> Entry {
    Entry::StepStarted { step, tier, model: "m".into(), request_hash: hash.into(), tools, max_tokens: 100 }
}

/// A step that the model did not answer.
fn failed(step: u32) -> Record {
    let started = Entry::StepStarted {
        step,
        tier: Tier::Mid,
        model: "m".into(),
        request_hash: String::new(),
        tools: Tools::Offered,
        max_tokens: 10,
    };
    record(vec![started, Entry::ModelFailed { step, fault: Fault::Transient }])
}

fn record(entries: Vec<Entry>) -> Record {
    Record { epoch: 1, at_ms: 0, entries }
}

fn end(records: &[Record]) -> (ReplyKind, String, u32, Tier) {
    let reply = TurnState::fold(records).reply.unwrap();
    (reply.kind, reply.text.clone(), reply.tool_calls, reply.tier)
}

#[test]
fn plain_answer_is_the_reply() {
    assert_eq!(end(&run(Tier::Mid, &[answer("hello", &[])])), (ReplyKind::Answered, "hello".into(), 0, Tier::Mid));
}

#[test]
fn calls_run_and_the_next_answer_is_the_reply() {
    let answers = [answer("", &[("look", "{}"), ("look", "{\"at\":1}")]), answer("both seen", &[])];
    assert_eq!(end(&run(Tier::High, &answers)), (ReplyKind::Answered, "both seen".into(), 2, Tier::High));
}

#[test]
fn low_model_that_wants_tools_is_replaced_before_any_runs() {
    let answers = [answer("", &[("look", "{}")]), answer("", &[("look", "{}")]), answer("seen", &[])];
    let records = run(Tier::Low, &answers);
    let state = TurnState::fold(&records);
    assert!(state.steps[0].calls.is_empty(), "the low step ran no tool");
    assert_eq!(end(&records), (ReplyKind::Answered, "seen".into(), 1, Tier::Mid));
}

#[test]
fn endless_calls_end_in_one_answer_without_tools() {
    let mut answers: Vec<Answer> =
        (0..5).map(|n| answer("", &[("look", format!("{{\"at\":{n}}}").as_str())])).collect();
    answers.push(answer("that is what I have", &[("look", "{\"at\":99}")]));
    let records = run(Tier::Mid, &answers);
    let state = TurnState::fold(&records);
    assert_eq!(state.steps.len(), 6);
    assert_eq!(end(&records), (ReplyKind::Answered, "that is what I have".into(), 5, Tier::Mid));
    let last = messages(&state, state.context.as_ref().unwrap(), 5, Tools::Withheld);
    assert!(matches!(last.last(), Some(ChatMessage::User { text, .. }) if text.contains("used up")));
}

#[test]
fn going_round_in_circles_ends_the_calls() {
    let limits = TurnLimits { steps: 75, ..LIMITS };
    let mut records = run(Tier::Mid, &[answer("", &[("look", "{\"a\":1}")]), answer("done", &[])]);
    records.truncate(1);
    let mut state = TurnState::fold(&records);
    for step in 0..75 {
        let calls = if step % 2 == 0 { [("look", "{\"a\":1}")] } else { [("look", "{\"b\":1}")] };
        state.apply(&record(vec![
            started(step, Tier::Mid, "", Tools::Offered),
            Entry::ModelAnswered { step, answer: answer("", &calls) },
        ]));
        let Next::Plan(entries) = decide(&state, &limits) else { panic!("step {step}") };
        state.apply(&record(entries));
        if state.tools_ended.is_some() {
            assert_eq!(step, 4, "A-B-A-B-A");
            let next = decide(&state, &limits);
            assert_eq!(next, Next::AskModel { step: 5, tier: Tier::Mid, tools: Tools::Withheld });
            return;
        }
        let Next::AwaitTools(open) = decide(&state, &limits) else { panic!("step {step}") };
        let outcome = Outcome { kind: OutcomeKind::Succeeded, text: step.to_string(), elapsed_ms: 0 };
        state.apply(&record(vec![Entry::ToolFinished { call: open[0].id, outcome }]));
    }
    panic!("the loop was not found");
}

#[test]
fn calls_that_cannot_run_are_answered_to_the_model() {
    let calls = [("nope", "{}"), ("look", "{bad"), ("look", "[1]"), ("look", "{}")];
    let records = run(Tier::Mid, &[answer("", &calls), answer("ok", &[])]);
    let state = TurnState::fold(&records);
    let outcomes: Vec<String> = state.steps[0].calls.iter().map(|call| call.outcome.clone().unwrap().text).collect();
    assert!(outcomes[0].contains("no tool `nope`") && outcomes[0].contains("look"), "{outcomes:?}");
    assert!(outcomes[1].contains("not valid JSON"), "{outcomes:?}");
    assert!(outcomes[2].contains("one JSON object"), "{outcomes:?}");
    assert!(outcomes[3].contains("at most 3 tool calls"), "{outcomes:?}");
}

#[test]
fn stop_wins_over_everything_but_a_stored_reply() {
    let records = run(Tier::Mid, &[answer("", &[("look", "{}")]), answer("seen", &[])]);
    let stop =
        Record { epoch: 0, at_ms: 0, entries: vec![Entry::StopRequested { stop: MessageId::parse("cli:9").unwrap() }] };
    for cut in 1..records.len() {
        let mut stopped = records[..cut].to_vec();
        stopped.push(stop.clone());
        let state = TurnState::fold(&stopped);
        match decide(&state, &LIMITS) {
            Next::Conclude(reply) => {
                assert_eq!((reply.kind, reply.answers.len()), (ReplyKind::Stopped, 2));
                assert!(state.reply.is_none());
            }
            Next::Deliver(reply) => assert_eq!(reply.kind, ReplyKind::Answered),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn fruitless_claims_end_the_turn_with_a_word() {
    let mut records = run(Tier::Mid, &[answer("x", &[])]);
    records.truncate(1);
    for epoch in 2..=6 {
        let claim = Entry::Claimed { replica: format!("r{epoch}"), build: "b".into(), item: 7 };
        records.push(Record { epoch, at_ms: 0, entries: vec![claim] });
    }
    let state = TurnState::fold(&records);
    assert_eq!((state.epoch, state.idle_claims), (6, 6));
    assert!(matches!(decide(&state, &LIMITS), Next::Conclude(reply) if reply.kind == ReplyKind::Failed));
}

#[test]
fn faults_are_told_in_plain_words() {
    for fault in [
        Fault::Auth,
        Fault::RateLimited { retry_after_s: Some(3600) },
        Fault::RateLimited { retry_after_s: None },
        Fault::ContextOverflow,
        Fault::Transient,
        Fault::Rejected,
    ] {
        let mut records = run(Tier::Mid, &[answer("x", &[])]);
        records.truncate(1);
        records.push(record(vec![
            started(0, Tier::Mid, "", Tools::Offered),
            Entry::ModelFailed { step: 0, fault: fault.clone() },
        ]));
        let Next::Conclude(reply) = decide(&TurnState::fold(&records), &LIMITS) else { panic!("{fault:?}") };
        assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Failed, fault.told_user().as_str()));
    }
}

fn injected(n: u32) -> Record {
    let message = UserMessage {
        id: MessageId::parse(&format!("cli:{n}")).unwrap(),
        speaker: Principal { user: "cli-user".into(), name: "Ann".into(), tenant: "t".into() },
        text: format!("and {n}"),
        attachments: vec![],
        tier: None,
        sent_at_ms: 0,
    };
    Record { epoch: 0, at_ms: 0, entries: vec![Entry::Injected { message: Box::new(message) }] }
}

#[test]
fn steer_is_read_at_the_next_step_and_named_in_the_answer() {
    let records = run(Tier::Mid, &[answer("", &[("look", "{}")]), answer("seen", &[])]);
    // After the first answer, before the second question.
    let mut steered = records[..3].to_vec();
    steered.push(injected(7));
    let state = TurnState::fold(&steered);
    let Next::AwaitTools(_) = decide(&state, &LIMITS) else { panic!("{state:?}") };
    steered.extend_from_slice(&records[3..5]);
    let state = TurnState::fold(&steered);
    let read = messages(&state, state.context.as_ref().unwrap(), 1, Tools::Offered);
    assert_eq!(read.last(), Some(&ChatMessage::user("and 7")));
    let Next::Conclude(reply) = decide(&state, &LIMITS) else { panic!("{state:?}") };
    assert_eq!((reply.kind, reply.answers.len()), (ReplyKind::Answered, 2));
}

#[test]
fn steer_during_a_crash_is_read_by_whoever_takes_over() {
    let records = run(Tier::Mid, &[answer("done", &[])]);
    let mut taken = records[..1].to_vec();
    // The question was put, its answer lost, and somebody else asks again.
    taken.push(record(vec![started(0, Tier::Mid, "", Tools::Offered)]));
    taken.push(injected(7));
    let claim = Entry::Claimed { replica: "s".into(), build: "b".into(), item: 7 };
    taken.push(Record { epoch: 2, at_ms: 0, entries: vec![claim] });
    let state = TurnState::fold(&taken);
    assert_eq!(decide(&state, &LIMITS), Next::AskModel { step: 0, tier: Tier::Mid, tools: Tools::Offered });
    let read = messages(&state, state.context.as_ref().unwrap(), 0, Tools::Offered);
    assert_eq!(read.last(), Some(&ChatMessage::user("and 7")));
}

#[test]
fn steer_that_no_step_read_is_not_named() {
    let mut records = run(Tier::Mid, &[answer("done", &[])]);
    records.truncate(2);
    records.push(injected(7));
    let Next::Conclude(reply) = decide(&TurnState::fold(&records), &LIMITS) else { panic!() };
    assert_eq!((reply.kind, reply.answers.len()), (ReplyKind::Answered, 1));
}

#[test]
fn newer_message_ends_the_turn_and_is_not_named() {
    let mut records = run(Tier::Mid, &[answer("done", &[])]);
    records.truncate(2);
    let by = MessageId::parse("cli:9").unwrap();
    records.push(Record { epoch: 0, at_ms: 0, entries: vec![Entry::Interrupted { by }] });
    let Next::Conclude(reply) = decide(&TurnState::fold(&records), &LIMITS) else { panic!() };
    assert_eq!((reply.kind, reply.answers.len()), (ReplyKind::Stopped, 1));
}

fn any_answers() -> impl Strategy<Value = Vec<Answer>> {
    let call = prop_oneof![
        Just(("look", "{}")),
        Just(("look", "{\"at\":1}")),
        Just(("look", "{\"at\":2}")),
        Just(("nope", "{}")),
        Just(("look", "garbage")),
    ];
    let calls = prop::collection::vec(call, 0..5);
    prop::collection::vec(calls.prop_map(|calls| answer("words", &calls)), 1..10)
}

fn any_tier() -> impl Strategy<Value = Tier> {
    prop_oneof![Just(Tier::Low), Just(Tier::Mid), Just(Tier::High)]
}

proptest! {
    /// Whoever folds a prefix and goes on reaches the same state as the one
    /// who wrote it all.
    #[test]
    fn fold_in_pieces_is_fold_at_once(answers in any_answers(), tier in any_tier(), cut in 0usize..40) {
        let records = run(tier, &answers);
        let mut state = TurnState::fold(&records[..cut.min(records.len())]);
        records[cut.min(records.len())..].iter().for_each(|record| state.apply(record));
        prop_assert_eq!(state, TurnState::fold(&records));
    }

    /// A second owner who claims after any record finishes with the same reply,
    /// and asks for nothing that the first had finished.
    #[test]
    fn take_over_keeps_every_finished_step(answers in any_answers(), tier in any_tier(), cut in 1usize..40) {
        let records = run(tier, &answers);
        let mut taken = records[..cut.min(records.len())].to_vec();
        taken.push(Record { epoch: 2, at_ms: 0, entries: vec![Entry::Claimed { replica: "s".into(), build: "b".into(), item: 7 }] });
        let before = TurnState::fold(&records[..cut.min(records.len())]);
        let after = TurnState::fold(&taken);
        prop_assert_eq!(decide(&before, &LIMITS), decide(&after, &LIMITS));
        // The dead owner's next record is refused by its epoch.
        let mut late = after.clone();
        late.apply(records.last().unwrap());
        prop_assert_eq!(late, after);
    }

    /// Time travel: every question is rebuilt from the journal as it was put.
    #[test]
    fn every_question_is_rebuilt_exactly(answers in any_answers(), tier in any_tier(), at in 1usize..20) {
        let mut records = run(tier, &answers);
        let asked = questions(&records);
        prop_assert_eq!(asked.len(), TurnState::fold(&records).steps.len());
        prop_assert!(asked.iter().all(Asked::is_exact));
        // What came in later changes no question before it.
        let at = at.min(records.len());
        records.insert(at, injected(7));
        let before = records[..at].iter().flat_map(|record| &record.entries);
        let before = before.filter(|entry| matches!(entry, Entry::StepStarted { .. })).count();
        prop_assert!(questions(&records)[..before].iter().all(Asked::is_exact));
    }

    /// Every turn ends, answers its message once, and stays within its limits.
    #[test]
    fn turns_end_within_their_limits(answers in any_answers(), tier in any_tier()) {
        let state = TurnState::fold(&run(tier, &answers));
        let reply = state.reply.clone().unwrap();
        prop_assert!(state.finished);
        prop_assert_eq!(reply.answers.len(), 1);
        prop_assert!(state.steps.len() <= LIMITS.steps as usize + 1);
        prop_assert!(state.steps.iter().all(|step| step.tier != Tier::Low || step.calls.is_empty()));
        for (index, step) in state.steps.iter().enumerate() {
            prop_assert!(step.calls.iter().all(|call| call.outcome.is_some()), "step {}", index);
        }
    }
}
