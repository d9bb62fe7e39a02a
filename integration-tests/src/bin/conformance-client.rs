//! A whole Clara as the client of one MCP server, for the client scenarios of
//! `@modelcontextprotocol/conformance`: installs it, has it authorised as a person would, and
//! calls each of its tools in a conversation.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "what goes wrong fails the scenario")]

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::mcp::{Authorisation, Launch, McpAnswer, McpCommand, McpRequest, Status, VouchedBy, callback};
use domain::message::Principal;
use serde_json::{Map, Value};
use testkit::sandbox::Sandbox;

const NAME: &str = "peer";
/// The document that the suite knows a client by.
const DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let url = std::env::args().next_back().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "[[rule]]\nruling = 'allow'\ntools = ['group:mcp']\n").unwrap();
    let sandbox = Sandbox::plan()
        .set("CLARA_POLICY_FILE", policy.display())
        .set("CLARA_OAUTH_CLIENT_URL", DOCUMENT)
        .start()
        .await;
    let bus = sandbox.bus().await;
    let launch = Launch::Http { url, headers: Default::default() };
    let install = McpCommand::Install { source: "conformance".into(), name: NAME.into(), launch, for_all: false };
    let mut answer = ask(&bus, install).await.unwrap();
    if answer.servers[0].status == Status::PendingAuth {
        answer = authorise(&bus).await;
    }
    let mut terminal = sandbox.terminal("main").await;
    for tool in answer.tools {
        let call = format!("call {} with {}", tool.name, arguments(&tool.schema));
        let mut reply = terminal.asks(&call).await;
        eprintln!("{call}: {}", reply.text);
        if reply.text.contains("oauth-start") {
            authorise(&bus).await;
            reply = terminal.asks(&call).await;
            eprintln!("again: {}", reply.text);
        }
    }
}

async fn ask(bus: &Bus, command: McpCommand) -> Result<McpAnswer, String> {
    let principal = Principal { user: "cli-user".into(), name: "test".into(), tenant: "local".into() };
    bus.request(Endpoints::ToolsMcp, &McpRequest { principal, command }, PATIENCE).await.map_err(|err| err.to_string())
}

/// As a person does who agrees at once.
async fn authorise(bus: &Bus) -> McpAnswer {
    let redirect_uri = "http://127.0.0.1:8765/callback".to_owned();
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_default();
    let context: Value = serde_json::from_str(&context).unwrap_or_default();
    let given = |name: &str| context[name].as_str().map(str::to_owned);
    let (client_id, client_secret) = (given("client_id"), given("client_secret"));
    let is_machine = context["name"].as_str().is_some_and(|name| name.starts_with("auth/client-credentials"));
    if is_machine {
        let secret = given("private_key_pem").or(client_secret).unwrap();
        let (client_id, algorithm) = (client_id.unwrap(), given("signing_algorithm"));
        let begin = oauth(Authorisation::Machine { client_id, secret, algorithm });
        return ask(bus, begin).await.unwrap();
    }
    if context["name"].as_str().is_some_and(|name| name.starts_with("auth/cross-app-access")) {
        let provider = VouchedBy {
            issuer: given("idp_issuer").unwrap(),
            client_id: given("idp_client_id").unwrap(),
            client_secret: None,
            token: given("idp_id_token").unwrap(),
            is_refresh: false,
        };
        let (client_id, secret) = (client_id.unwrap(), client_secret.unwrap());
        let begin = oauth(Authorisation::Enterprise { client_id, secret, provider });
        return ask(bus, begin).await.unwrap();
    }
    let begin = oauth(Authorisation::Start { redirect_uri, client_id, client_secret });
    let page = ask(bus, begin).await.unwrap().text;
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let led = browser.get(page).send().await.unwrap();
    let back = callback(led.headers()["location"].to_str().unwrap(), "");
    ask(bus, oauth(Authorisation::Complete(back))).await.unwrap()
}

fn oauth(what: Authorisation) -> McpCommand {
    McpCommand::Oauth { name: NAME.into(), for_all: false, what }
}

/// Something for everything that a tool must be given; a server's own questions take their
/// defaults.
fn arguments(schema: &str) -> Value {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut arguments = Map::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let value = match schema["properties"][name]["type"].as_str() {
            Some("number" | "integer") => Value::from(5),
            Some("boolean") => Value::from(true),
            _ => Value::from("test"),
        };
        arguments.insert(name.to_owned(), value);
    }
    arguments.insert("_answers".into(), Value::Object(Map::new()));
    Value::Object(arguments)
}
