//! Logs for people on a terminal, as JSON elsewhere; traces for OTLP.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::settings::Settings;

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logs {
    /// Standard error: for people on a terminal, JSON elsewhere.
    Stderr,
    /// Nowhere but warnings: for commands whose output is read.
    Quiet,
}

/// Flushes traces when the process ends.
#[must_use = "traces are flushed when this is dropped"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(err) = traces.shutdown()
        {
            eprintln!("failed to flush traces: {err}");
        }
    }
}

/// Sets logs and traces up for a process. Called once.
pub fn init(service: &str, settings: &Settings, logs: Logs) -> Telemetry {
    let level = settings.text("CLARA_LOG");
    let filter = match logs {
        Logs::Stderr => EnvFilter::try_new(of_ours(&level)).unwrap_or_else(|_| EnvFilter::new("info")),
        Logs::Quiet => EnvFilter::new("error"),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() {
        lines.compact().with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let traces = settings.optional("OTEL_EXPORTER_OTLP_ENDPOINT").and_then(|endpoint| exporter(service, &endpoint));
    // What libraries say of their own work holds what people say: arguments of calls, bodies of
    // requests. Tasks of ours, and actors, which have a number alone, hold their traces together.
    let ours = Targets::new().with_targets(OURS.iter().map(|ours| (*ours, LevelFilter::INFO)));
    let ours = ours.with_target("service_kit::task", LevelFilter::DEBUG).with_target("ractor", LevelFilter::INFO);
    let spans = traces
        .as_ref()
        .map(|traces| tracing_opentelemetry::layer().with_tracer(traces.tracer("clara")).with_filter(ours));
    // A second call, in tests, keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(spans).with(lines.with_filter(filter)).try_init();
    Telemetry { traces }
}

/// The crates that take care of what they say: no words of people, no secrets.
const OURS: &[&str] = &[
    "adapter_cli",
    "bus",
    "clara",
    "domain",
    "embed",
    "learn",
    "memory",
    "model",
    "orchestrator",
    "processor",
    "proto",
    "recall",
    "router",
    "service_kit",
    "spending",
    "store",
    "tool_runner",
];

/// A level without a name is for what is ours: what libraries say in detail is logged when it is
/// asked for by their names, as in `info,rmcp=debug`.
fn of_ours(filter: &str) -> String {
    let directive = |directive: &str| match directive.trim().to_lowercase().as_str() {
        detailed @ ("debug" | "trace") => {
            let ours: Vec<String> = OURS.iter().map(|ours| format!("{ours}={detailed}")).collect();
            format!("info,{}", ours.join(","))
        }
        _ => directive.to_owned(),
    };
    filter.split(',').map(directive).collect::<Vec<_>>().join(",")
}

/// Exports over OTLP/HTTP with protobuf: `<endpoint>/v1/traces`.
fn exporter(service: &str, endpoint: &str) -> Option<SdkTracerProvider> {
    use opentelemetry_otlp::WithExportConfig;
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder().with_http().with_endpoint(url).build();
    match exporter {
        Ok(exporter) => {
            let resource = Resource::builder().with_service_name(format!("clara-{service}")).build();
            Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
        }
        Err(err) => {
            eprintln!("traces are off: {err}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_crate_of_ours_is_known_and_no_other_speaks_in_detail() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folders = ["crates", "services"].map(|part| std::fs::read_dir(root.join(part)).unwrap());
        let names = folders.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.filter(|name| name != "testkit").map(|name| name.replace('-', "_")).collect();
        names.sort();
        assert_eq!(names, OURS);
        assert!(of_ours("Trace").starts_with("info,adapter_cli=trace,") && of_ours("warn") == "warn");
        assert_eq!(of_ours("info,rmcp=debug"), "info,rmcp=debug");
        assert!(of_ours("debug,genai=off").starts_with("info,adapter_cli=debug,"));
        assert!(of_ours("debug,genai=off").ends_with(",tool_runner=debug,genai=off"));
    }
}
