//! Servers that want to know who asks: authorised by a person, with tokens that nobody else
//! sees, and by nobody who cannot be trusted (attacks S15, S16).

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use domain::mcp::{Authorisation, Launch, McpCommand, Status, callback};
use domain::turn::ReplyKind;
use serde_json::Value;
use testkit::model::FakeModel;
use testkit::oauth::{Protected, Quirk, SECRET};
use testkit::postgres::Postgres;
use testkit::process::command;
use testkit::sandbox::{Plan, Sandbox};
use testkit::terminal::Terminal;

use crate::asking::ANN;
use crate::mcp::{calls_tool, clara, install, lines, mcp, obedient, plan};

async fn start(folder: &std::path::Path, server: &Protected, replicas: usize) -> (FakeModel, Sandbox, Terminal) {
    let model = obedient().await;
    let sandbox = plan(&model, folder).set("CLARA_MCP_TIMEOUT_SECONDS", 20).replicas(replicas).start().await;
    let launch = Launch::Http { url: server.url(), headers: Default::default() };
    let answer = install(&sandbox.bus().await, ANN, "far", launch, false).await.unwrap();
    assert_eq!(answer.servers[0].status, Status::PendingAuth, "{answer:?}");
    let terminal = sandbox.terminal("main").await;
    (model, sandbox, terminal)
}

/// Opens a page as a browser does; where it led to in the end.
async fn open(address: &str) -> String {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = client.get(address).send().await.unwrap();
    page.headers()["location"].to_str().unwrap().to_owned()
}

fn begin(redirect_uri: &str) -> McpCommand {
    let redirect_uri = redirect_uri.to_owned();
    oauth(Authorisation::Start { redirect_uri, client_id: None, client_secret: None })
}

fn complete(back: &str) -> McpCommand {
    oauth(Authorisation::Complete(callback(back, "")))
}

