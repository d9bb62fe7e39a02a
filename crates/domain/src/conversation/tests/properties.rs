//! What holds over every order of messages, modes, crashes and redeliveries.

use proptest::prelude::*;

use super::*;

/// What a person may do, and what the platform may repeat.
#[derive(Debug, Clone)]
enum Doing {
    Say,
    Stop,
    Reset,
    RepeatLast,
    Choose(QueueMode),
    /// A turn that goes on from another one.
    Fork,
    /// The next turn that ends is lost: its message was put aside.
    Lose,
    /// The next turn that ends asks whether a call may run.
    Ask,
    /// Says what would be an answer to that.
    Yes,
    /// Answers it from elsewhere.
    Answer,
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
    prop_oneof![
        6 => Just(Doing::Say),
        2 => Just(Doing::Stop),
        1 => Just(Doing::Reset),
        2 => Just(Doing::RepeatLast),
        1 => any_mode().prop_map(Doing::Choose),
        1 => Just(Doing::Fork),
        1 => Just(Doing::Lose),
        1 => Just(Doing::Ask),
        1 => Just(Doing::Yes),
        1 => Just(Doing::Answer),
    ]
}

fn any_mode() -> impl Strategy<Value = QueueMode> {
    prop::sample::select(QueueMode::ALL.to_vec())
}

/// What a conversation begins with.
#[derive(Debug, Clone, Copy)]
struct Manner {
    mode: QueueMode,
    audience: Audience,
}

fn manner() -> impl Strategy<Value = Manner> {
    let audience = prop_oneof![Just(Audience::Direct), Just(Audience::Group)];
    (any_mode(), audience).prop_map(|(mode, audience)| Manner { mode, audience })
}

impl Manner {
    fn limits(self) -> Limits {
        Limits { direct: self.mode, group: self.mode, ..limits() }
    }

    fn place(self, mut event: Inbound) -> Inbound {
        event.route = event.route.map(|route| Route { audience: self.audience, ..route });
        event
    }
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
    steers: Vec<(TurnId, MessageId)>,
    interrupts: Vec<TurnId>,
    wakes: Vec<MessageId>,
    replies: Vec<Reply>,
}

impl World {
    fn cause(&mut self, effect: &Effect) {
        match effect {
            Effect::StartTurn(request) if !self.turns.contains(request) => self.turns.push(request.clone()),
            Effect::StopTurn { turn, stop } if !self.stops.contains(&(*turn, stop.clone())) => {
                self.stops.push((*turn, stop.clone()));
            }
            Effect::Steer { turn, message } if !self.steers.contains(&(*turn, message.id.clone())) => {
                self.steers.push((*turn, message.id.clone()));
            }
            Effect::Interrupt { turn, .. } if !self.interrupts.contains(turn) => self.interrupts.push(*turn),
            Effect::Wake { last, .. } if !self.wakes.contains(last) => self.wakes.push(last.clone()),
            Effect::Reply(reply) if !self.replies.contains(reply) => self.replies.push(reply.clone()),
            Effect::StartTurn(_)
            | Effect::StopTurn { .. }
            | Effect::Steer { .. }
            | Effect::Interrupt { .. }
            | Effect::Wake { .. }
            | Effect::Reply(_) => {}
        }
    }
}

