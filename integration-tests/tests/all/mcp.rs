//! Servers that offer tools: real ones that nobody here wrote, and one that misbehaves on
//! demand.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::mcp::{Launch, McpAnswer, McpCommand, McpRequest, Status};
use domain::turn::{Reply, ReplyKind};
use proto::terminal::Saying;
use serde_json::Value;
use testkit::eventually;
use testkit::model::{Act, Asked, FakeModel};
use testkit::process::command;
use testkit::sandbox::{Plan, Sandbox};
use testkit::terminal::Terminal;
use testkit::web::FakeWeb;

use crate::asking::{ANN, principal};

const PATIENCE: Duration = Duration::from_secs(60);

/// Where the real servers are.
pub(crate) fn servers() -> PathBuf {
    let folder = std::env::var_os("CLARA_TEST_MCP_FOLDER");
    folder.map(PathBuf::from).expect("CLARA_TEST_MCP_FOLDER names real MCP servers: run the tests by `./dev test`")
}

pub(crate) fn everything() -> PathBuf {
    servers().join("node_modules/@modelcontextprotocol/server-everything")
}

/// A model that calls the tool that it is told to: `call <name> <arguments>`.
pub(crate) async fn obedient() -> FakeModel {
    FakeModel::start(|asked: &Asked, _| {
        if let Some(result) = asked.results.last() {
            return Act::say(format!("result: {result}"));
        }
        match asked.last_user.strip_prefix("call ").and_then(|rest| rest.split_once(' ')) {
            Some((name, arguments)) => Act::call(name, arguments),
            None => Act::say("all right"),
        }
    })
    .await
}

/// A policy that lets tools of servers run, with the programs of this machine on the path.
pub(crate) fn plan(model: &FakeModel, folder: &Path) -> Plan {
    let policy = folder.join("policy.toml");
    std::fs::write(&policy, "[[rule]]\nruling = 'allow'\ntools = ['group:mcp']\n").unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let path = format!("{}:{}", servers().display(), path.display());
    let plan = Sandbox::plan().with(model.as_openai()).set("CLARA_POLICY_FILE", policy.display()).set("PATH", path);
    plan.set("CLARA_MCP_TIMEOUT_SECONDS", 2)
}

pub(crate) async fn mcp(bus: &Bus, user: &str, command: McpCommand) -> Result<McpAnswer, String> {
    let request = McpRequest { principal: principal(user), command };
    bus.request(Endpoints::ToolsMcp, &request, PATIENCE).await.map_err(|err| err.to_string())
}

pub(crate) async fn install(
    bus: &Bus,
    user: &str,
    name: &str,
    launch: Launch,
    for_all: bool,
) -> Result<McpAnswer, String> {
    let command = McpCommand::Install { source: "test".into(), name: name.into(), launch, for_all };
    mcp(bus, user, command).await
}

pub(crate) fn process(command: &[&str], env: &[(&str, String)]) -> Launch {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Launch::Stdio { command: command.iter().map(|part| (*part).to_owned()).collect(), env }
}

pub(crate) fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}

pub(crate) fn rogue(folder: &Path) -> Launch {
    process(&["python3", &fixture("rogue.py"), folder.to_str().unwrap()], &[])
}

