//! An OTLP/HTTP collector that keeps what it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::net::TcpListener;

type Exports = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// A span as it was exported; times since the Unix epoch, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub trace: Vec<u8>,
    pub service: String,
    pub name: String,
    pub start_ns: u64,
    pub end_ns: u64,
}

pub struct Collector {
    address: std::net::SocketAddr,
    exports: Exports,
    server: tokio::task::JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let exports = Exports::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&exports));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, exports, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The services that have spans in each trace.
    pub fn services_by_trace(&self) -> BTreeMap<Vec<u8>, BTreeSet<String>> {
        let mut traces: BTreeMap<Vec<u8>, BTreeSet<String>> = BTreeMap::new();
        for span in self.spans() {
            traces.entry(span.trace).or_default().insert(span.service);
        }
        traces
    }

    /// Every span, as it came.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for resource in self.exports.lock().unwrap().iter().flat_map(|export| &export.resource_spans) {
            let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
            let service = attributes
                .filter(|attribute| attribute.key == "service.name")
                .find_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
                    Value::StringValue(name) => Some(name.clone()),
                    _ => None,
                })
                .unwrap_or_default();
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                spans.push(Span {
                    trace: span.trace_id.clone(),
                    service: service.clone(),
                    name: span.name.clone(),
                    start_ns: span.start_time_unix_nano,
                    end_ns: span.end_time_unix_nano,
                });
            }
        }
        spans
    }

    /// Everything that was exported, as text to search in.
    pub fn text(&self) -> String {
        format!("{:?}", self.exports.lock().unwrap())
    }
}

async fn take(State(exports): State<Exports>, body: Bytes) -> Vec<u8> {
    exports.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
    ExportTraceServiceResponse::default().encode_to_vec()
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}
