//! Pages and searches: what is read of them, and what is never asked for.

use domain::approval::Question;
use domain::turn::ReplyKind;
use testkit::sandbox::{Plan, Sandbox};
use testkit::web::{FakeWeb, KEY};

/// The services that a conversation with the offline model needs, near this piece of the web.
fn plan(web: &FakeWeb) -> Plan {
    Sandbox::plan().set("CLARA_WEB_PRIVATE_HOSTS", web.address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_read_and_nothing_near_is_asked() {
    let (web, elsewhere) = (FakeWeb::start().await, FakeWeb::start().await);
    let sandbox = plan(&web).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut fetches = async |address: String, more: &str| {
        terminal.asks(&format!(r#"call fetch_page with {{"url": "{address}"{more}}}"#)).await.text
    };
    let at = |path: &str| format!("http://{}{path}", web.address);

    let text = fetches(at("/moved"), "").await;
    assert!(text.contains("/wombats") && text.contains("# Wombats") && text.contains("digs at night"), "{text}");
    assert!(!text.contains("Home"), "menus are left out: {text}");
    assert_eq!(web.asked(), ["/moved", "/wombats"]);
    let text = fetches(at("/long"), r#", "start": 20000"#).await;
    assert!(text.contains("0123456789") && !text.contains("read on"), "{text}");
    assert!(fetches(at("/long"), "").await.contains(r#"20000 of 30000 characters; read on with "start": 20000"#));
    assert!(fetches(at("/huge"), "").await.contains("xxx"));
    for (address, why) in [
        // Whoever reads it may end of it; nobody else does.
        (at("/deep"), "cannot be taken apart"),
        (at("/slow"), "cannot be taken apart"),
        (at("/image"), "cannot be read here"),
        (at("/nothing"), "404"),
        (at("/loop"), "more than 5 times"),
        // Attack S15: every hop, and every name.
        (at("/to-metadata"), "not on the public internet"),
        (at("/to-another-port"), "not on the public internet"),
        (at("/to-file"), "http:// or https://"),
        (format!("http://{}/", elsewhere.address), "not on the public internet"),
        (format!("http://localhost:{}/", elsewhere.address.port()), "not on the public internet"),
        (format!("http://0x7f.1:{}/", elsewhere.address.port()), "not on the public internet"),
        (format!("http://[::ffff:127.0.0.1]:{}/", elsewhere.address.port()), "not on the public internet"),
    ] {
        let text = fetches(address.clone(), "").await;
        assert!(text.contains(why), "{address}: {text}");
    }
    assert_eq!(elsewhere.asked(), [""; 0], "nothing near was asked");
    assert!(fetches(at("/wombats"), "").await.contains("digs at night"), "it reads on");
    // What was refused is in the log, for whoever looks after her.
    let log = sandbox.logs().into_iter().map(|(_, log)| log).collect::<String>();
    assert!(log.contains("refused to ask") && log.contains("169.254.169.254"), "{log}");
}

/// What was read may say anything, so what goes out after it is asked for (attack S11).
#[tokio::test(flavor = "multi_thread")]
async fn who_has_read_a_page_asks_before_going_on_to_another() {
    let web = FakeWeb::start().await;
    let model = testkit::model::FakeModel::start({
        let address = web.address;
        move |asked, _| match asked.results.len() {
            0 => testkit::model::Act::call("fetch_page", &format!(r#"{{"url": "http://{address}/wombats"}}"#)),
            1 => testkit::model::Act::call("fetch_page", &format!(r#"{{"url": "http://{address}/long?d=CANARY"}}"#)),
            _ => testkit::model::Act::say("done"),
        }
    })
    .await;
    let sandbox = plan(&web).with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks("read about wombats").await;
    assert_eq!((reply.kind, reply.asks), (ReplyKind::Question, Some(Question::Approval)), "{}", reply.text);
    assert!(reply.text.contains("CANARY"), "it shows where it would go: {}", reply.text);
    assert_eq!(web.asked(), ["/wombats"], "and has not gone there");
    let read = &model.asked()[1].results[0];
    assert!(read.starts_with("<untrusted") && read.contains("digs at night"), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_search_and_a_wrong_key_is_said() {
    let web = FakeWeb::start().await;
    let base = format!("http://{}", web.address);
    let ask = async |plan: Plan| {
        let sandbox = plan.start().await;
        let mut terminal = sandbox.terminal("main").await;
        terminal.asks(r#"call web_search with {"query": "wombats", "max_results": 2}"#).await.text
    };
    let text = ask(plan(&web).set("TAVILY_API_KEY", KEY).set("TAVILY_BASE_URL", &base)).await;
    for part in ["In short: wombats.", "1. Page 1", "https://example.org/2", "All about wombats."] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("Page 3"), "{text}");
    let text = ask(plan(&web).set("SEARXNG_URL", &base)).await;
    assert!(text.contains("2. Page 2") && !text.contains("Page 3"), "{text}");
    let text = ask(plan(&web).set("TAVILY_API_KEY", "tvly-wrong").set("TAVILY_BASE_URL", &base)).await;
    assert!(text.contains("check TAVILY_API_KEY") && !text.contains("tvly-wrong"), "{text}");
    assert_eq!(web.asked(), ["/search", "/search?q=wombats&format=json", "/search"]);
    let text = ask(plan(&web)).await;
    assert!(text.contains("no tool"), "without an engine there is none: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_is_left_alone_for_a_while() {
    let web = FakeWeb::start().await;
    let gone = format!("http://{}", FakeWeb::start().await.address);
    let sandbox = plan(&web).set("SEARXNG_URL", &gone).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut asks = async || terminal.asks(r#"call web_search with {"query": "wombats"}"#).await.text;
    for _ in 0..3 {
        assert!(asks().await.contains("cannot be asked"));
    }
    let text = asks().await;
    assert!(text.contains("left alone"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_says_how_its_server_is_run() {
    let web = FakeWeb::start().await;
    let base = format!("http://{}/", web.address);
    let sandbox = plan(&web).set("CLARA_GITHUB_RAW_URL", &base).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut plans =
        async |source: &str| terminal.asks(&format!(r#"call mcp_plan with {{"source": "{source}"}}"#)).await.text;
    let python = plans("github:acme/weather-mcp").await;
    let run = r#"["uvx","--from","git+https://github.com/acme/weather-mcp","serve-weather"]"#;
    assert!(python.contains(run) && python.contains("as `weather`"), "{python}");
    assert!(plans("acme/other").await.contains(r#"["npx","-y","-q","github:acme/other"]"#));
    assert!(plans("github:../weather-mcp").await.contains("\"../weather-mcp\" is no "));
    let asked = web.asked();
    assert_eq!(asked.len(), 4, "nobody is asked for what is no repository: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_found_in_smitherys_registry() {
    let web = FakeWeb::start().await;
    let base = format!("http://{}", web.address);
    let ask = async |key: &str| {
        let sandbox = plan(&web).set("SMITHERY_API_KEY", key).set("CLARA_SMITHERY_BASE_URL", &base).start().await;
        let mut terminal = sandbox.terminal("main").await;
        terminal.asks(r#"call smithery_search with {"query": "take notes"}"#).await.text
    };
    let text = ask(KEY).await;
    assert!(
        text.contains("<untrusted") && text.contains("- smithery-hosted:exa (A server): For q=take+notes"),
        "{text}"
    );
    assert!(text.contains("- smithery:@acme/notes"), "{text}");
    let text = ask("wrong-0123456789").await;
    assert!(text.contains("check SMITHERY_API_KEY") && !text.contains("wrong-0123456789"), "{text}");
}
