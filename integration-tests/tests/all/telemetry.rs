//! Traces across the bus, and what is never in them.

use std::collections::BTreeMap;

use testkit::collector::Collector;
use testkit::eventually;
use testkit::sandbox::{SERVICES, Sandbox};

use crate::asking::ANN;
use crate::mcp::{install, rogue};

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_every_service_and_holds_no_text() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "[[rule]]\nruling = 'allow'\ntools = ['group:mcp']\n").unwrap();
    let plan = Sandbox::plan().set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let mut sandbox = plan.set("CLARA_POLICY_FILE", policy.display()).start().await;
    install(&sandbox.bus().await, ANN, "ours", rogue(folder.path()), false).await.unwrap();
    // Each in a conversation of its own: what comes while a turn is ending waits for it, and begins
    // in the trace of that end.
    sandbox.terminal("main").await.asks("remember that my canary is yellow").await;
    // Nor what a server is given, and what it gives, also when it fails.
    for (channel, how) in [("one", "canary"), ("two", "crash")] {
        let reply = sandbox.terminal(channel).await.asks(&format!(r#"call ours__do with {{"how": "{how}"}}"#)).await;
        assert!(how == "crash" || reply.text.contains("done: "), "{}", reply.text);
    }
    let expected = SERVICES.map(|service| format!("clara-{service}"));
    eventually("one trace has spans of every service", async || {
        let traces = collector.services_by_trace();
        traces.values().any(|services| expected.iter().all(|service| services.contains(service))).then_some(())
    })
    .await;
    // Also what comes after a call of a tool: its turn is one trace from end to end.
    eventually("a turn with a tool is in one trace", async || {
        let mut traces: BTreeMap<Vec<u8>, BTreeMap<String, usize>> = BTreeMap::new();
        for span in collector.spans() {
            *traces.entry(span.trace).or_default().entry(span.name).or_default() += 1;
        }
        let is_whole = |names: &BTreeMap<String, usize>| {
            names.get("chat") == Some(&2)
                && ["accept", "execute_tool", "deliver"].iter().all(|name| names.contains_key(*name))
        };
        traces.values().any(is_whole).then_some(())
    })
    .await;
    let text = collector.text();
    let beside =
        |at: usize| text[text.floor_char_boundary(at.saturating_sub(600))..].chars().take(700).collect::<String>();
    assert_eq!(text.find("canary").map(beside), None, "a trace holds message text");
    for service in SERVICES {
        let log = sandbox.service(service, 0).log();
        assert!(!log.contains("canary"), "{service} logged message text");
        assert!(
            log.lines().filter(|line| !line.is_empty()).all(|line| line.starts_with('{')),
            "{service} logs JSON: {log}"
        );
    }
}
