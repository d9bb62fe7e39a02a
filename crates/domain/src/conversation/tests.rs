//! The router's judgement, case by case.

use super::*;
use crate::approval::Question;
use crate::attachment::Attachment;
use crate::carry::{Carry, Choice};
use crate::ids::Place;
use crate::message::Audience;

mod properties; // Over every order of messages, modes and crashes.
mod questions; // What a person is asked, and what they answer.

fn limits() -> Limits {
    Limits {
        waiting_messages: 3,
        waiting_bytes: 1000,
        stop_phrases: crate::message::STOP_PHRASES.split(',').map(str::to_owned).collect(),
        direct: QueueMode::Followup,
        group: QueueMode::Collect,
        debounce_ms: 500,
        approval_ms: 60_000,
        admins: vec!["cli-admin".into()],
    }
}

fn conversation() -> ConversationId {
    ConversationId::derive(&Place {
        platform: "cli".into(),
        tenant: "t".into(),
        channel: "main".into(),
        thread: String::new(),
    })
}

fn id(n: u32) -> MessageId {
    MessageId::parse(&format!("cli:{n}")).unwrap()
}

fn speaker() -> Principal {
    Principal { user: "cli-user".into(), name: "Ann".into(), tenant: "t".into() }
}

fn inbound(event: Event) -> Inbound {
    let route = Route { platform: "cli".into(), channel: "main".into(), audience: Audience::Direct, parent: None };
    Inbound { conversation: conversation(), route: Some(route), event }
}

fn says(n: u32, text: &str) -> Inbound {
    inbound(Event::MessageReceived(UserMessage {
        id: id(n),
        speaker: speaker(),
        text: text.into(),
        attachments: vec![],
        tier: None,
        sent_at_ms: 0,
    }))
}

fn finished(n: u32, answers: Vec<MessageId>) -> Inbound {
    let turn = TurnId::derive(&conversation(), &id(n));
    inbound(Event::TurnFinished(TurnFinished { turn, answers, tier: Tier::Mid }))
}

/// The state after these events.
fn after(events: &[Inbound]) -> Conversation {
    let mut state = Conversation::default();
    for (sequence, event) in (1..).zip(events) {
        if let Step::Applied(next) = step(&state, Position { incarnation: 1, sequence }, event, &limits()) {
            state = *next;
        }
    }
    state
}

/// Applies events one after the other and writes down what each causes.
fn check(events: &[Inbound], expect: expect_test::Expect) {
    let mut state = Conversation::default();
    let mut lines = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let at = Position { incarnation: 1, sequence: index as u64 + 1 };
        if let Step::Applied(next) = step(&state, at, event, &limits()) {
            state = *next;
            lines.push(state.outbox.iter().map(render).collect::<Vec<_>>().join(" + "));
        }
    }
    expect.assert_eq(&lines.join("\n"));
}