/// Delivers one event until it is acknowledged, through the given crashes.
fn deliver(
    state: &mut Conversation,
    world: &mut World,
    at: Position,
    event: &Inbound,
    manner: Manner,
    crashes: &mut impl Iterator<Item = Crash>,
) {
    loop {
        let crash = crashes.next().unwrap_or(Crash::None);
        if matches!(crash, Crash::BeforeStore) {
            continue;
        }
        if let Step::Applied(next) = step(state, at, event, &manner.limits()) {
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

/// Runs a script: people act, turns end and groups fall silent after `lag`
/// further events.
fn run(script: &[Doing], manner: Manner, lag: usize, crashes: &[Crash]) -> (World, Vec<MessageId>) {
    let mut crashes = crashes.iter().copied();
    let (mut state, mut world, mut sent) = (Conversation::default(), World::default(), Vec::new());
    let mut sequence = 0;
    let mut last: Option<Inbound> = None;
    let (mut ended, mut manner_of_end) = (0usize, End::Answers);
    let mut feed = |state: &mut Conversation, world: &mut World, event: &Inbound| {
        sequence += 1;
        let at = Position { incarnation: 1, sequence };
        deliver(state, world, at, &manner.place(event.clone()), manner, &mut crashes);
    };
    for (index, doing) in script.iter().enumerate() {
        let n = index as u32 + 1;
        let event = match doing {
            Doing::Say => says(n, "hello"),
            Doing::Stop => inbound(Event::StopRequested { id: id(n), by: speaker() }),
            Doing::Reset => inbound(Event::ConversationReset { id: id(n), by: speaker() }),
            Doing::Choose(mode) => inbound(Event::QueueModeChosen { id: id(n), by: speaker(), mode: *mode }),
            Doing::Fork => {
                let origin = Origin {
                    conversation: conversation(),
                    turn: TurnId::derive(&conversation(), &id(1_000_000)),
                    carry: Carry::Fork { at: 1 },
                };
                inbound(Event::TurnForked { id: id(n), by: speaker(), origin, model: None })
            }
            Doing::Lose => {
                manner_of_end = End::Loses;
                continue;
            }
            Doing::Ask => {
                manner_of_end = End::Asks;
                continue;
            }
            Doing::Yes => says(n, "yes"),
            Doing::Answer => {
                // The newest turn that has ended, or one that there is not.
                let newest = ended.checked_sub(1).and_then(|newest: usize| world.turns.get(newest));
                let turn = newest.map_or_else(|| TurnId::derive(&conversation(), &id(n)), |request| request.turn);
                let (by, choice) = (speaker(), Choice::Approve);
                inbound(Event::QuestionAnswered { id: id(n), by, turn, choice, at_ms: 0 })
            }
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
            fall_silent(&mut state, &mut world, &mut feed);
            end_turn(&mut state, &mut world, &mut ended, std::mem::take(&mut manner_of_end), &mut feed);
        }
    }
    fall_silent(&mut state, &mut world, &mut feed);
    while ended < world.turns.len() {
        end_turn(&mut state, &mut world, &mut ended, std::mem::take(&mut manner_of_end), &mut feed);
        fall_silent(&mut state, &mut world, &mut feed);
    }
    (world, sent)
}

/// Lets the time of every timer pass.
fn fall_silent(
    state: &mut Conversation,
    world: &mut World,
    feed: &mut impl FnMut(&mut Conversation, &mut World, &Inbound),
) {
    for last in std::mem::take(&mut world.wakes) {
        feed(state, world, &inbound(Event::DebounceElapsed { last }));
    }
}

/// How a turn ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Answers,
    Asks,
    Loses,
}

/// Ends the oldest turn that has not ended, as orchestrator and adapter would; or loses it,
/// as whoever puts a message aside would.
fn end_turn(
    state: &mut Conversation,
    world: &mut World,
    ended: &mut usize,
    how: End,
    feed: &mut impl FnMut(&mut Conversation, &mut World, &Inbound),
) {
    let Some(request) = world.turns.get(*ended).cloned() else { return };
    *ended += 1;
    if how == End::Asks {
        let (turn, question) = (request.turn, crate::approval::Question::Approval);
        let asked = Event::QuestionAsked { turn, question, text: String::new(), at_ms: 0 };
        feed(state, world, &Inbound { route: None, ..inbound(asked) });
    }
    if how == End::Loses {
        // Nobody who loses a turn knows its route.
        let lost = Inbound { route: None, ..inbound(Event::TurnLost { turn: request.turn }) };
        return feed(state, world, &lost);
    }
    let mut answers = request.answers();
    // Every other turn ends before it hears of its stops, or reads what came in.
    if !(*ended).is_multiple_of(2) {
        let of_turn = |pairs: &[(TurnId, MessageId)]| {
            pairs.iter().filter(|(turn, _)| *turn == request.turn).map(|(_, id)| id.clone()).collect::<Vec<_>>()
        };
        answers.extend(of_turn(&world.steers));
        answers.extend(of_turn(&world.stops));
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
        manner in manner(),
        lag in 0usize..4,
        crashes in prop::collection::vec(crash(), 0..80),
    ) {
        prop_assert_eq!(run(&script, manner, lag, &crashes), run(&script, manner, lag, &[]));
    }

    #[test]
    fn every_message_is_named_by_exactly_one_reply(
        script in prop::collection::vec(doing(), 1..40),
        manner in manner(),
        lag in 0usize..4,
        crashes in prop::collection::vec(crash(), 0..80),
    ) {
        let (world, sent) = run(&script, manner, lag, &crashes);
        for message in sent {
            let naming = world.replies.iter().filter(|reply| reply.answers.contains(&message)).count();
            prop_assert_eq!(naming, 1, "{} in {:?}", message, world);
        }
    }

    /// Whatever the mode, nothing waits for ever and nobody is refused silently.
    #[test]
    fn nothing_is_left_when_all_turns_have_ended(
        script in prop::collection::vec(doing(), 1..40),
        manner in manner(),
        lag in 0usize..4,
    ) {
        let (world, sent) = run(&script, manner, lag, &[]);
        let named: usize = world.replies.iter().map(|reply| reply.answers.len()).sum();
        prop_assert_eq!(named, sent.len());
    }

    #[test]
    fn turns_begin_in_the_order_of_their_messages(
        script in prop::collection::vec(doing(), 1..40),
        manner in manner(),
        lag in 0usize..4,
        crashes in prop::collection::vec(crash(), 0..80),
    ) {
        let (world, sent) = run(&script, manner, lag, &crashes);
        let begun: Vec<_> = world.turns.iter().flat_map(TurnRequest::answers).collect();
        let in_order: Vec<_> = sent.into_iter().filter(|message| begun.contains(message)).collect();
        prop_assert_eq!(begun, in_order);
    }
}
