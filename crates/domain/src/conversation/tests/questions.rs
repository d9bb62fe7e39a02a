//! What a person is asked at the end of a turn, and what they answer.

use super::*;
use crate::approval::ApprovalMode;
use crate::message::{Parent, Route, SUBAGENT};

/// The word that the first turn ends with a question.
fn asks(question: Question) -> Event {
    let turn = TurnId::derive(&conversation(), &id(1));
    Event::QuestionAsked { turn, question, text: "May I?".into(), at_ms: 1000 }
}

/// A turn that has asked whether a call may run.
fn waits_for_approval() -> [Inbound; 3] {
    [says(1, "send it"), Inbound { route: None, ..inbound(asks(Question::Approval)) }, finished(1, vec![id(1)])]
}

fn answers(n: u32, user: &str, choice: Choice, at_ms: i64) -> Inbound {
    let turn = TurnId::derive(&conversation(), &id(1));
    let by = Principal { user: user.into(), ..speaker() };
    // It comes from elsewhere.
    Inbound { route: None, ..inbound(Event::QuestionAnswered { id: id(n), by, turn, choice, at_ms }) }
}

fn said_at(n: u32, text: &str, at_ms: i64) -> Inbound {
    let mut said = says(n, text);
    if let Event::MessageReceived(message) = &mut said.event {
        message.sent_at_ms = at_ms;
    }
    said
}

/// What the turn that the last event began goes on from; `None`: it began none.
fn goes_on(events: &[Inbound]) -> Option<(Option<Carry>, String)> {
    let state = after(events);
    let [Effect::StartTurn(request)] = &state.outbox[..] else { return None };
    Some((request.origin.as_ref().map(|origin| origin.carry), request.principal().unwrap().user.clone()))
}

/// Attack S31: a model agrees to nothing, by whatever it says to its sub-agent.
#[test]
fn what_is_said_to_a_sub_agent_answers_no_question() {
    let parent = Parent {
        conversation: conversation(),
        platform: "cli".into(),
        channel: "main".into(),
        audience: Audience::Direct,
        approval: ApprovalMode::Auto,
    };
    let mut events = [&waits_for_approval()[..], &[said_at(2, "yes", 2000)]].concat();
    for event in &mut events {
        let parent = Some(parent.clone());
        event.route = event.route.take().map(|route| Route { channel: format!("{SUBAGENT}1"), parent, ..route });
    }
    assert_eq!(goes_on(&events), Some((None, "cli-user".to_owned())));
    // A person's answer, from elsewhere, is one.
    events[3] = answers(2, "cli-user", Choice::Approve, 2000);
    assert_eq!(goes_on(&events), Some((Some(Carry::Answered(Choice::Approve)), "cli-user".to_owned())));
}

#[test]
fn an_approval_is_given_once_by_whom_it_was_asked() {
    let with = |more: &[Inbound]| [&waits_for_approval()[..], more].concat();
    let own = "cli-user".to_owned();
    let approved = Some((Some(Carry::Answered(Choice::Approve)), own.clone()));
    assert_eq!(goes_on(&with(&[said_at(2, "Yes!", 2000)])), approved);
    assert_eq!(goes_on(&with(&[said_at(2, "no", 2000)])), Some((Some(Carry::Answered(Choice::Deny)), own.clone())));
    assert_eq!(
        goes_on(&with(&[said_at(2, "retry", 2000)])),
        Some((None, own.clone())),
        "that answers another question"
    );
    // From elsewhere, also by an administrator: the work goes on with the rights it had.
    for user in ["cli-user", "cli-admin"] {
        assert_eq!(goes_on(&with(&[answers(2, user, Choice::Approve, 2000)])), approved, "{user}");
    }
    for (user, choice) in [("cli-bob", Choice::Approve), ("cli-user", Choice::Retry)] {
        assert_eq!(goes_on(&with(&[answers(2, user, choice, 2000)])), None, "{user} {choice:?}");
    }
    let twice = with(&[answers(2, "cli-user", Choice::Approve, 2000), finished(2, vec![id(2)])]);
    assert_eq!(goes_on(&[&twice[..], &[answers(3, "cli-user", Choice::Approve, 2001)]].concat()), None);
    assert_eq!(goes_on(&[&twice[..], &[said_at(3, "yes", 2001)]].concat()), Some((None, own)));
}