fn render(effect: &Effect) -> String {
    let names = |ids: &[MessageId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    match effect {
        Effect::StartTurn(request) => format!("start[{}]", names(&request.answers())),
        Effect::StopTurn { stop, .. } => format!("stop by {stop}"),
        Effect::Steer { message, .. } => format!("steer[{}]", message.id),
        Effect::Interrupt { by, .. } => format!("interrupt by {by}"),
        Effect::Wake { last, .. } => format!("wake after {last}"),
        Effect::Reply(reply) => format!("{:?}[{}]", reply.kind, names(&reply.answers)),
    }
}

#[test]
fn second_message_waits_for_the_first() {
    check(
        &[says(1, "a"), says(2, "b"), finished(1, vec![id(1)]), finished(2, vec![id(2)])],
        expect_test::expect![[r#"
            start[cli:1]

            start[cli:2]
        "#]],
    );
}

#[test]
fn too_many_waiting_messages_are_refused_visibly() {
    check(
        &[says(1, "a"), says(2, "b"), says(3, "c"), says(4, "d"), says(5, "e")],
        expect_test::expect![[r#"
            start[cli:1]



            Refused[cli:5]"#]],
    );
}

#[test]
fn too_long_waiting_messages_are_refused_visibly() {
    check(
        &[says(1, "a"), says(2, &"b".repeat(900)), says(3, &"c".repeat(101)), says(4, &"d".repeat(100))],
        expect_test::expect![[r#"
            start[cli:1]

            Refused[cli:3]
        "#]],
    );
}

#[test]
fn stop_ends_the_turn_and_names_what_it_drops() {
    check(
        &[says(1, "a"), says(2, "b"), says(3, "c"), says(4, "Clara stop"), finished(1, vec![id(1), id(4)])],
        expect_test::expect![[r#"
            start[cli:1]


            stop by cli:4 + Stopped[cli:2,cli:3]
        "#]],
    );
}

#[test]
fn stop_that_comes_too_late_is_answered_by_a_notice() {
    check(
        &[says(1, "a"), says(2, "never mind"), says(3, "b"), finished(1, vec![id(1)])],
        expect_test::expect![[r#"
            start[cli:1]
            stop by cli:2

            Notice[cli:2] + start[cli:3]"#]],
    );
}

#[test]
fn stop_with_nothing_running_says_so() {
    check(&[says(1, "stop clara")], expect_test::expect!["Notice[cli:1]"]);
}

#[test]
fn repeated_platform_message_is_one_message() {
    check(
        &[says(1, "a"), says(1, "a"), finished(1, vec![id(1)]), says(1, "a")],
        expect_test::expect![[r#"
            start[cli:1]


        "#]],
    );
}

#[test]
fn same_text_twice_is_two_messages() {
    check(
        &[says(1, "yes"), finished(1, vec![id(1)]), says(2, "yes")],
        expect_test::expect![[r#"
            start[cli:1]

            start[cli:2]"#]],
    );
}

#[test]
fn foreign_turn_end_changes_nothing() {
    check(
        &[says(1, "a"), finished(9, vec![id(9)]), finished(1, vec![id(1)]), finished(1, vec![id(1)]), says(2, "b")],
        expect_test::expect![[r#"
            start[cli:1]



            start[cli:2]"#]],
    );
}

#[test]
fn lost_turn_is_told_and_what_waits_goes_on() {
    let lost = Inbound { route: None, ..inbound(Event::TurnLost { turn: TurnId::derive(&conversation(), &id(1)) }) };
    check(
        &[says(1, "a"), says(2, "b"), lost.clone(), lost, finished(1, vec![id(1)])],
        expect_test::expect![[r#"
            start[cli:1]

            Failed[cli:1] + start[cli:2]

        "#]],
    );
}

fn chooses(n: u32, mode: QueueMode) -> Inbound {
    inbound(Event::QueueModeChosen { id: id(n), by: speaker(), mode })
}

#[test]
fn what_arrives_during_a_turn_is_collected_into_the_next() {
    check(
        &[chooses(9, QueueMode::Collect), says(1, "a"), says(2, "b"), says(3, "c"), finished(1, vec![id(1)])],
        expect_test::expect![[r#"
            Notice[cli:9]
            start[cli:1]


            start[cli:2,cli:3]"#]],
    );
}

fn brings(n: u32, text: &str, file: &str) -> Inbound {
    let mut inbound = says(n, text);
    if let Event::MessageReceived(message) = &mut inbound.event {
        message.attachments = vec![Attachment::of(file, file.as_bytes()).unwrap()];
    }
    inbound
}

#[test]
fn collected_messages_keep_their_files() {
    let events = [chooses(9, QueueMode::Collect), says(1, "a"), brings(2, "b", "b.txt"), brings(3, "", "c.txt")];
    let state = after(&[&events[..], &[finished(1, vec![id(1)])]].concat());
    let [Effect::StartTurn(request)] = &state.outbox[..] else { panic!("{:?}", state.outbox) };
    let names = request.messages.iter().flat_map(|message| &message.attachments).map(|file| file.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["b.txt", "c.txt"]);
}

#[test]
fn what_brings_files_waits_for_a_turn_of_its_own() {
    let steering = chooses(9, QueueMode::Steer);
    check(
        &[steering, says(1, "a"), brings(2, "b", "b.txt"), finished(1, vec![id(1)])],
        expect_test::expect![[r#"
            Notice[cli:9]
            start[cli:1]

            start[cli:2]"#]],
    );
}

#[test]
fn steer_goes_into_the_turn_and_begins_one_if_it_came_too_late() {
    let events = [
        chooses(9, QueueMode::Steer),
        says(1, "a"),
        says(2, "b"),
        says(3, "c"),
        // The turn read the second message, and had ended before the third.
        finished(1, vec![id(1), id(2)]),
        finished(3, vec![id(3)]),
    ];
    check(
        &events,
        expect_test::expect![[r#"
            Notice[cli:9]
            start[cli:1]
            steer[cli:2]
            steer[cli:3]
            start[cli:3]
        "#]],
    );
}

/// Attack S10: what somebody else says while a turn runs is no part of it, and acts with their
/// rights alone.
#[test]
fn nobody_steers_anothers_turn() {
    let mut of_bob = says(2, "create a job");
    let Event::MessageReceived(message) = &mut of_bob.event else { unreachable!() };
    message.speaker.user = "cli-bob".into();
    let running = [chooses(9, QueueMode::Steer), says(1, "a"), of_bob];
    assert!(!after(&running).outbox.iter().any(|effect| matches!(effect, Effect::Steer { .. })));
    let state = after(&[&running[..], &[finished(1, vec![id(1)])]].concat());
    let [Effect::StartTurn(request)] = &state.outbox[..] else { panic!("{:?}", state.outbox) };
    assert_eq!((request.messages.len(), request.principal().unwrap().user.as_str()), (1, "cli-bob"));
}

#[test]
fn steer_that_was_not_read_is_dropped_by_a_stop() {
    let events = [
        chooses(9, QueueMode::Steer),
        says(1, "a"),
        says(2, "b"),
        says(3, "clara stop"),
        says(4, "c"),
        finished(1, vec![id(1)]),
    ];
    check(
        &events,
        expect_test::expect![[r#"
            Notice[cli:9]
            start[cli:1]
            steer[cli:2]
            stop by cli:3

            Notice[cli:3] + Stopped[cli:2] + start[cli:4]"#]],
    );
}

#[test]
fn newer_message_interrupts_once_and_begins_anew_with_all() {
    let events = [chooses(9, QueueMode::Interrupt), says(1, "a"), says(2, "b"), says(3, "c"), finished(1, vec![id(1)])];
    check(
        &events,
        expect_test::expect![[r#"
            Notice[cli:9]
            start[cli:1]
            interrupt by cli:2

            start[cli:2,cli:3]"#]],
    );
}

fn in_a_group(mut event: Inbound) -> Inbound {
    event.route = event.route.map(|route| Route { audience: Audience::Group, ..route });
    event
}

#[test]
fn group_waits_for_silence() {
    let silent = |n| Inbound { route: None, ..inbound(Event::DebounceElapsed { last: id(n) }) };
    check(
        &[in_a_group(says(1, "a")), in_a_group(says(2, "b")), silent(1), silent(2), silent(2)],
        expect_test::expect![[r#"
            wake after cli:1
            wake after cli:2

            start[cli:1,cli:2]
        "#]],
    );
}

#[test]
fn stop_before_a_group_fell_silent_drops_what_was_said() {
    let silent = Inbound { route: None, ..inbound(Event::DebounceElapsed { last: id(1) }) };
    check(
        &[in_a_group(says(1, "a")), in_a_group(says(2, "never mind")), silent],
        expect_test::expect![[r#"
            wake after cli:1
            Stopped[cli:1,cli:2]
        "#]],
    );
}

#[test]
fn group_that_never_falls_silent_is_answered_when_no_more_may_wait() {
    let said = |n| in_a_group(says(n, "x"));
    check(
        &[said(1), said(2), said(3), said(4)],
        expect_test::expect![[r#"
            wake after cli:1
            wake after cli:2
            wake after cli:3
            start[cli:1,cli:2,cli:3]"#]],
    );
}

#[test]
fn recreated_stream_is_not_a_black_hole() {
    let before = Position { incarnation: 1, sequence: 900 };
    let Step::Applied(state) = step(&Conversation::default(), before, &says(1, "a"), &limits()) else { panic!() };
    let after = Position { incarnation: 2, sequence: 1 };
    assert!(matches!(step(&state, after, &says(2, "b"), &limits()), Step::Applied(_)));
    assert_eq!(step(&state, before, &says(1, "a"), &limits()), Step::AlreadyApplied);
}

#[test]
fn reset_raises_the_generation_of_later_turns() {
    let reset = inbound(Event::ConversationReset { id: id(1), by: speaker() });
    let state = after(&[reset, says(2, "a")]);
    assert!(matches!(&state.outbox[..], [Effect::StartTurn(request)] if request.generation == 1));
}
