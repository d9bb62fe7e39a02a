//! `just bench-tools`: what a call of a tool costs over the bare call.
#![allow(clippy::unwrap_used, reason = "a run that meets the unexpected has failed")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bus::{Bus, Claim, Endpoints, Subject};
use clap::Parser;
use domain::approval::ApprovalMode;
use domain::ids::{CallId, ConversationId, MessageId, Place, TurnId};
use domain::mcp::{Launch, McpAnswer, McpCommand, McpRequest};
use domain::message::{Audience, Principal, Route};
use domain::tool::{Outcome, OutcomeKind, ToolClass, ToolRecord, ToolRequest};
use integration_tests::bench::{Rounds, micros, percentile, stops};
use serde_json::json;
use testkit::piped::Piped;
use testkit::sandbox::Sandbox;

/// Measures a tool runner of its own: a built-in tool, and `echo` of server-everything, each
/// asked for on the bus and heard as its result is stored. Beside them, in the same run, the
/// same `echo` asked over its pipes without Clara, and what the bus alone takes for what
/// every call stores. Then how long a stop takes to end what runs in the sandbox, beside the end of a
/// bare group of processes.
#[derive(Debug, Parser)]
struct Options {
    /// Calls of each kind.
    #[arg(long, default_value_t = 300)]
    calls: usize,
    /// Runs that are stopped, in each round.
    #[arg(long, default_value_t = 20)]
    stops: usize,
    /// Rounds; the medians of their figures are printed, with the least and the most.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Where the real servers are: `scripts/mcp-servers` prints it.
    #[arg(long, env = "CLARA_TEST_MCP_FOLDER")]
    servers: PathBuf,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let script = options.servers.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let node = options.servers.join("node");
    let sandbox = Sandbox::plan().only(&["tool-runner"]).set("CLARA_LOG", "warn").start().await;
    let bench = Bench { bus: sandbox.bus().await, turn: turn("bench"), calls: options.calls };
    let command = [node.display().to_string(), script.display().to_string(), "stdio".to_owned()];
    let launch = Launch::Stdio { command: command.to_vec(), env: Default::default() };
    let install = McpCommand::Install { source: "bench".into(), name: "peer".into(), launch, for_all: false };
    let _: McpAnswer = bench
        .bus
        .request(Endpoints::ToolsMcp, &McpRequest { principal: principal(), command: install }, PATIENCE)
        .await?;
    let mut server = Command::new(&command[0]);
    server.args(&command[1..]).stderr(Stdio::null());
    let mut server = Piped::start(server);
    // What happens once is none of a call's cost.
    bench.call(ToolClass::Mcp, "peer__echo", r#"{"message":"x"}"#, 0).await;

    let names = [
        "its records, bus alone",
        "a built-in tool",
        "echo over its pipes",
        "echo through Clara",
        "a bare group killed",
        "a run stopped",
    ];
    let mut rounds: [Rounds; 6] = Default::default();
    for round in 0..options.rounds {
        let first = u32::try_from(round + 1)? * 100_000;
        rounds[0].0.push(bench.records(first).await);
        rounds[1]
            .0
            .push(bench.median(ToolClass::Builtin, "calculate", r#"{"expression":"6*7"}"#, first + 20_000).await);
        rounds[2].0.push(bare(&mut server, options.calls));
        rounds[3].0.push(bench.median(ToolClass::Mcp, "peer__echo", r#"{"message":"x"}"#, first + 40_000).await);
        let (bare, stopped) = bench.stops(first, options.stops).await;
        rounds[4].0.push(bare);
        rounds[5].0.push(stopped);
    }
    let [records, built_in, pipes, through, killed, stopped] = rounds.each_ref().map(Rounds::median);
    if options.json {
        println!(
            "{}",
            json!({
                "records_us": records.round(), "built_in_us": built_in.round(), "built_in_over_us": (built_in - records).round(),
                "mcp_bare_us": pipes.round(), "mcp_us": through.round(), "mcp_over_us": (through - pipes).round(),
                "killed_us": killed.round(), "stopped_us": stopped.round(),
            })
        );
        return Ok(());
    }
    for (name, figures) in names.iter().zip(&rounds) {
        let (median, (least, most)) = (figures.median(), figures.spread());
        println!("{name:<24} p50 {median:>8.0} µs   (rounds {least:.0} to {most:.0})");
    }
    println!("a built-in tool takes {:.0} µs over what its records take", built_in - records);
    println!("a tool of a server takes {:.0} µs over the bare call", through - pipes);
    println!("a stop has ended a run {:.0} µs later than a bare group is killed", stopped - killed);
    Ok(())
}

fn principal() -> Principal {
    Principal { user: "cli-user".into(), name: "bench".into(), tenant: "local".into() }
}

fn conversation() -> ConversationId {
    let place = Place { platform: "cli".into(), tenant: "t".into(), channel: "bench".into(), thread: String::new() };
    ConversationId::derive(&place)
}

fn turn(message: &str) -> TurnId {
    TurnId::derive(&conversation(), &MessageId::parse(&format!("cli:{message}")).unwrap())
}

fn request(call: CallId, name: &str, arguments: &str) -> ToolRequest {
    ToolRequest {
        call,
        conversation: conversation(),
        principal: principal(),
        route: Route { platform: "cli".into(), channel: "main".into(), audience: Audience::Direct, parent: None },
        approval: ApprovalMode::Auto,
        name: name.into(),
        arguments: arguments.into(),
        after: None,
    }
}

struct Bench {
    bus: Bus,
    turn: TurnId,
    calls: usize,
}

impl Bench {
    /// One call, from asking to the result that is stored.
    async fn call(&self, class: ToolClass, name: &str, arguments: &str, number: u32) -> Duration {
        let call = CallId { turn: self.turn, step: number, index: 0 };
        let request = request(call, name, arguments);
        let mut heard = self.bus.watch_tool_results(self.turn).await.unwrap();
        let begun = Instant::now();
        self.bus.store(Subject::Tool(class), &call.to_string(), &request).await.unwrap();
        loop {
            match heard.next_result().await.unwrap() {
                (of, ToolRecord::Done(outcome)) if of == call => {
                    assert_eq!(outcome.kind, OutcomeKind::Succeeded, "{}", outcome.text);
                    return begun.elapsed();
                }
                _ => {}
            }
        }
    }

    async fn median(&self, class: ToolClass, name: &str, arguments: &str, first: u32) -> f64 {
        let mut times = Vec::new();
        for number in (first..).take(self.calls) {
            times.push(micros(self.call(class, name, arguments, number).await));
        }
        percentile(&times, 0.5)
    }

    /// The medians of ending bare groups, and of stopping runs in the sandbox.
    async fn stops(&self, first: u32, runs: usize) -> (f64, f64) {
        let (mut bare, mut stopped) = (Vec::new(), Vec::new());
        for number in (first..).take(runs) {
            bare.push(stops::bare(number).await);
            // A turn of its own: what is stopped is stopped.
            let call = CallId { turn: turn(&format!("stop-{number}")), step: 0, index: 0 };
            let arguments = json!({"command": stops::command(number)}).to_string();
            stopped.push(stops::by_clara(&self.bus, number, request(call, "run_shell", &arguments)).await);
        }
        (percentile(&bare, 0.5), percentile(&stopped, 0.5))
    }

    /// What every call stores, one after the other: the request, and the two records.
    async fn records(&self, first: u32) -> f64 {
        let records = self.bus.tool_records().await.unwrap();
        let started = ToolRecord::Started { runner: "bench".into() };
        let done = ToolRecord::Done(Outcome { kind: OutcomeKind::Succeeded, text: "x".into(), elapsed_ms: 0 });
        let mut times = Vec::new();
        for number in (first..).take(self.calls) {
            let [request, call] = [1, 2].map(|index| CallId { turn: self.turn, step: number, index });
            let begun = Instant::now();
            self.bus.store(Subject::ToolResult(request), &request.to_string(), &started).await.unwrap();
            let Claim::Won { sequence } = records.write(call, 0, &started).await.unwrap() else {
                panic!("it was there")
            };
            records.write(call, sequence, &done).await.unwrap();
            times.push(micros(begun.elapsed()));
        }
        percentile(&times, 0.5)
    }
}

/// The same server, asked over its pipes.
fn bare(server: &mut Piped, calls: usize) -> f64 {
    let mut times = Vec::new();
    for _ in 0..calls {
        let begun = Instant::now();
        let (text, is_error) = server.call("echo", json!({"message": "x"}));
        times.push(micros(begun.elapsed()));
        assert!(text.contains('x') && !is_error, "{text}");
    }
    percentile(&times, 0.5)
}
