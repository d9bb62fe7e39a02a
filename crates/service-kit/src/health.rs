//! Liveness and readiness over HTTP, for whoever runs the process.
//!
//! Live: the process answers. Ready: it is connected to the bus, has finished
//! starting, and is not draining.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::warn;

use crate::task::{self, TaskKind};

/// What readiness depends on.
#[derive(Clone)]
pub struct Readiness {
    pub bus: watch::Receiver<bool>,
    /// Set after start-up, cleared when draining begins.
    pub serving: watch::Receiver<bool>,
}

impl Readiness {
    fn verdict(&self) -> (StatusCode, &'static str) {
        if !*self.bus.borrow() {
            (StatusCode::SERVICE_UNAVAILABLE, "not connected to the bus\n")
        } else if !*self.serving.borrow() {
            (StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n")
        } else {
            (StatusCode::OK, "ready\n")
        }
    }
}

/// Serves `/livez` and `/readyz` until the process ends; returns the address.
pub async fn serve(address: &str, readiness: Readiness) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let routes = Router::new()
        .route("/livez", get(async || "live\n"))
        .route("/readyz", get(async |State(readiness): State<Readiness>| readiness.verdict()))
        .with_state(readiness);
    task::spawn(TaskKind::Serve, "health", async move {
        if let Err(err) = axum::serve(listener, routes).await {
            warn!(error = %err, "health server ended");
        }
    });
    Ok(address)
}