#[test]
fn an_approval_that_came_too_late_does_nothing_and_blocks_nothing() {
    let late = 1000 + 60_000 + 1;
    for answer in [said_at(2, "yes", late), answers(2, "cli-user", Choice::Approve, late)] {
        let events = [&waits_for_approval()[..], &[answer]].concat();
        let state = after(&events);
        let [Effect::Reply(reply)] = &state.outbox[..] else { panic!("{:?}", state.outbox) };
        assert_eq!((reply.kind, &reply.answers[..], &state.asked), (ReplyKind::Notice, &[id(2)][..], &None));
        assert!(goes_on(&[&events[..], &[says(3, "hello")]].concat()).is_some());
    }
}

#[test]
fn a_stop_drops_the_question() {
    for stop in [says(2, "never mind"), inbound(Event::StopRequested { id: id(2), by: speaker() })] {
        let events = [&waits_for_approval()[..], &[stop]].concat();
        let state = after(&events);
        let [Effect::Reply(reply)] = &state.outbox[..] else { panic!("{:?}", state.outbox) };
        assert!(reply.text.contains("not done") && state.asked.is_none(), "{reply:?}");
        assert_eq!(goes_on(&[&events[..], &[answers(3, "cli-user", Choice::Approve, 2000)]].concat()), None);
    }
    let early =
        [says(1, "send it"), says(2, "never mind"), Inbound { route: None, ..inbound(asks(Question::Approval)) }];
    assert_eq!(after(&early).asked, None, "what was stopped asks nobody");
}

#[test]
fn what_is_said_after_the_question_drops_it() {
    let events = [&waits_for_approval()[..], &[says(2, "what would it say?"), finished(2, vec![id(2)])]].concat();
    assert_eq!(goes_on(&[&events[..], &[said_at(3, "yes", 2000)]].concat()), Some((None, "cli-user".into())));
    assert_eq!(goes_on(&[&events[..], &[answers(3, "cli-user", Choice::Approve, 2000)]].concat()), None);
}

#[test]
fn the_mode_of_approval_travels_with_the_turns_after_it() {
    let chosen = inbound(Event::ApprovalModeChosen { id: id(1), by: speaker(), mode: ApprovalMode::Chat });
    let state = after(&[chosen, says(2, "a")]);
    assert!(matches!(&state.outbox[..], [Effect::StartTurn(request)] if request.approval == ApprovalMode::Chat));
}

#[test]
fn answer_to_a_question_goes_on_where_it_was_asked() {
    let asked = TurnFinished { turn: TurnId::derive(&conversation(), &id(1)), answers: vec![id(1)], tier: Tier::Mid };
    let question = asks(Question::Outcome);
    // The person may be faster than the word that the turn has ended.
    let events = [
        says(1, "charge"),
        Inbound { route: None, ..inbound(question) },
        says(2, "It worked!"),
        inbound(Event::TurnFinished(asked)),
    ];
    let state = after(&events);
    let [Effect::StartTurn(request)] = &state.outbox[..] else { panic!("{:?}", state.outbox) };
    let origin = request.origin.clone().unwrap();
    assert_eq!((origin.turn, origin.carry), (TurnId::derive(&conversation(), &id(1)), Carry::Answered(Choice::Worked)));
    assert_eq!(state.asked, None, "a question is answered once");
}

#[test]
fn what_was_said_before_the_question_is_no_answer_to_it() {
    let asked = TurnFinished { turn: TurnId::derive(&conversation(), &id(1)), answers: vec![id(1)], tier: Tier::Mid };
    let question = asks(Question::Outcome);
    let events = [
        says(1, "charge"),
        says(2, "retry"),
        Inbound { route: None, ..inbound(question) },
        inbound(Event::TurnFinished(asked)),
    ];
    let state = after(&events);
    let [Effect::StartTurn(request)] = &state.outbox[..] else { panic!("{:?}", state.outbox) };
    assert_eq!(request.origin, None);
}
