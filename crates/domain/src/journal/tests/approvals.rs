//! Calls that wait for a person's word, and what somebody else's words change.

use super::*;
use crate::approval::Question;
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
    let old = TurnState::fold(&run_with(with_send(Consent::Asked), &[answer("", &[("send", "{}")])]));
    let goes_on = |fresh: TurnContext| {
        let mut all = vec![Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 }];
        all.extend(carry(&old, &later(fresh), Carry::Answered(Choice::Approve)).unwrap());
        TurnState::fold(&[record(all)])
    };
    // The policy denies it now: the person's word does not let it run, nor may the model try again.
    let denied = goes_on(context(Tier::Mid));
    assert_eq!(kinds(&denied), [Some(OutcomeKind::Failed)]);
    assert!(denied.context.as_ref().unwrap().tool("send").is_none());
    // Nobody says now what there is: the word counts, and whatever comes after is asked for.
    let unknown = goes_on(TurnContext { tools: [].into(), ..context(Tier::Mid) });
    assert_eq!(kinds(&unknown), [None]);
    let consents = |state: &TurnState| state.context.as_ref().unwrap().tools.iter().map(|tool| tool.consent).collect();
    let asked: Vec<Consent> = consents(&unknown);
    assert_eq!(asked, [Consent::Asked, Consent::Asked]);
    // What ran by itself is asked for in a fork, if it is now.
    let free =
        TurnState::fold(&run_with(with_send(Consent::Given), &[answer("", &[("look", "{}")]), answer("x", &[])]));
    let entries = carry(&free, &later(with_send(Consent::Asked)), Carry::Fork { at: 1 }).unwrap();
    let forked: Vec<Consent> = consents(&TurnState::fold(&[record(entries)]));
    assert_eq!(forked, [Consent::Given, Consent::Asked]);
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