/// What the misbehaving server was called with.
pub(crate) fn calls(folder: &Path) -> Vec<String> {
    let calls = std::fs::read_to_string(folder.join("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

pub(crate) fn clara(sandbox: &Sandbox, user: &str, arguments: &[&str]) -> Output {
    let mut clara = command("clara", sandbox.folder());
    clara.env("NATS_URL", sandbox.nats.url()).env("CLI_USER_ID", user);
    clara.arg("mcp").args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
pub(crate) fn lines(output: Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) async fn calls_tool(terminal: &mut Terminal, name: &str, arguments: &str) -> Reply {
    terminal.asks(&format!("call {name} {arguments}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_is_installed_called_and_removed() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let package = everything();
    let package = package.to_str().unwrap();

    // Nobody is there to agree; then somebody has.
    let unseen = clara(&sandbox, ANN, &["install", package, "--name", "everything", "--", "stdio"]);
    let seen = String::from_utf8_lossy(&unseen.stdout);
    assert!(!unseen.status.success() && seen.contains("node ") && seen.contains("dist/index.js stdio"), "{seen}");
    assert!(lines(clara(&sandbox, ANN, &["list", "--json"])).is_empty(), "nothing was installed");
    let installed =
        clara(&sandbox, ANN, &["install", package, "--name", "everything", "--yes", "--json", "--", "stdio"]);
    let offered: Vec<Value> = lines(installed);
    assert!(offered.iter().any(|tool| tool["name"] == "everything__echo" && tool["approved"] == true), "{offered:?}");

    let reply = calls_tool(&mut terminal, "everything__echo", r#"{"message": "hi"}"#).await;
    assert_eq!(reply.kind, ReplyKind::Answered, "{}", reply.text);
    assert!(reply.text.contains("<untrusted source=\"everything__echo\" risk=\"clean\">\nEcho: hi"), "{}", reply.text);
    let refused = calls_tool(&mut terminal, "everything__echo", r#"{"message": 7}"#).await;
    assert!(refused.text.contains("the arguments do not fit"), "{}", refused.text);
    let long = r#"{"duration": 30, "steps": 1}"#;
    let asked = calls_tool(&mut terminal, "everything__trigger-long-running-operation", long).await;
    assert_eq!(asked.kind, ReplyKind::Question, "it may have happened: {}", asked.text);
    assert!(terminal.asks("skip").await.text.contains("may have happened"));

    let listed = lines(clara(&sandbox, ANN, &["list", "--json"]));
    assert_eq!((listed[0]["status"].as_str(), listed[0]["owner"].as_str()), (Some("running"), Some(ANN)), "{listed:?}");
    assert!(clara(&sandbox, ANN, &["disable", "everything"]).status.success());
    let gone = calls_tool(&mut terminal, "everything__echo", r#"{"message": "hi"}"#).await;
    assert!(gone.text.contains("there is no tool `everything__echo`"), "{}", gone.text);
    assert!(clara(&sandbox, ANN, &["enable", "everything"]).status.success());
    assert!(clara(&sandbox, ANN, &["restart", "everything"]).status.success());
    assert!(
        calls_tool(&mut terminal, "everything__echo", r#"{"message": "again"}"#).await.text.contains("Echo: again")
    );
    assert!(clara(&sandbox, ANN, &["uninstall", "everything"]).status.success());
    assert!(lines(clara(&sandbox, ANN, &["list", "--json"])).is_empty());
}

pub(crate) struct Serving(Child);

/// server-everything over HTTP, in this way, and the port where it serves.
pub(crate) async fn serve_everything(way: &str) -> (Serving, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut node = Command::new(servers().join("node"));
    node.arg(everything().join("dist/index.js")).arg(way).env("PORT", port.to_string());
    let serving = Serving(node.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let address = ("127.0.0.1", port);
    eventually("it serves", async || tokio::net::TcpStream::connect(address).await.ok().map(|_| ())).await;
    (serving, port)
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_elsewhere_and_of_python_are_called_alike() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).set("CLARA_MCP_TIMEOUT_SECONDS", 20).start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    let (_serving, port) = serve_everything("streamableHttp").await;
    let url = format!("http://127.0.0.1:{port}/mcp");
    let plan = mcp(&bus, ANN, McpCommand::Plan { source: url, name: "far".into() }).await.unwrap().plan.unwrap();
    install(&bus, ANN, "far", plan.1, false).await.unwrap();
    assert!(
        calls_tool(&mut terminal, "far__echo", r#"{"message": "over there"}"#).await.text.contains("Echo: over there")
    );

    let python = servers().join("python").display().to_string();
    let time = process(&["python3", "-m", "mcp_server_time", "--local-timezone=UTC"], &[("PYTHONPATH", python)]);
    install(&bus, ANN, "time", time, false).await.unwrap();
    let reply = calls_tool(&mut terminal, "time__get_current_time", r#"{"timezone": "Europe/Oslo"}"#).await;
    assert!(reply.text.contains("Europe/Oslo") && reply.text.contains("datetime"), "{}", reply.text);
    let (web, python) = (FakeWeb::start().await, servers().join("python").display().to_string());
    let fetch = process(
        &["python3", "-m", "mcp_server_fetch", "--ignore-robots-txt", "--allow-private-ips"],
        &[("PYTHONPATH", python)],
    );
    install(&bus, ANN, "fetch", fetch, false).await.unwrap();
    // As it is: to simplify a page it would install a package of npm first.
    let page = format!(r#"{{"url": "http://{}/wombats", "raw": true}}"#, web.address);
    let reply = calls_tool(&mut terminal, "fetch__fetch", &page).await;
    assert!(reply.text.contains("digs at night"), "{}", reply.text);
    // One that goes is nobody else's business.
    drop(_serving);
    let away = calls_tool(&mut terminal, "far__echo", r#"{"message": "still there?"}"#).await;
    assert!(away.text.contains("error") || away.kind == ReplyKind::Question, "{}", away.text);
    assert!(sandbox.terminal("other").await.asks("hello").await.text == "all right");
    let reply = calls_tool(&mut terminal, "time__get_current_time", r#"{"timezone": "UTC"}"#).await;
    assert!(reply.text.contains("UTC"), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_belongs_to_whom_it_was_installed_for() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).set("CLARA_ADMINS", "cli-user,cli-root").start().await;
    let bus = sandbox.bus().await;
    let refused = install(&bus, "cli-bob", "mine", rogue(folder.path()), false).await;
    assert!(refused.unwrap_err().contains("only an administrator"));
    install(&bus, ANN, "mine", rogue(folder.path()), false).await.unwrap();
    let mut bob = Terminal::open(sandbox.bus().await, "cli-bob", "main").await;
    let unseen = calls_tool(&mut bob, "mine__do", r#"{"how": "well"}"#).await;
    assert!(unseen.text.contains("there is no tool `mine__do`"), "{}", unseen.text);
    assert!(mcp(&bus, "cli-bob", McpCommand::List).await.unwrap().servers.is_empty());
    assert!(mcp(&bus, "cli-bob", McpCommand::Tools { name: "mine".into() }).await.is_err());
    assert!(
        mcp(&bus, "cli-root", McpCommand::Uninstall { name: "mine".into() }).await.is_err(),
        "nor an administrator"
    );
    assert_eq!(calls(folder.path()), [""; 0]);

    install(&bus, "cli-root", "ours", rogue(folder.path()), true).await.unwrap();
    assert!(calls_tool(&mut bob, "ours__do", r#"{"how": "well"}"#).await.text.contains("done: well"));
    assert!(mcp(&bus, "cli-bob", McpCommand::Uninstall { name: "ours".into() }).await.is_err());
    let secret = process(&["python3", "-c", "raise SystemExit('no')"], &[("TOKEN", "canary-0123".into())]);
    let why = install(&bus, ANN, "broken", secret, false).await.unwrap_err();
    assert!(why.contains("not installed") && !why.contains("canary"), "{why}");
}

/// What was stopped is not worked on for nobody: its server is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_the_server_of_a_call() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    install(&sandbox.bus().await, ANN, "slow", rogue(folder.path()), false).await.unwrap();
    let message = terminal.says(r#"call slow__do {"how": "until-stopped"}"#).await;
    eventually("it is at work", async || (calls(folder.path()) == ["until-stopped"]).then_some(())).await;
    terminal.does(Saying::Stop).await;
    assert_eq!(terminal.reply_to(&message).await.kind, ReplyKind::Stopped);
    eventually("it is told", async || (calls(folder.path()) == ["until-stopped", "stopped"]).then_some(())).await;
    let bus = sandbox.bus().await;
    eventually("it is counted", async || {
        let counted = mcp(&bus, ANN, McpCommand::Calls { limit: 10 }).await.unwrap().calls;
        (counted.iter().map(|call| call.error.as_str()).eq(["cut off"])).then_some(())
    })
    .await;
    assert!(calls_tool(&mut terminal, "slow__do", r#"{"how": "well"}"#).await.text.contains("done: well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_misbehaves_is_nobody_elses_trouble() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).replicas(2).start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    std::fs::write(folder.path().join("start"), "refuses").unwrap();
    let Launch::Stdio { command, .. } = rogue(folder.path()) else { unreachable!() };
    let env = [("LICENCE".to_owned(), "canary-licence".to_owned())].into();
    let why = install(&bus, ANN, "bad", Launch::Stdio { command, env }, false).await.unwrap_err();
    assert!(why.contains("no licence was found: [a secret] is none"), "{why}");
    assert!(mcp(&bus, ANN, McpCommand::List).await.unwrap().servers.is_empty(), "it was not kept");
    // One that has no tools does not know the question for them.
    std::fs::write(folder.path().join("start"), "no-tools").unwrap();
    let answer = install(&bus, ANN, "books", rogue(folder.path()), false).await.unwrap();
    assert_eq!((answer.servers.len(), answer.tools.len()), (1, 0));
    std::fs::remove_file(folder.path().join("start")).unwrap();
    install(&bus, ANN, "bad", rogue(folder.path()), false).await.unwrap();

    let reply = calls_tool(&mut terminal, "bad__do", r#"{"how": "garbage"}"#).await;
    assert!(reply.text.contains("done: garbage"), "{}", reply.text);
    let reply = calls_tool(&mut terminal, "bad__do", r#"{"how": "inject"}"#).await;
    assert_eq!((reply.kind, reply.text.matches("</untrusted>").count()), (ReplyKind::Answered, 1), "{}", reply.text);
    assert!(
        reply.text.contains("&lt;system>") && !reply.text.contains(['\u{200b}', '\u{202e}', '\u{1b}']),
        "{}",
        reply.text
    );
    for rude in ["rude", "rude-error"] {
        let text = calls_tool(&mut terminal, "bad__do", &format!(r#"{{"how": "{rude}"}}"#)).await.text;
        assert!(
            text.contains("no[2J @everyone") && !text.contains(['\u{200b}', '\u{202e}', '\u{1b}']),
            "{rude}: {text}"
        );
    }
    let text = calls_tool(&mut terminal, "bad__do", r#"{"how": "rude-question"}"#).await.text;
    assert!(text.contains("who[2J?") && !text.contains(['\u{200b}', '\u{202e}', '\u{1b}']), "{text}");
    // What it wanted to know is told also when it refuses for want of it.
    let text = calls_tool(&mut terminal, "bad__do", r#"{"how": "question-error"}"#).await.text;
    assert!(text.contains("not without that") && text.contains("wanted to ask the person: who"), "{text}");
    let reply = calls_tool(&mut terminal, "bad__do", r#"{"how": "nested"}"#).await;
    assert!(reply.text.contains("[[[[") && reply.text.len() < 200_000, "{}", reply.text.len());
    let reply = calls_tool(&mut terminal, "bad__do", r#"{"how": "long"}"#).await;
    assert!(reply.text.contains("characters left out") && reply.text.len() < 200_000, "{}", reply.text.len());
    // What may have happened is asked about, and not done again.
    for how in ["crash", "huge", "deep"] {
        let reply = when_it_is_there(&mut terminal, how).await;
        assert_eq!(reply.kind, ReplyKind::Question, "{how}: {}", reply.text);
        terminal.asks("skip").await;
        let after = when_it_is_there(&mut terminal, &format!("after-{how}")).await;
        assert!(after.text.contains(&format!("done: after-{how}")), "{}", after.text);
    }
    let ran = calls(folder.path());
    for how in ["crash", "huge", "deep", "inject", "after-huge"] {
        assert_eq!(ran.iter().filter(|ran| *ran == how).count(), 1, "{how} ran once: {ran:?}");
    }
}

/// Calls the server as soon as it is there: it rests after it failed, and is started anew.
async fn when_it_is_there(terminal: &mut Terminal, how: &str) -> Reply {
    let deadline = tokio::time::Instant::now() + testkit::DEADLINE;
    loop {
        let reply = calls_tool(terminal, "bad__do", &format!(r#"{{"how": "{how}"}}"#)).await;
        if !reply.text.contains("the server `bad` is not there") {
            return reply;
        }
        assert!(tokio::time::Instant::now() < deadline, "it starts anew");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hears_nothing_any_more_is_found_out_before_somebody_needs_it() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    install(&bus, ANN, "bad", rogue(folder.path()), false).await.unwrap();
    assert!(calls_tool(&mut terminal, "bad__do", r#"{"how": "deaf"}"#).await.text.contains("done: deaf"));
    testkit::within(2 * testkit::DEADLINE, "it is ended", async || {
        let listed = mcp(&bus, ANN, McpCommand::List).await.unwrap().servers;
        (listed[0].status == Status::Failed).then_some(())
    })
    .await;
    assert!(when_it_is_there(&mut terminal, "well").await.text.contains("done: well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_does_not_answer_again_and_again_is_left_alone() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).set("CLARA_MCP_TIMEOUT_SECONDS", 1).start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    install(&bus, ANN, "bad", rogue(folder.path()), false).await.unwrap();
    install(&bus, ANN, "good", rogue(folder.path()), false).await.unwrap();
    assert_eq!(when_it_is_there(&mut terminal, "hang").await.kind, ReplyKind::Question);
    terminal.asks("skip").await;
    eventually("one that does not even say that it is there is ended", async || {
        let listed = mcp(&bus, ANN, McpCommand::List).await.unwrap().servers;
        listed.iter().any(|server| server.name == "bad" && server.status == Status::Failed).then_some(())
    })
    .await;
    assert!(when_it_is_there(&mut terminal, "well").await.text.contains("done: well"));
    for _ in 0..3 {
        assert_eq!(when_it_is_there(&mut terminal, "hang").await.kind, ReplyKind::Question);
        terminal.asks("skip").await;
    }
    let reply = calls_tool(&mut terminal, "bad__do", r#"{"how": "hang"}"#).await;
    assert!(reply.text.contains("left alone for up to 5 minutes"), "{}", reply.text);
    assert!(calls_tool(&mut terminal, "good__do", r#"{"how": "well"}"#).await.text.contains("done: well"));
    // One that hangs does not even take the next call.
    let ran = calls(folder.path());
    assert!(ran.len() <= 6 && ran.last().is_some_and(|last| last == "well"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_carries_the_tools_that_fit_and_others_are_searched_for() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).set("CLARA_TOOL_TOKENS", 500).start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    install(&bus, ANN, "rare", rogue(folder.path()), false).await.unwrap();
    let offered = |body: &Value| -> Vec<String> {
        let tools = body["tools"].as_array().into_iter().flatten();
        tools.filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect()
    };
    let found = calls_tool(&mut terminal, "search_tools", r#"{"query": "rare thing to do"}"#).await;
    assert!(found.text.contains("- `rare__do`: Does something."), "{}", found.text);
    let asked: Vec<Vec<String>> = model.asked().iter().map(|asked| offered(&asked.body)).collect();
    let is_offered = |names: &[String]| names.iter().any(|name| name == "rare__do");
    let [.., before, after] = &asked[..] else { panic!("{asked:?}") };
    assert!(before.iter().any(|name| name == "search_tools") && !is_offered(before) && is_offered(after), "{asked:?}");
    // It is the turn's own from there on, as any other is.
    assert!(calls_tool(&mut terminal, "rare__do", r#"{"how": "well"}"#).await.text.contains("done: well"));
    let none = calls_tool(&mut terminal, "search_tools", r#"{"query": "zzz"}"#).await;
    assert!(none.text.contains("No tool fits"), "{}", none.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_brings_a_tool_into_the_prompt_without_its_words() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let plan = plan(&model, folder.path()).set("CLARA_EMBEDDING_FOLDER", crate::passages::model_folder());
    // Enough for what is always there, and for a few of the others.
    let sandbox = plan.set("CLARA_TOOL_TOKENS", 2600).start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/many.py");
    let launch =
        Launch::Stdio { command: vec!["python3".into(), script.display().to_string()], env: Default::default() };
    install(&bus, ANN, "many", launch, false).await.unwrap();
    let is_offered = async || {
        terminal.asks("do I need an umbrella tomorrow?").await;
        let body = model.asked().last().unwrap().body.clone();
        let tools = body["tools"].as_array().unwrap().clone();
        tools.iter().any(|tool| tool["function"]["name"] == "many__zone_outlook")
    };
    let mut is_offered = is_offered;
    // The vectors of the tools are made while the first answer goes on without.
    assert!(!is_offered().await, "no word of it is asked for");
    eventually("its meaning brought it forward", async || is_offered().await.then_some(())).await;
    let found = calls_tool(&mut terminal, "search_tools", r#"{"query": "filing old documents"}"#).await;
    assert!(found.text.contains("- `many__archive_"), "what is meant is searched for too: {}", found.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_installed_in_words_after_the_command_was_seen() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let script = folder.path().join("rogue.py");
    std::fs::copy(fixture("rogue.py"), &script).unwrap();
    let source = script.display();
    let planned =
        calls_tool(&mut terminal, "mcp_plan", &format!(r#"{{"source": "{source}", "name": "spoken"}}"#)).await;
    assert!(planned.text.contains(&format!(r#"["python3","{source}"]"#)), "{}", planned.text);
    let other = format!(r#"{{"source": "{source}", "name": "spoken", "command": ["python3", "/elsewhere.py"]}}"#);
    let asked = calls_tool(&mut terminal, "mcp_install", &other).await;
    assert!(asked.kind == ReplyKind::Question && asked.text.contains("/elsewhere.py"), "{}", asked.text);
    assert!(terminal.asks("yes").await.text.contains("must be exactly"));
    // With arguments and variables too, but for what is hers.
    let (folder, settings) = (folder.path().display(), r#""env": {"KEY": "${CLARA_SECRET_KEY}"}"#);
    let refused = calls_tool(&mut terminal, "mcp_plan", &format!(r#"{{"source": "{source}", {settings}}}"#)).await;
    assert!(refused.text.contains("CLARA_SECRET_KEY is one of Clara's own settings"), "{}", refused.text);
    for evil in ["npx evil && curl x", "; rm -rf /", "--help"] {
        let planned = calls_tool(&mut terminal, "mcp_plan", &format!(r#"{{"source": "{evil}"}}"#)).await;
        assert!(planned.text.contains("is no source"), "{}", planned.text);
    }
    let none = mcp(&sandbox.bus().await, ANN, McpCommand::List).await.unwrap();
    assert_eq!((none.servers.len(), none.plan), (0, None::<(String, Launch)>));
    let whole = format!(
        r#"{{"source": "{source}", "name": "whole", "arguments": ["{folder}"], "env": {{"LICENCE": "plain"}},
            "command": ["python3", "{source}", "{folder}"]}}"#
    );
    let asked = calls_tool(&mut terminal, "mcp_install", &whole).await;
    assert!(asked.kind == ReplyKind::Question && asked.text.contains("LICENCE"), "{}", asked.text);
    let installed = terminal.asks("yes").await;
    assert!(installed.text.contains("- whole__do"), "{}", installed.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_makes_so_many_calls_and_another_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let model = FakeModel::start(|asked: &Asked, _| match asked.results.is_empty() {
        true => {
            let count = asked.last_user.split_whitespace().last().unwrap().parse().unwrap();
            Act::Call(String::new(), vec![("ours__do".to_owned(), r#"{"how": "well"}"#.to_owned()); count])
        }
        false => Act::say(asked.results.join("\n")),
    })
    .await;
    let plan = plan(&model, folder.path()).replicas(2).set("CLARA_MCP_CALLS_PER_DAY", 3);
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    install(&bus, ANN, "ours", rogue(folder.path()), true).await.unwrap();
    let mut terminal = sandbox.terminal("main").await;
    // Also of those that come at once, to whichever replica.
    let reply = terminal.asks("call it 7").await;
    assert_eq!(reply.text.matches("done: well").count(), 3, "{}", reply.text);
    assert_eq!(
        reply.text.matches("3 calls of servers in a day are what this person may make").count(),
        4,
        "{}",
        reply.text
    );
    assert_eq!(calls(folder.path()).len(), 3);
    let mut bob = Terminal::open(sandbox.bus().await, "cli-bob", "main").await;
    assert!(bob.asks("call it 1").await.text.contains("done: well"));
    // What an administrator sets for one person, server or tool comes before what is set for all.
    assert!(!clara(&sandbox, "cli-bob", &["limit", "set", "--user", "cli-bob"]).status.success());
    let set = ["limit", "set", "--user", "cli-user", "--per-day", "5", "--json"];
    assert_eq!(lines(clara(&sandbox, ANN, &set))[0]["per_day"], 5);
    assert!(
        clara(&sandbox, ANN, &["limit", "set", "--server", "ours", "--tool", "do", "--per-hour", "1"]).status.success()
    );
    let reply = terminal.asks("call it 1").await;
    assert!(reply.text.contains("1 calls of `ours__do` in an hour"), "{}", reply.text);
    assert_eq!(
        lines(clara(&sandbox, "cli-bob", &["limit", "list", "--json"])).len(),
        1,
        "what is another's is not shown"
    );
    assert!(clara(&sandbox, ANN, &["limit", "drop", "--server", "ours", "--tool", "do"]).status.success());
    assert_eq!(terminal.asks("call it 7").await.text.matches("done: well").count(), 2);
    assert_eq!(calls(folder.path()).len(), 6);
}
