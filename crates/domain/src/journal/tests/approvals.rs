//! Calls that wait for a person's word, and what somebody else's words change.

use super::*;
use crate::approval::Question;
use crate::policy::{Ruling, ToolRule};
use crate::tool::{Consent, Intent};

/// A context of `look`, which reads what anybody wrote, and `send`, which reaches others.
fn with_send(consent: Consent) -> TurnContext {
    let mut context = context(Tier::Mid);
    let look = ToolSpec { is_untrusted: true, ..context.tools[0].clone() };
    let send = ToolSpec {
        name: "send".into(),
        effect: Effect::Once,
        intent: Intent::Network,
        is_untrusted: false,
        consent,
        ..look.clone()
    };
    context.tools = [look, send].into();
    context
}

fn kinds(state: &TurnState) -> Vec<Option<OutcomeKind>> {
    state.calls().map(|call| call.outcome.as_ref().map(|outcome| outcome.kind)).collect()
}

#[test]
fn a_call_that_needs_a_word_asks_and_runs_once_it_is_given() {
    let sends = [answer("", &[("send", r#"{"to":"bob"}"#), ("look", "{}")]), answer("done", &[])];
    let records = run_with(with_send(Consent::Asked), &sends);
    let old = TurnState::fold(&records);
    assert_eq!(kinds(&old), [Some(OutcomeKind::Unapproved), Some(OutcomeKind::Succeeded)], "the other one ran");
    let reply = old.reply.as_ref().unwrap();
    assert_eq!((reply.kind, reply.asks, reply.tool_calls), (ReplyKind::Question, Some(Question::Approval), 1));
    assert!(reply.text.contains("`send`") && reply.text.contains(r#""to": "bob""#), "{}", reply.text);

    let fresh = later(with_send(Consent::Asked));
    for (choice, expected) in [(Choice::Approve, None), (Choice::Deny, Some(OutcomeKind::Skipped))] {
        let mut all = vec![Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 }];
        all.extend(carry(&old, &fresh, Carry::Answered(choice)).unwrap());
        let state = TurnState::fold(&[record(all)]);
        assert_eq!(kinds(&state), [expected, Some(OutcomeKind::Succeeded)]);
        assert!(state.context.as_ref().unwrap().is_tainted, "what it has read goes with it");
        match decide(&state, &LIMITS) {
            Next::AwaitTools(open) => assert_eq!((choice, &*open[0].arguments), (Choice::Approve, r#"{"to":"bob"}"#)),
            Next::AskModel { step: 1, .. } => assert_eq!(choice, Choice::Deny),
            other => panic!("{other:?}"),
        }
    }
}

/// What another turn would work from.
fn later(mut context: TurnContext) -> TurnContext {
    context.request.turn = TurnId::derive(&context.request.conversation, &MessageId::parse("cli:2").unwrap());
    context
}

#[test]
fn what_was_allowed_then_is_not_allowed_for_ever() {
    // In one step it read what anybody wrote, and was asked whether it may send.
    let calls = answer("", &[("look", "{}"), ("send", "{}")]);
    let old = TurnState::fold(&run_with(with_send(Consent::Asked), &[calls]));
    let goes_on = |rules: &[(Ruling, &str)]| {
        let rules = rules.iter().map(|(ruling, tool)| ToolRule { ruling: *ruling, tools: vec![(*tool).to_owned()] });
        let fresh = later(TurnContext { tools: [].into(), rules: rules.collect(), ..context(Tier::Mid) });
        let mut all = vec![Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 }];
        all.extend(carry(&old, &fresh, Carry::Answered(Choice::Approve)).unwrap());
        TurnState::fold(&[record(all)])
    };
    let consents = |state: &TurnState| -> Vec<Consent> {
        state.context.as_ref().unwrap().tools.iter().map(|tool| tool.consent).collect()
    };
    // The person's word counts, whatever lists of tools are away.
    let (ran, open) = (Some(OutcomeKind::Succeeded), None);
    let free = goes_on(&[]);
    assert_eq!((kinds(&free), consents(&free)), (vec![ran, open], vec![Consent::Given, Consent::Asked]));
    // Not against the policy of now, nor may the model try again; what was read stays anybody's words.
    let denied = goes_on(&[(Ruling::Deny, "*")]);
    assert_eq!(kinds(&denied), [ran, Some(OutcomeKind::Failed)]);
    let Next::AskModel { step, .. } = decide(&denied, &LIMITS) else { panic!("{denied:?}") };
    let asked = request(&denied, denied.context.as_ref().unwrap(), step, "m".into(), Tools::Offered, 10);
    assert!(asked.tools.is_empty(), "{:?}", asked.tools);
    let result = |message: &ChatMessage| match message {
        ChatMessage::ToolResult { text, .. } => text.contains("<untrusted source=\"look\""),
        _ => false,
    };
    assert!(asked.messages.iter().any(result), "{:?}", asked.messages);
    // What ran by itself is asked for, if it is now; also in a fork.
    assert_eq!(consents(&goes_on(&[(Ruling::Ask, "look")])), [Consent::Asked, Consent::Asked]);
    let rules = vec![ToolRule { ruling: Ruling::Ask, tools: vec!["look".into()] }];
    let entries = carry(&old, &later(TurnContext { rules, ..context(Tier::Mid) }), Carry::Fork { at: 0 }).unwrap();
    assert_eq!(consents(&TurnState::fold(&[record(entries)])), [Consent::Asked, Consent::Asked]);
}

#[test]
fn what_was_done_before_a_question_is_said_when_the_turn_after_it_fails() {
    let steps = [answer("", &[("send", r#"{"to":"ann"}"#)]), answer("", &[("send", "{}")])];
    // The first is allowed, then the policy asks.
    let mut records = run_with(with_send(Consent::Given), &steps[..1]);
    records.truncate(4);
    let mut state = TurnState::fold(&records);
    let waits = Outcome { kind: OutcomeKind::Unapproved, text: String::new(), elapsed_ms: 0 };
    let call = Call {
        id: CallId { step: 1, ..state.steps[0].calls[0].id },
        outcome: Some(waits),
        ..state.steps[0].calls[0].clone()
    };
    state.steps.push(StepState { calls: vec![call], ..state.steps[0].clone() });
    let entries = carry(&state, &later(with_send(Consent::Asked)), Carry::Answered(Choice::Deny)).unwrap();
    let then = TurnState::fold(&[record(entries), failed(1)]);
    let Next::Conclude(reply) = decide(&then, &LIMITS) else { panic!("{then:?}") };
    assert!(reply.text.ends_with("`send` had run already.") && reply.tool_calls == 1, "{reply:?}");
}

#[test]
fn who_has_read_somebody_elses_words_does_nothing_consequential_unasked() {
    let send = ("send", "{}");
    let sends = run_with(with_send(Consent::Given), &[answer("", &[send]), answer("sent", &[])]);
    assert_eq!(end(&sends).0, ReplyKind::Answered, "it is allowed by itself");
    let reads = [answer("", &[("look", "{}")]), answer("", &[send]), answer("sent", &[])];
    let records = run_with(with_send(Consent::Given), &reads);
    let reply = TurnState::fold(&records).reply.unwrap();
    assert_eq!(reply.asks, Some(Question::Approval));
    assert!(reply.text.contains("Look closely"), "{}", reply.text);
    let again = [answer("", &[("look", "{}")]), answer("", &[("look", r#"{"at":1}"#)]), answer("seen", &[])];
    assert_eq!(end(&run_with(with_send(Consent::Given), &again)).0, ReplyKind::Answered, "reading on is harmless");
    let tainted = TurnContext { is_tainted: true, ..with_send(Consent::Given) };
    assert_eq!(end(&run_with(tainted, &[answer("", &[send])])).0, ReplyKind::Question);
}

#[test]
fn what_a_tool_gave_cannot_speak_as_anybody_else() {
    let records = run_with(with_send(Consent::Given), &[answer("", &[("look", "{}")]), answer("seen", &[])]);
    let state = TurnState::fold(&records);
    let read = messages(&state, state.context.as_ref().unwrap(), 1, Tools::Offered);
    let Some(ChatMessage::ToolResult { text, .. }) = read.last() else { panic!("{read:?}") };
    assert!(text.starts_with("<untrusted source=\"look\" risk=\"clean\">\nseen"), "{text}");
    assert!(questions(&records).iter().all(Asked::is_exact));
}
