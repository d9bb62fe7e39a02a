//! The main job, end to end: adapter, router, processor, orchestrator, tools,
//! memory, and back.

use domain::approval::Question;
use domain::turn::ReplyKind;
use proto::live::{Activity, DeltaKind};
use proto::terminal::Saying;
use testkit::sandbox::Sandbox;

#[tokio::test(flavor = "multi_thread")]
async fn tools_and_memory_work_in_a_conversation() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    for (text, part) in [
        ("what time is it?", "America/New_York"),
        ("remember that my bicycle is green", "I will remember: my bicycle is green"),
        ("what colour is my bicycle?", "- my bicycle is green"),
        ("what do you remember about bicycles?", "my bicycle is green"),
        ("calculate (2+3)*7", "(2+3)*7 = 35"),
        ("save to trips/oslo.md: ferry at nine", "Saved trips/oslo.md (13 bytes)."),
        ("list my files", "trips/oslo.md (13 bytes)"),
        ("read the file trips/oslo.md", "ferry at nine"),
        ("read the file ../../memory.sqlite", "not a name within your folder"),
        ("call calculate with {\"expression\": 7}", "the arguments do not fit"),
        ("call no_such_tool with {}", "there is no tool `no_such_tool`"),
        ("forget bicycle", "\"which\": \"bicycle\""),
        ("yes", "Forgotten:"),
        ("what do you remember about bicycles?", "I remember nothing about that."),
        ("delete the file trips/oslo.md", "`delete_local_file`"),
        ("no", "said no"),
        ("delete the file trips/oslo.md", "May I do this?"),
        ("yes", "Deleted trips/oslo.md."),
        ("hello", "not a language model"),
    ] {
        let reply = terminal.asks(text).await;
        let asks = reply.asks == Some(Question::Approval);
        assert_eq!(reply.kind, if asks { ReplyKind::Question } else { ReplyKind::Answered }, "{text}: {}", reply.text);
        assert!(reply.text.contains(part), "{text}: {}", reply.text);
        assert!(reply.notices.is_empty(), "{text}: {:?}", reply.notices);
        assert!(reply.usage.input_tokens > 0 && reply.usage.output_tokens > 0, "{text}: {:?}", reply.usage);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_holds_the_last_exchange_and_reset_ends_it() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    for n in 0..5 {
        terminal.asks(&format!("say number {n}")).await;
        let reply = terminal.asks("what did I say before?").await;
        assert_eq!(reply.text, format!("Before this you said: “say number {n}”"));
    }
    let reset = terminal.does(Saying::Reset).await;
    assert_eq!(terminal.reply_to(&reset).await.kind, ReplyKind::Notice);
    let reply = terminal.asks("what did I say before?").await;
    assert_eq!(reply.text, "You have not said anything before this.");
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_streams_and_the_final_is_what_was_streamed() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut deltas = terminal.bus.watch_deltas("cli", &terminal.conversation).await.unwrap();
    let reply = terminal.asks("call calculate with {\"expression\": \"6*7\"}").await;
    let (mut text, mut step, mut activities, mut numbers) = (String::new(), 0, Vec::new(), Vec::new());
    while text != reply.text {
        let delta = tokio::time::timeout(testkit::DEADLINE, deltas.next()).await.unwrap().unwrap();
        assert_eq!((delta.turn, delta.epoch), (reply.turn, 1));
        numbers.push(delta.n);
        match delta.kind {
            DeltaKind::Status(activity) => activities.push(activity),
            DeltaKind::Text { step: of, offset, tail } => {
                if of != step {
                    (step, text) = (of, String::new());
                }
                assert_eq!(offset as usize, text.len());
                text.push_str(&tail);
            }
        }
    }
    let tool = || "calculate".to_owned();
    let expected = [
        Activity::Thinking,
        Activity::ToolStarted { tool: tool() },
        Activity::ToolFinished { tool: tool() },
        Activity::Thinking,
    ];
    assert_eq!(activities, expected);
    assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_the_installation_is_said_in_a_stream_or_an_answer() {
    let sandbox = Sandbox::plan().set("TAVILY_API_KEY", "canary-0123456789").start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut deltas = terminal.bus.watch_deltas("cli", &terminal.conversation).await.unwrap();
    let reply = terminal.asks("is it canary-0123456789 that you know?").await;
    assert!(reply.text.contains("is it [a secret] that you know?") && !reply.text.contains("canary"), "{}", reply.text);
    let mut text = String::new();
    while text != reply.text {
        let delta = tokio::time::timeout(testkit::DEADLINE, deltas.next()).await.unwrap().unwrap();
        if let DeltaKind::Text { tail, .. } = delta.kind {
            text.push_str(&tail);
            assert!(!text.contains("canary"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_share_nothing() {
    let sandbox = Sandbox::start().await;
    let mut ann = sandbox.terminal("main").await;
    let mut bob = testkit::terminal::Terminal::open(sandbox.bus().await, "bob", "main").await;
    ann.asks("remember that my canary is yellow").await;
    ann.asks("save to secret.txt: canary").await;
    for text in
        ["what do you remember about canary?", "what colour is my canary?", "list my files", "read the file secret.txt"]
    {
        let reply = bob.asks(text).await;
        assert!(!reply.text.contains("yellow") && !reply.text.contains("secret.txt ("), "{text}: {}", reply.text);
    }
    assert_ne!(ann.conversation, bob.conversation);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_away_costs_recall_and_not_the_answer() {
    let mut sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("remember that my bicycle is green").await;
    sandbox.kill("memory", 0);
    let reply = terminal.asks("say hello").await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "hello"));
    assert_eq!(reply.notices, ["memory unavailable"]);
    sandbox.start_service("memory", 0);
    sandbox.ready(1).await;
    let reply = terminal.asks("what did I say before?").await;
    assert_eq!(reply.text, "Before this you said: “say hello”");
    assert!(reply.notices.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_runner_that_is_away_costs_tools_and_not_the_answer() {
    let mut sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    sandbox.kill("tool-runner", 0);
    let reply = terminal.asks("say hello").await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "hello"));
    assert_eq!(reply.notices, ["tools unavailable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_slow_costs_recall_and_not_the_answer() {
    let mut sandbox = Sandbox::plan().set("MEMORY_FETCH_TIMEOUT", 1).start().await;
    let mut terminal = sandbox.terminal("main").await;
    sandbox.service("memory", 0).signal(rustix::process::Signal::STOP);
    let reply = terminal.asks("say hello").await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "hello"));
    assert_eq!(reply.notices, ["memory unavailable"]);
    sandbox.service("memory", 0).signal(rustix::process::Signal::CONT);
    assert_eq!(terminal.asks("what did I say before?").await.text, "Before this you said: “say hello”");
}
