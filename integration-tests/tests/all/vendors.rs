//! The two wires: streaming, tool calls by deltas, usage, tiers, headers.

use domain::turn::ReplyKind;
use proto::live::{DeltaKind, TurnDelta};
use testkit::DEADLINE;
use testkit::model::{Act, Asked, FakeModel};
use testkit::sandbox::{Plan, Sandbox};

fn script(asked: &Asked, _: usize) -> Act {
    match (asked.last_user.as_str(), asked.results.len()) {
        ("sum", 0) => Act::Call(
            "I calculate. ".into(),
            vec![
                ("calculate".into(), r#"{"expression": "6*7"}"#.into()),
                ("current_time".into(), r#"{"timezone": "Europe/Oslo"}"#.into()),
            ],
        ),
        ("sum", _) => Act::Say(vec!["It is ".into(), asked.results.join(" and ")]),
        (other, _) => Act::say(format!("re: {other}")),
    }
}

async fn check(model: FakeModel, plan: Plan) -> (FakeModel, Sandbox) {
    let sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks("sum").await;
    assert_eq!(reply.kind, ReplyKind::Answered, "{} {:?}", reply.text, model.faults());
    assert!(reply.text.contains("6*7 = 42") && reply.text.contains("Europe/Oslo"), "{}", reply.text);
    assert_eq!((reply.tool_calls, reply.usage.input_tokens, reply.usage.output_tokens), (2, 22, 14));
    // The history goes out in the vendor's own form.
    assert_eq!(terminal.asks("and on").await.text, "re: and on");
    assert_eq!(model.faults(), Vec::<String>::new());
    (model, sandbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_compatible_wire() {
    let model = FakeModel::start(script).await;
    let plan = Sandbox::plan().with(model.as_openai());
    check(model, plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_wire() {
    let model = FakeModel::start(script).await;
    let plan = Sandbox::plan().with(model.as_anthropic());
    let (model, _sandbox) = check(model, plan).await;
    assert_eq!(model.asked()[0].model, "claude-sonnet-4-5");
}

/// A model that knows no native calls: they are text, which nobody is shown.
#[tokio::test(flavor = "multi_thread")]
async fn calls_as_xml() {
    let model = FakeModel::start(|asked, _| {
        let said = asked.last_user.as_str();
        if said.starts_with("<function_results>") {
            return Act::say(format!("It is {}", said.lines().nth(2).unwrap_or_default()));
        }
        match said {
            "sum" => Act::Say(
                [
                    "I calc",
                    "ulate. <func",
                    "tion_calls>\n<invoke name=\"calculate\">\n<parameter name=\"expression\">",
                    "6*7</parameter>\n</invoke>\n</function_",
                    "calls>",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
            other => Act::say(format!("re: {other} <b>")),
        }
    })
    .await;
    let sandbox = Sandbox::plan().with(model.as_openai()).set("TOOL_CALL_MODE", "xml").start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    let mut shown = bus.watch_deltas("cli", &terminal.conversation).await.unwrap();
    let reply = terminal.asks("sum").await;
    assert_eq!((reply.text.as_str(), reply.tool_calls), ("It is 6*7 = 42", 1), "{:?}", model.faults());
    let mut texts = String::new();
    while !texts.contains("42") {
        let delta: TurnDelta = tokio::time::timeout(DEADLINE, shown.next()).await.unwrap().unwrap();
        if let DeltaKind::Text { tail, .. } = delta.kind {
            texts.push_str(&tail);
        }
    }
    assert_eq!(texts, "I calculate. It is 6*7 = 42", "no part of a call is shown");
    assert_eq!(terminal.asks("and on").await.text, "re: and on <b>");
    let asked = model.asked();
    assert!(asked.iter().all(|asked| asked.body["tools"].is_null()), "no tool goes out in the vendor's form");
    assert!(asked[0].body["messages"][0]["content"].as_str().unwrap().contains(r#"{"name":"calculate""#));
    assert_eq!(model.faults(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn prefixes_choose_the_model_and_tools_never_run_on_low() {
    let model = FakeModel::start(script).await;
    let tiers = ["HIGH", "MID", "LOW"].map(|tier| (format!("CUSTOM_OPENAI_MODEL_{tier}"), tier.to_lowercase()));
    let plan = tiers.iter().fold(Sandbox::plan().with(model.as_openai()), |plan, (name, value)| plan.set(name, value));
    let sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    for (text, tier) in [("!opus a", "high"), ("!sonnet b", "mid"), ("!fast c", "low"), ("d", "mid")] {
        let reply = terminal.asks(text).await;
        assert_eq!(reply.tier.as_str(), tier);
        assert_eq!(model.asked().pop().unwrap().model, tier, "{text}");
    }
    let before = model.asked().len();
    let reply = terminal.asks("!low sum").await;
    assert!(reply.text.contains("6*7 = 42"), "{}", reply.text);
    let models: Vec<String> = model.asked()[before..].iter().map(|asked| asked.model.clone()).collect();
    assert_eq!(models, ["low", "mid", "mid"], "the low model's calls are not run");
    assert_eq!(model.faults(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn tier_is_chosen_by_the_low_model_and_kept_by_a_short_yes() {
    let model = FakeModel::start(|asked, _| {
        let sorts = asked.body["messages"][0]["content"].to_string().contains("You sort requests");
        match (sorts, asked.last_user.as_str()) {
            (true, "prove it") => Act::say("HIGH"),
            (true, _) => Act::say("LOW"),
            (false, said) => Act::say(format!("re: {said}")),
        }
    })
    .await;
    let tiers = ["HIGH", "MID", "LOW"].map(|tier| (format!("CUSTOM_OPENAI_MODEL_{tier}"), tier.to_lowercase()));
    let plan = tiers.iter().fold(Sandbox::plan().with(model.as_openai()), |plan, (name, value)| plan.set(name, value));
    let sandbox = plan.set("AUTO_TIER_SELECTION", true).start().await;
    let mut terminal = sandbox.terminal("main").await;
    for (text, tier) in [("prove it", "high"), ("yes", "high"), ("hello there", "low"), ("!mid hello", "mid")] {
        assert_eq!(terminal.asks(text).await.tier.as_str(), tier, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrouter_and_nanogpt_speak_that_wire_under_their_own_settings() {
    for (provider, prefix) in [("openrouter", "OPENROUTER"), ("nanogpt", "NANOGPT")] {
        let model = FakeModel::start(script).await;
        let plan = Sandbox::plan()
            .set("LLM_PROVIDER", provider)
            .set(&format!("{prefix}_API_KEY"), testkit::model::KEY)
            .set(&format!("{prefix}_BASE_URL"), format!("{}/v1", model.url()))
            .set(&format!("{prefix}_MODEL_MID"), "their-model")
            .set("OPENROUTER_SITE", "https://clara.example")
            .set("OPENROUTER_TITLE", "Ann's Clara");
        let (model, _sandbox) = check(model, plan).await;
        let asked = model.asked().remove(0);
        assert_eq!(asked.model, "their-model");
        let sent = |name: &str| asked.headers.get(name).map(String::as_str);
        let expected = (provider == "openrouter").then_some(("https://clara.example", "Ann's Clara"));
        assert_eq!(sent("http-referer").zip(sent("x-title")), expected, "{provider}");
    }
}
