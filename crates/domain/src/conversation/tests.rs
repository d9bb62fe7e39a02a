//! The router's judgement, case by case and under every order of crashes.

use proptest::prelude::*;

use super::*;
use crate::ids::Place;
use crate::message::Audience;

fn limits() -> Limits {
    Limits {
        waiting_messages: 3,
        waiting_bytes: 1000,
        stop_phrases: crate::message::STOP_PHRASES.split(',').map(str::to_owned).collect(),
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
    let route = Route { platform: "cli".into(), channel: "main".into(), audience: Audience::Direct };
    Inbound { conversation: conversation(), route: Some(route), event }
}

fn says(n: u32, text: &str) -> Inbound {
    inbound(Event::MessageReceived(UserMessage {
        id: id(n),
        speaker: speaker(),
        text: text.into(),
        tier: None,
        sent_at_ms: 0,
    }))
}

fn finished(n: u32, answers: Vec<MessageId>) -> Inbound {
    let turn = TurnId::derive(&conversation(), &id(n));
    inbound(Event::TurnFinished(TurnFinished { turn, answers, tier: Tier::Mid }))
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
    let mut state = Conversation::default();
    let reset = inbound(Event::ConversationReset { id: id(1), by: speaker() });
    for (sequence, event) in [(1, &reset), (2, &says(2, "a"))] {
        if let Step::Applied(next) = step(&state, Position { incarnation: 1, sequence }, event, &limits()) {
            state = *next;
        }
    }
    assert!(matches!(&state.outbox[..], [Effect::StartTurn(request)] if request.generation == 1));
}

/// What a person may do, and what the platform may repeat.
#[derive(Debug, Clone)]
enum Doing {
    Say,
    Stop,
    Reset,
    RepeatLast,
}

/// How a router replica may fail while it applies one event.
#[derive(Debug, Clone, Copy)]
enum Crash {
    None,
    BeforeStore,
    AfterStore,
    MidOutbox,
    BeforeAck,
}

fn doing() -> impl Strategy<Value = Doing> {
    prop_oneof![6 => Just(Doing::Say), 2 => Just(Doing::Stop), 1 => Just(Doing::Reset), 2 => Just(Doing::RepeatLast)]
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![
        4 => Just(Crash::None),
        1 => Just(Crash::BeforeStore),
        1 => Just(Crash::AfterStore),
        1 => Just(Crash::MidOutbox),
        1 => Just(Crash::BeforeAck),
    ]
}

/// The world outside the router: deduplicates by id, as streams do.
#[derive(Debug, Default, PartialEq, Eq)]
struct World {
    turns: Vec<TurnRequest>,
    stops: Vec<(TurnId, MessageId)>,
    replies: Vec<Reply>,
}

impl World {
    fn cause(&mut self, effect: &Effect) {
        match effect {
            Effect::StartTurn(request) if !self.turns.contains(request) => self.turns.push(request.clone()),
            Effect::StopTurn { turn, stop } if !self.stops.contains(&(*turn, stop.clone())) => {
                self.stops.push((*turn, stop.clone()));
            }
            Effect::Reply(reply) if !self.replies.contains(reply) => self.replies.push(reply.clone()),
            Effect::StartTurn(_) | Effect::StopTurn { .. } | Effect::Reply(_) => {}
        }
    }
}

/// Delivers one event until it is acknowledged, through the given crashes.
fn deliver(
    state: &mut Conversation,
    world: &mut World,
    at: Position,
    event: &Inbound,
    crashes: &mut impl Iterator<Item = Crash>,
) {
    loop {
        let crash = crashes.next().unwrap_or(Crash::None);
        if matches!(crash, Crash::BeforeStore) {
            continue;
        }
        if let Step::Applied(next) = step(state, at, event, &limits()) {
            *state = *next;
        }
        match crash {
            Crash::AfterStore => continue,
            Crash::MidOutbox => {
                state.outbox.iter().take(1).for_each(|effect| world.cause(effect));
                continue;
            }
            Crash::None | Crash::BeforeAck | Crash::BeforeStore => {
                state.outbox.iter().for_each(|effect| world.cause(effect));
            }
        }
        if matches!(crash, Crash::None) {
            return;
        }
    }
}

/// Runs a script: people act, turns end after `lag` further events.
fn run(script: &[Doing], lag: usize, crashes: &[Crash]) -> (World, Vec<MessageId>) {
    let mut crashes = crashes.iter().copied();
    let (mut state, mut world, mut sent) = (Conversation::default(), World::default(), Vec::new());
    let mut sequence = 0;
    let mut last: Option<Inbound> = None;
    let mut ended = 0;
    let mut feed = |state: &mut Conversation, world: &mut World, event: &Inbound| {
        sequence += 1;
        deliver(state, world, Position { incarnation: 1, sequence }, event, &mut crashes);
    };
    for (index, doing) in script.iter().enumerate() {
        let n = index as u32 + 1;
        let event = match doing {
            Doing::Say => says(n, "hello"),
            Doing::Stop => inbound(Event::StopRequested { id: id(n), by: speaker() }),
            Doing::Reset => inbound(Event::ConversationReset { id: id(n), by: speaker() }),
            Doing::RepeatLast => match &last {
                Some(last) => last.clone(),
                None => continue,
            },
        };
        let message = event.event.message_id().unwrap().clone();
        if !sent.contains(&message) {
            sent.push(message);
        }
        last = Some(event.clone());
        feed(&mut state, &mut world, &event);
        if index % (lag + 1) == lag {
            end_turn(&mut state, &mut world, &mut ended, &mut feed);
        }
    }
    while ended < world.turns.len() {
        end_turn(&mut state, &mut world, &mut ended, &mut feed);
    }
    (world, sent)
}

/// Ends the oldest turn that has not ended, as orchestrator and adapter would.
fn end_turn(
    state: &mut Conversation,
    world: &mut World,
    ended: &mut usize,
    feed: &mut impl FnMut(&mut Conversation, &mut World, &Inbound),
) {
    let Some(request) = world.turns.get(*ended).cloned() else { return };
    *ended += 1;
    let mut answers = request.answers();
    // Every other turn ends before it hears of its stops.
    if !(*ended).is_multiple_of(2) {
        answers.extend(world.stops.iter().filter(|(turn, _)| *turn == request.turn).map(|(_, stop)| stop.clone()));
    }
    let finished = TurnFinished { turn: request.turn, answers, tier: Tier::Mid };
    if let Effect::Reply(reply) = (Address { conversation: &conversation(), route: &request.route }).reply(
        ReplyKind::Answered,
        Answers::all(finished.answers.clone()).unwrap(),
        String::new(),
    ) {
        world.replies.push(reply);
    }
    feed(state, world, &inbound(Event::TurnFinished(finished)));
}

proptest! {
    #[test]
    fn crashes_and_redeliveries_change_nothing(
        script in prop::collection::vec(doing(), 1..40),
        lag in 0usize..4,
        crashes in prop::collection::vec(crash(), 0..80),
    ) {
        prop_assert_eq!(run(&script, lag, &crashes), run(&script, lag, &[]));
    }

    #[test]
    fn every_message_is_named_by_exactly_one_reply(
        script in prop::collection::vec(doing(), 1..40),
        lag in 0usize..4,
        crashes in prop::collection::vec(crash(), 0..80),
    ) {
        let (world, sent) = run(&script, lag, &crashes);
        for message in sent {
            let naming = world.replies.iter().filter(|reply| reply.answers.contains(&message)).count();
            prop_assert_eq!(naming, 1, "{} in {:?}", message, world);
        }
    }

    #[test]
    fn turns_begin_in_the_order_of_their_messages(
        script in prop::collection::vec(doing(), 1..40),
        lag in 0usize..4,
        crashes in prop::collection::vec(crash(), 0..80),
    ) {
        let (world, sent) = run(&script, lag, &crashes);
        let begun: Vec<_> = world.turns.iter().flat_map(TurnRequest::answers).collect();
        let in_order: Vec<_> = sent.into_iter().filter(|message| begun.contains(message)).collect();
        prop_assert_eq!(begun, in_order);
    }
}
