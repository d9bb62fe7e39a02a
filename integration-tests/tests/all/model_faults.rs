//! What vendors do wrong, and what the person is told.

use std::time::Duration;

use domain::turn::{Reply, ReplyKind};
use testkit::model::{Act, Asked, FakeModel};
use testkit::sandbox::Sandbox;

/// Asks once, with a model that follows a script; the reply and the ledger.
async fn ask(
    settings: &[(&str, &str)],
    script: impl Fn(&Asked, usize) -> Act + Send + Sync + 'static,
) -> (Reply, FakeModel, Sandbox) {
    ask_wire(Wire::OpenAi, settings, script).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    OpenAi,
    Anthropic,
}

async fn ask_wire(
    wire: Wire,
    settings: &[(&str, &str)],
    script: impl Fn(&Asked, usize) -> Act + Send + Sync + 'static,
) -> (Reply, FakeModel, Sandbox) {
    let model = FakeModel::start(script).await;
    let of_wire = match wire {
        Wire::OpenAi => model.as_openai().to_vec(),
        Wire::Anthropic => model.as_anthropic().to_vec(),
    };
    let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let sandbox = Sandbox::plan().with(of_wire).with(settings).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks("question").await;
    (reply, model, sandbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_key_is_told_in_plain_words_and_never_logged() {
    let wrong = "sk-wrong-canary-42";
    let (reply, model, mut sandbox) = ask(&[("CUSTOM_OPENAI_API_KEY", wrong)], |_, _| Act::say("never")).await;
    assert_eq!(reply.kind, ReplyKind::Failed);
    assert!(reply.text.contains("did not accept my key"), "{}", reply.text);
    assert!(model.asked().is_empty());
    for service in testkit::sandbox::SERVICES {
        let log = sandbox.service(service, 0).log();
        assert!(!log.contains("canary"), "{service} logged a key");
    }
    assert!(sandbox.service("orchestrator", 0).log().contains("Incorrect API key"), "the operator reads why");
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limit_is_waited_for_as_long_as_the_vendor_says() {
    let begun = std::time::Instant::now();
    let (reply, model, _sandbox) = ask(&[], |_, number| match number {
        0 => Act::Refuse(429, vec![("retry-after", "2".into())], "slow down".into()),
        _ => Act::say("there"),
    })
    .await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "there"));
    assert_eq!(model.asked().len(), 2);
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limit_of_an_hour_is_told_at_once() {
    let (reply, model, _sandbox) =
        ask(&[], |_, _| Act::Refuse(429, vec![("retry-after", "3600".into())], "slow down".into())).await;
    assert_eq!(reply.kind, ReplyKind::Failed);
    assert!(reply.text.contains("60 minutes"), "{}", reply.text);
    assert_eq!(model.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_cut_streams_and_stalls_are_tried_again() {
    let settings = [("CLARA_MODEL_TIMEOUT_SECONDS", "1"), ("CLARA_MODEL_RETRIES", "6")];
    let (reply, model, _sandbox) = ask(&settings, |_, number| match number {
        0 => Act::Refuse(500, vec![], "broken".into()),
        1 => Act::Cut(vec!["half an ".into(), "answ".into()]),
        2 => Act::Stall,
        3 => Act::Garbage,
        4 => Act::ErrorInStream("overloaded".into()),
        5 => Act::say(""),
        _ => Act::Say(vec!["a whole ".into(), "answer".into()]),
    })
    .await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "a whole answer"));
    assert_eq!(model.asked().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn model_that_never_answers_is_told_and_the_conversation_goes_on() {
    let model = FakeModel::start(|asked, _| match asked.last_user.as_str() {
        "question" => Act::Refuse(503, vec![], "down".into()),
        other => Act::say(format!("re: {other}")),
    })
    .await;
    let plan = Sandbox::plan().set("CLARA_MODEL_RETRIES", 1).with(model.as_openai());
    let sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks("question").await;
    assert_eq!(reply.kind, ReplyKind::Failed);
    assert!(reply.text.contains("tried several times"), "{}", reply.text);
    assert_eq!(terminal.asks("next").await.text, "re: next");
    // A failed exchange is no part of what the model reads.
    let last = model.asked().pop().unwrap();
    assert!(!last.body.to_string().contains("tried several times"));
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_that_is_too_long_is_told() {
    let (reply, ..) = ask(&[], |_, _| Act::Refuse(400, vec![], "maximum context length is 8192 tokens".into())).await;
    assert_eq!(reply.kind, ReplyKind::Failed);
    assert!(reply.text.contains("too long for the model"), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_cannot_run_come_back_to_the_model() {
    let (reply, model, _sandbox) = ask(&[], |asked, number| match number {
        0 => Act::Call(
            "Let me see. ".into(),
            vec![
                ("no_such_tool".into(), "{}".into()),
                ("calculate".into(), "{\"expression\": ".into()),
                ("calculate".into(), "{\"wrong\": 1}".into()),
                ("calculate".into(), "{\"expression\": \"1/0\"}".into()),
                ("calculate".into(), "{\"expression\": \"6*7\"}".into()),
            ],
        ),
        _ => Act::say(asked.results.join(" | ")),
    })
    .await;
    assert_eq!(reply.kind, ReplyKind::Answered);
    let parts = ["no tool `no_such_tool`", "not valid JSON", "do not fit", "division by zero", "6*7 = 42"];
    for (result, part) in reply.text.split(" | ").zip(parts) {
        assert!(result.contains(part), "{result} / {part}");
    }
    assert_eq!(reply.tool_calls, 5);
    assert_eq!(model.faults(), Vec::<String>::new(), "the vendor would refuse nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_of_one_answer_are_capped() {
    let (reply, model, _sandbox) = ask(&[], |asked, number| match number {
        0 => {
            let call = |n: usize| ("calculate".to_owned(), format!("{{\"expression\": \"{n}+0\"}}"));
            Act::Call(String::new(), (0..200).map(call).collect())
        }
        _ => {
            let ran = asked.results.iter().filter(|result| result.contains("+0 = ")).count();
            let refused = asked.results.iter().filter(|result| result.contains("at most 32 tool calls")).count();
            Act::say(format!("{ran} ran, {refused} refused"))
        }
    })
    .await;
    assert_eq!(reply.text, "32 ran, 168 refused");
    assert_eq!(model.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_tool_calls_end_in_an_answer_without_tools() {
    let settings = [("GATEWAY_MAX_TOOL_ITERATIONS", "4")];
    let (reply, model, _sandbox) = ask(&settings, |asked, number| match asked.body["tool_choice"].as_str() {
        Some("none") => Act::say("enough"),
        _ => Act::call("calculate", &format!("{{\"expression\": \"{number}\"}}")),
    })
    .await;
    assert_eq!((reply.text.as_str(), reply.tool_calls), ("enough", 4));
    assert_eq!(model.asked().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_faults_are_classified_alike() {
    let retried = |_: &Asked, number: usize| match number {
        0 => Act::Refuse(429, vec![("retry-after", "1".into())], "slow down".into()),
        1 => Act::Refuse(529, vec![], "overloaded".into()),
        2 => Act::Cut(vec!["half".into()]),
        3 => Act::Garbage,
        4 => Act::ErrorInStream("overloaded".into()),
        5 => Act::Stall,
        _ => Act::say("there"),
    };
    let settings = [("CLARA_MODEL_RETRIES", "6"), ("CLARA_MODEL_TIMEOUT_SECONDS", "1")];
    let (reply, model, _sandbox) = ask_wire(Wire::Anthropic, &settings, retried).await;
    assert_eq!((reply.kind, reply.text.as_str(), model.asked().len()), (ReplyKind::Answered, "there", 7));

    let (reply, ..) = ask_wire(Wire::Anthropic, &[("ANTHROPIC_API_KEY", "wrong")], |_, _| Act::say("never")).await;
    assert!(reply.text.contains("did not accept my key"), "{}", reply.text);
    let long =
        |_: &Asked, _: usize| Act::Refuse(400, vec![], "prompt is too long: 300000 tokens > 200000 maximum".into());
    let (reply, ..) = ask_wire(Wire::Anthropic, &[], long).await;
    assert!(reply.text.contains("too long for the model"), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_cut_at_the_length_limit_says_so() {
    for wire in [Wire::OpenAi, Wire::Anthropic] {
        let (reply, ..) = ask_wire(wire, &[], |_, _| Act::SayCut("once upon a".into())).await;
        assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "once upon a"));
        assert_eq!(reply.notices, ["the answer was cut at the model's length limit"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_that_takes_too_long_answers_with_what_it_has() {
    let (reply, ..) = ask(&[("CLARA_TURN_SECONDS", "1")], |asked, number| match asked.body["tool_choice"].as_str() {
        Some("none") => Act::say("enough"),
        _ => {
            let call = Act::call("calculate", &format!("{{\"expression\": \"{number}\"}}"));
            Act::After(Duration::from_millis(600), Box::new(call))
        }
    })
    .await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "enough"));
    assert!(reply.tool_calls < 10, "{}", reply.tool_calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_that_gives_no_result_in_time_is_told_to_the_model() {
    let model = FakeModel::start(|asked, _| match asked.results.len() {
        0 => Act::After(Duration::from_secs(2), Box::new(Act::call("calculate", r#"{"expression": "6*7"}"#))),
        _ => Act::say(asked.results.join("")),
    })
    .await;
    let plan = Sandbox::plan().set("CLARA_TOOL_TIMEOUT_SECONDS", 2).with(model.as_openai());
    let mut sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let message = terminal.says("sum").await;
    testkit::eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    sandbox.kill("tool-runner", 0);
    let reply = terminal.reply_to(&message).await;
    assert_eq!(reply.text, "skipped: it gave no result in time");
    // The call was barred: a runner that comes back does not run it.
    sandbox.start_service("tool-runner", 1);
    sandbox.ready(1).await;
    assert!(!sandbox.service("tool-runner", 1).log().contains("ran a tool"));
}
