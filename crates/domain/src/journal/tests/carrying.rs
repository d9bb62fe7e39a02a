//! What goes on from a turn that asked, was stopped, or is forked; and what is said of what was done.

use super::*;

/// A turn whose only call may or may not have happened.
fn asking() -> Vec<Record> {
    let records = run(Tier::Mid, &[answer("", &[("look", "{\"at\":1}")]), answer("seen", &[])]);
    let mut asking = records[..3].to_vec();
    let call = TurnState::fold(&asking).steps[0].calls[0].id;
    let outcome = Outcome { kind: OutcomeKind::Unknown, text: "stopped".into(), elapsed_ms: 0 };
    asking.push(record(vec![Entry::ToolFinished { call, outcome }]));
    asking
}

#[test]
fn unknown_outcome_asks_the_person() {
    let Next::Conclude(reply) = decide(&TurnState::fold(&asking()), &LIMITS) else { panic!() };
    assert_eq!(reply.kind, ReplyKind::Question);
    for word in ["`look`", "retry", "it worked", "skip"] {
        assert!(reply.text.contains(word), "{}", reply.text);
    }
}

#[test]
fn choice_goes_on_from_the_question() {
    let old = TurnState::fold(&asking());
    let mut fresh = context(Tier::Mid);
    let second = MessageId::parse("cli:2").unwrap();
    fresh.request.turn = TurnId::derive(&fresh.request.conversation, &second);
    for (choice, expected) in [
        (Choice::Retry, None),
        (Choice::Worked, Some(OutcomeKind::Succeeded)),
        (Choice::Skip, Some(OutcomeKind::Skipped)),
    ] {
        let entries = carry(&old, &fresh, Carry::Answered(choice)).unwrap();
        let mut all = vec![Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 }];
        all.extend(entries);
        let records = [record(all)];
        let state = TurnState::fold(&records);
        let call = &state.steps[0].calls[0];
        assert_eq!((call.id.turn, call.arguments.as_str()), (fresh.request.turn, "{\"at\":1}"));
        assert_eq!(call.outcome.as_ref().map(|outcome| outcome.kind), expected);
        match decide(&state, &LIMITS) {
            Next::AwaitTools(open) => assert!(choice == Choice::Retry && open.len() == 1),
            Next::AskModel { step: 1, .. } => assert_ne!(choice, Choice::Retry),
            other => panic!("{other:?}"),
        }
        assert!(questions(&records).iter().all(Asked::is_exact), "the carried question is the one that was put");
    }
}

#[test]
fn steer_before_a_carried_turn_is_claimed_is_read_by_its_first_question() {
    let old = TurnState::fold(&asking());
    let entries = carry(&old, &context(Tier::Mid), Carry::Answered(Choice::Skip)).unwrap();
    let mut all = vec![Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 }];
    all.extend(entries);
    let records = [injected(7), record(all)];
    let state = TurnState::fold(&records);
    assert_eq!(state.injected[0].step, None);
    let read = messages(&state, state.context.as_ref().unwrap(), 1, Tools::Offered);
    assert_eq!(read.last(), Some(&ChatMessage::user("and 7")));
    assert!(questions(&records).iter().all(Asked::is_exact));
}

#[test]
fn stop_says_what_it_could_not_undo() {
    let mut records = asking();
    let Entry::ToolIntended { effect, .. } = &mut records[2].entries[0] else { panic!("{records:?}") };
    *effect = Effect::Once;
    let by = MessageId::parse("cli:9").unwrap();
    records.push(Record { epoch: 0, at_ms: 0, entries: vec![Entry::Interrupted { by }] });
    let Next::Conclude(reply) = decide(&TurnState::fold(&records), &LIMITS) else { panic!() };
    assert_eq!(reply.kind, ReplyKind::Stopped);
    assert!(reply.text.ends_with("`look` may or may not have happened."), "{}", reply.text);
}

#[test]
fn failure_says_what_was_done_before_it() {
    let mut records = run(Tier::Mid, &[answer("", &[("look", "{}")])]);
    for entry in records.iter_mut().flat_map(|record| &mut record.entries) {
        if let Entry::ToolIntended { effect, .. } = entry {
            *effect = Effect::Once;
        }
    }
    // The claim, the step, its call, and what that gave.
    records.truncate(4);
    records.push(failed(1));
    let Next::Conclude(reply) = decide(&TurnState::fold(&records), &LIMITS) else { panic!("{records:?}") };
    assert_eq!(reply.kind, ReplyKind::Failed);
    assert!(reply.text.ends_with("`look` had run already."), "{}", reply.text);
}

#[test]
fn fork_takes_over_the_steps_before_it() {
    let records = run(Tier::Mid, &[answer("", &[("look", "{}")]), answer("seen", &[])]);
    let old = TurnState::fold(&records);
    let mut fresh = context(Tier::High);
    fresh.request.turn = TurnId::derive(&fresh.request.conversation, &MessageId::parse("cli:3").unwrap());
    let entries = carry(&old, &fresh, Carry::Fork { at: 1 }).unwrap();
    let mut all = vec![Entry::Claimed { replica: "r".into(), build: "b".into(), item: 7 }];
    all.extend(entries);
    let state = TurnState::fold(&[record(all)]);
    assert!(matches!(decide(&state, &LIMITS), Next::AskModel { step: 0, tools: Tools::Offered, .. }));
    let asked = messages(&old, old.context.as_ref().unwrap(), 1, Tools::Offered);
    assert_eq!(messages(&state, state.context.as_ref().unwrap(), 0, Tools::Offered), asked);
    assert_eq!(carry(&old, &fresh, Carry::Fork { at: 9 }), None);
}
