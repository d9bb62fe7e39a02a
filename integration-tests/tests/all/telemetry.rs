//! Traces across the bus, and what is never in them.

use testkit::collector::Collector;
use testkit::eventually;
use testkit::sandbox::{SERVICES, Sandbox};

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_every_service_and_holds_no_text() {
    let collector = Collector::start().await;
    let mut sandbox = Sandbox::plan().set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("remember that my canary is yellow").await;
    let expected = SERVICES.map(|service| format!("clara-{service}"));
    eventually("one trace has spans of every service", async || {
        let traces = collector.services_by_trace();
        traces.values().any(|services| expected.iter().all(|service| services.contains(service))).then_some(())
    })
    .await;
    assert!(!collector.text().contains("canary"), "a trace holds message text");
    for service in SERVICES {
        let log = sandbox.service(service, 0).log();
        assert!(!log.contains("canary"), "{service} logged message text");
        assert!(
            log.lines().filter(|line| !line.is_empty()).all(|line| line.starts_with('{')),
            "{service} logs JSON: {log}"
        );
    }
}