fn oauth(what: Authorisation) -> McpCommand {
    McpCommand::Oauth { name: "far".into(), for_all: false, what }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_agrees_on_a_page_and_the_tokens_are_nobody_elses() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Protected::start(Quirk::None).await);
    let (model, mut sandbox, mut terminal) = start(folder.path(), &server, 1).await;
    let gone = calls_tool(&mut terminal, "far__whoami", "{}").await;
    assert!(gone.text.contains("there is no tool `far__whoami`"), "{}", gone.text);

    // The command waits for what the page leads back to.
    let mut waiting = command("clara", sandbox.folder());
    waiting.env("NATS_URL", sandbox.nats.url()).env("CLI_USER_ID", ANN).stdout(Stdio::piped());
    let mut waiting = waiting.args(["mcp", "--json", "oauth-start", "far"]).spawn().unwrap();
    let mut said = BufReader::new(waiting.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = serde_json::from_str::<Value>(&line).unwrap()["open"].as_str().unwrap().to_owned();
    assert!(address.starts_with(&format!("http://{}/authorize?", server.address)), "{address}");
    let page = reqwest::get(&address).await.unwrap();
    assert_eq!(page.text().await.unwrap(), "Clara has heard. You can close this page.");
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(waiting.wait().unwrap().success() && rest.contains(r#""name":"far__whoami""#), "{rest}");

    assert!(calls_tool(&mut terminal, "far__whoami", "{}").await.text.contains("you are known"));
    sandbox.kill("tool-runner", 0);
    sandbox.start_service("tool-runner", 0);
    sandbox.ready(1).await;
    assert!(calls_tool(&mut terminal, "far__whoami", "{}").await.text.contains("you are known"), "after a restart");
    assert_eq!(server.called().len(), 2);
    assert_eq!(lines(clara(&sandbox, ANN, &["oauth-status", "far", "--json"]))[0]["text"], "authorised");

    // No token stands anywhere in plain, nor what it could be had with.
    let asked = model.asked().iter().map(|asked| asked.body.to_string()).collect::<String>();
    let mut kept = asked.into_bytes();
    for file in std::fs::read_dir(sandbox.folder().join("data")).unwrap().map(|file| file.unwrap().path()) {
        kept.extend(std::fs::read(file).unwrap_or_default());
    }
    for log in std::fs::read_dir(sandbox.folder()).unwrap().map(|file| file.unwrap().path()) {
        kept.extend(std::fs::read(log).unwrap_or_default());
    }
    for token in server.tokens().into_iter().chain(["code-canary".into()]) {
        assert!(!kept.windows(token.len()).any(|part| part == token.as_bytes()), "{token}");
    }
    assert!(clara(&sandbox, ANN, &["uninstall", "far"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_by_whichever_replica_asks() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Protected::start(Quirk::ShortLived).await);
    let (_model, sandbox, mut terminal) = start(folder.path(), &server, 2).await;
    let bus = sandbox.bus().await;
    let address = mcp(&bus, ANN, begin("http://127.0.0.1:1/callback")).await.unwrap().text;
    let answer = mcp(&bus, ANN, complete(&open(&address).await)).await.unwrap();
    assert!(answer.tools[0].is_approved, "{answer:?}");
    // Also by two at once.
    let mut other = sandbox.terminal("other").await;
    for _ in 0..3 {
        let (one, two) =
            tokio::join!(calls_tool(&mut terminal, "far__whoami", "{}"), calls_tool(&mut other, "far__whoami", "{}"));
        for reply in [one, two] {
            assert!(reply.kind == ReplyKind::Answered && reply.text.contains("you are known"), "{}", reply.text);
        }
    }
    let renewed = server.asked().iter().filter(|asked| *asked == "POST /token").count();
    assert_eq!(renewed, 2, "one for the code, one that renewed: {:?}", server.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_old_is_authorised_alike() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Protected::start(Quirk::Old).await);
    let (_model, sandbox, mut terminal) = start(folder.path(), &server, 1).await;
    let bus = sandbox.bus().await;
    let address = mcp(&bus, ANN, begin("http://127.0.0.1:1/callback")).await.unwrap().text;
    mcp(&bus, ANN, complete(&open(&address).await)).await.unwrap();
    assert!(calls_tool(&mut terminal, "far__whoami", "{}").await.text.contains("you are known"));
    assert_eq!(server.called(), ["at-canary-2"]);
    // What it does not take has not happened, and nobody is asked whether it has.
    server.forgets();
    let reply = calls_tool(&mut terminal, "far__whoami", "{}").await;
    assert!(reply.kind == ReplyKind::Answered && reply.text.contains("it did not take this"), "{}", reply.text);
    assert_eq!(server.called().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_off_in_the_middle_of_a_call_may_have_done_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Protected::start(Quirk::BreaksOff).await);
    let (_model, sandbox, mut terminal) = start(folder.path(), &server, 1).await;
    let bus = sandbox.bus().await;
    let address = mcp(&bus, ANN, begin("http://127.0.0.1:1/callback")).await.unwrap().text;
    mcp(&bus, ANN, complete(&open(&address).await)).await.unwrap();
    let reply = calls_tool(&mut terminal, "far__whoami", "{}").await;
    assert_eq!(reply.kind, ReplyKind::Question, "{}", reply.text);
    assert!(reply.text.contains("may or may not have happened"), "{}", reply.text);
    assert_eq!(server.called().len(), 1, "it is not called again unasked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_once_and_only_for_who_began() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Protected::start(Quirk::None).await);
    let (_model, sandbox, _terminal) = start(folder.path(), &server, 1).await;
    let bus = sandbox.bus().await;
    for elsewhere in ["http://evil.example/", "http://127.0.0.1.evil.example/", "javascript:alert(1)"] {
        assert!(mcp(&bus, ANN, begin(elsewhere)).await.unwrap_err().contains("leads nowhere safe"));
    }
    assert!(mcp(&bus, "cli-bob", begin("http://127.0.0.1:1/callback")).await.is_err());
    let address = mcp(&bus, ANN, begin("http://127.0.0.1:1/callback")).await.unwrap().text;
    let back = open(&address).await;
    let forged = [
        back.replace("state=", "state=x"),
        back.replace("iss=http%3A%2F%2F127", "iss=https%3A%2F%2F128"),
        // Issuers are compared as they are written (RFC 9207, section 2.4).
        format!("{back}%2F"),
        back.split("&iss=").next().unwrap().to_owned(),
        back.replace("code=", "nocode="),
    ];
    for forged in forged {
        assert!(mcp(&bus, ANN, complete(&forged)).await.is_err(), "{forged}");
    }
    mcp(&bus, ANN, complete(&back)).await.unwrap();
    let again = mcp(&bus, ANN, complete(&back)).await.unwrap_err();
    assert!(again.contains("no authorisation has begun"), "{again}");
    // Nor does an older one count when another has begun, and nobody is asked for tokens.
    let tokens = || server.asked().iter().filter(|asked| asked.contains("/token")).count();
    let asked = tokens();
    assert!(asked > 0);
    mcp(&bus, ANN, begin("http://127.0.0.1:1/callback")).await.unwrap();
    let replayed = mcp(&bus, ANN, complete(&back)).await.unwrap_err();
    assert!(replayed.contains("belongs to no authorisation"), "{replayed}");
    assert_eq!(tokens(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_authorised_by_whom_nobody_can_trust() {
    let model = obedient().await;
    for (quirk, why) in [
        (Quirk::NoPkce, "PKCE"),
        (Quirk::Page("javascript:alert(1)"), "nobody should open"),
        (Quirk::Page("https://as.example/$(calc)"), "nobody should open"),
        (Quirk::Page("http://as.example/authorize"), "nobody should open"),
        (Quirk::Issuer, "issuer mismatch"),
        (Quirk::MetadataAt("http://169.254.169.254/latest/meta-data".into()), ""),
        (Quirk::MetadataAt("file:///etc/passwd".into()), ""),
        (Quirk::MetadataAt("gopher://127.0.0.1/x".into()), ""),
    ] {
        let (folder, server) = (tempfile::tempdir().unwrap(), Protected::start(quirk.clone()).await);
        let sandbox = plan(&model, folder.path()).only(&["tool-runner"]).start().await;
        let bus = sandbox.bus().await;
        let launch = Launch::Http { url: server.url(), headers: Default::default() };
        install(&bus, ANN, "far", launch, false).await.unwrap();
        let begun = mcp(&bus, ANN, begin("http://127.0.0.1:1/callback")).await;
        match (&quirk, &begun) {
            // What a challenge points to is left alone; the well-known place is as good.
            (Quirk::MetadataAt(_), Ok(answer)) => {
                assert!(answer.text.starts_with(&format!("http://{}/authorize?", server.address)), "{}", answer.text);
            }
            (_, Err(said)) => assert!(!why.is_empty() && said.contains(why), "{quirk:?}: {said}"),
            (_, Ok(answer)) => panic!("{quirk:?}: {}", answer.text),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_authorised_without_a_page_and_anew_when_its_token_is_over() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Protected::start(Quirk::ShortLived).await);
    let (_model, mut sandbox, mut terminal) = start(folder.path(), &server, 1).await;
    let machine = |secret: &str| {
        let mut clara = command("clara", sandbox.folder());
        clara.env("NATS_URL", sandbox.nats.url()).env("CLI_USER_ID", ANN);
        clara.args(["mcp", "oauth-machine", "far", "--client-id", "machine-1"]);
        let mut run = clara.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut run.stdin.take().unwrap(), format!("{secret}\n").as_bytes()).unwrap();
        run.wait_with_output().unwrap()
    };
    let refused = machine("another-secret-canary");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("invalid_client") && !said.contains("canary"), "{said}");
    let tokens = || server.asked().iter().filter(|asked| asked.ends_with("/token")).count();
    assert_eq!(tokens(), 1);
    assert!(machine(SECRET).status.success());
    assert_eq!(tokens(), 3, "the first token was over at once");
    assert!(calls_tool(&mut terminal, "far__whoami", "{}").await.text.contains("you are known"));
    sandbox.kill("tool-runner", 0);
    sandbox.start_service("tool-runner", 0);
    sandbox.ready(1).await;
    assert!(calls_tool(&mut terminal, "far__whoami", "{}").await.text.contains("you are known"), "after a restart");
    assert!(sandbox.logs().iter().all(|(_, log)| !log.contains("canary")), "no secret in a log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_elsewhere_is_taken_and_never_shown() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Protected::start(Quirk::None).await);
    let (_model, sandbox, _terminal) = start(folder.path(), &server, 1).await;
    let mut set = command("clara", sandbox.folder());
    set.env("NATS_URL", sandbox.nats.url()).env("CLI_USER_ID", ANN).args(["mcp", "oauth-set-token", "far"]);
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut set.stdin.take().unwrap(), b"at-wrong-canary\n").unwrap();
    let output = set.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && said.contains("authorised, but") && !said.contains("canary"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chat_a_token_is_named_by_its_variable_and_never_said() {
    const TOKEN: &str = "at-elsewhere-canary";
    let (folder, server, model) = (tempfile::tempdir().unwrap(), Protected::start(Quirk::None).await, obedient().await);
    server.knows(TOKEN);
    let sandbox = plan(&model, folder.path()).set("FAR_TOKEN", TOKEN).start().await;
    let launch = Launch::Http { url: server.url(), headers: Default::default() };
    install(&sandbox.bus().await, ANN, "far", launch, false).await.unwrap();
    let mut terminal = sandbox.terminal("main").await;
    let mut sets = async |token: &str| {
        let arguments = serde_json::json!({"server_name": "far", "token": token}).to_string();
        let asked = calls_tool(&mut terminal, "mcp_oauth_set_token", &arguments).await;
        assert!(asked.kind == ReplyKind::Question, "{asked:?}");
        terminal.asks("yes").await.text
    };
    assert!(sets("at-0123456789").await.contains("a token is not for a chat"));
    assert!(sets("${CUSTOM_OPENAI_API_KEY}").await.contains("is one of Clara's own settings"));
    assert!(sets("${NO_SUCH_TOKEN}").await.contains("NO_SUCH_TOKEN"));
    let said = sets("${FAR_TOKEN}").await;
    assert!(said.contains("Authorised. It offers:") && said.contains("far__whoami"), "{said}");
    assert!(calls_tool(&mut terminal, "far__whoami", "{}").await.text.contains("you are known"));
    assert!(model.asked().iter().all(|asked| !asked.body.to_string().contains("canary")), "no model reads it");
    assert!(sandbox.logs().iter().all(|(_, log)| !log.contains("canary")), "no secret in a log");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybodys_server_is_asked_with_the_tokens_of_who_asks() {
    let (folder, model) = (tempfile::tempdir().unwrap(), obedient().await);
    check_tokens_of_each(plan(&model, folder.path()).replicas(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybodys_server_is_asked_with_the_tokens_of_who_asks_on_postgres() {
    let (folder, model, postgres) = (tempfile::tempdir().unwrap(), obedient().await, Postgres::start());
    check_tokens_of_each(plan(&model, folder.path()).set("DATABASE_URL", postgres.url())).await;
}

async fn check_tokens_of_each(plan: Plan) {
    let server = Protected::start(Quirk::None).await;
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    let launch = Launch::Http { url: server.url(), headers: Default::default() };
    let answer = install(&bus, ANN, "far", launch.clone(), true).await.unwrap();
    assert_eq!(answer.servers[0].status, Status::PendingAuth, "{answer:?}");
    let authorised = async |user: &str, for_all: bool| {
        let whose = |command| match command {
            McpCommand::Oauth { name, what, .. } => McpCommand::Oauth { name, for_all, what },
            other => other,
        };
        let address = mcp(&bus, user, whose(begin("http://127.0.0.1:1/callback"))).await?.text;
        mcp(&bus, user, whose(complete(&open(&address).await))).await
    };
    let mut bob = Terminal::open(sandbox.bus().await, "cli-bob", "main").await;
    let mut carol = Terminal::open(sandbox.bus().await, "cli-carol", "main").await;
    let answer = authorised("cli-bob", false).await.unwrap();
    assert!(!answer.tools[0].is_approved && answer.servers[0].owner == "cli-bob", "{answer:?}");
    // Whoever comes first agrees to nothing for the others: an administrator sees it, and does.
    assert!(calls_tool(&mut bob, "far__whoami", "{}").await.text.contains("there is no tool"));
    let offered = mcp(&bus, ANN, McpCommand::Tools { name: "far".into() }).await.unwrap();
    let hashes = vec![offered.tools[0].hash.clone()];
    assert!(mcp(&bus, "cli-bob", McpCommand::Approve { name: "far".into(), hashes: hashes.clone() }).await.is_err());
    mcp(&bus, ANN, McpCommand::Approve { name: "far".into(), hashes }).await.unwrap();
    assert!(authorised("cli-carol", true).await.unwrap_err().contains("administrator"));
    assert!(calls_tool(&mut bob, "far__whoami", "{}").await.text.contains("you are known"));
    let gone = calls_tool(&mut carol, "far__whoami", "{}").await.text;
    assert!(gone.contains("there is no tool"), "nobody acts with what another was given: {gone}");
    authorised("cli-carol", false).await.unwrap();
    for _ in 0..2 {
        assert!(calls_tool(&mut carol, "far__whoami", "{}").await.text.contains("you are known"));
        assert!(calls_tool(&mut bob, "far__whoami", "{}").await.text.contains("you are known"));
    }
    // Codes have numbers too.
    assert_eq!(server.called(), [2, 4, 2, 4, 2].map(|of| format!("at-canary-{of}")));

    // What an administrator decides holds for all of them, and what is theirs is no administrator's.
    mcp(&bus, ANN, McpCommand::Enable { name: "far".into(), is_enabled: false }).await.unwrap();
    assert!(calls_tool(&mut bob, "far__whoami", "{}").await.text.contains("there is no tool"));
    assert!(authorised("cli-dave", false).await.unwrap_err().contains("is disabled"));
    mcp(&bus, ANN, McpCommand::Enable { name: "far".into(), is_enabled: true }).await.unwrap();
    // What is no way in is not kept, and stands before nothing.
    let wrong = Authorisation::SetToken { access_token: "at-wrong".into(), refresh_token: None };
    assert!(mcp(&bus, "cli-dave", oauth(wrong)).await.unwrap_err().contains("not authorised, since"));
    assert!(mcp(&bus, "cli-dave", oauth(Authorisation::Status)).await.unwrap().text.starts_with("none"));
    assert!(mcp(&bus, "cli-bob", McpCommand::Restart { name: "far".into() }).await.is_err());
    let offered = mcp(&bus, ANN, McpCommand::Tools { name: "far".into() }).await.unwrap();
    assert_eq!(offered.tools[0].name, "far__whoami", "who agrees to what it offers sees it");

    // Who takes theirs back has what is everybody's, if that is authorised for all.
    mcp(&bus, "cli-bob", McpCommand::Uninstall { name: "far".into() }).await.unwrap();
    assert!(calls_tool(&mut bob, "far__whoami", "{}").await.text.contains("there is no tool"));
    assert!(mcp(&bus, "cli-bob", McpCommand::Uninstall { name: "far".into() }).await.is_err());
    authorised(ANN, true).await.unwrap();
    assert!(calls_tool(&mut bob, "far__whoami", "{}").await.text.contains("you are known"));
    assert!(calls_tool(&mut carol, "far__whoami", "{}").await.text.contains("you are known"));
    assert_eq!(server.called()[5..], [6, 4].map(|of| format!("at-canary-{of}")));

    // With the server goes all that it was authorised with.
    mcp(&bus, ANN, McpCommand::Uninstall { name: "far".into() }).await.unwrap();
    let answer = install(&bus, ANN, "far", launch, true).await.unwrap();
    assert_eq!(answer.servers[0].status, Status::PendingAuth, "{answer:?}");
    let carols = mcp(&bus, "cli-carol", oauth(Authorisation::Status)).await.unwrap();
    assert!(carols.text.starts_with("none"), "{}", carols.text);

    let set =
        clara(&sandbox, ANN, &["limit", "set", "--user", "cli-bob", "--server", "far", "--per-day", "4", "--json"]);
    assert_eq!(lines(set)[0]["per_day"], 4);

    // How much each called is theirs to see, and an administrator's.
    let used = lines(clara(&sandbox, "cli-carol", &["usage", "--json"]));
    assert!(used.len() == 1 && used[0]["user"] == "cli-carol" && used[0]["calls"] == 3, "{used:?}");
    assert!(!clara(&sandbox, "cli-carol", &["usage", "--all"]).status.success());
    assert_eq!(lines(clara(&sandbox, ANN, &["usage", "--all", "--json"])).len(), 2);
    let made = lines(clara(&sandbox, "cli-bob", &["calls", "--json"]));
    assert!(made.len() == 4 && made[0]["tool"] == "whoami" && made[0]["error"] == "", "{made:?}");
}
