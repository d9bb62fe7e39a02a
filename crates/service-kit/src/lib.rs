//! What every service's `main` needs, and nothing about any one service.
//!
//! [`settings`] reads the configuration once; [`telemetry`] sets up logs and
//! traces; [`supervision`] is the tree that restarts what fails; [`health`]
//! answers probes; [`run`] puts them into the order of a clean start and stop.

pub mod breaker; // Leaving what fails alone for a while.
pub mod clock; // The only clock the services read.
pub mod crash; // Where the chaos suite kills; nothing elsewhere.
pub mod health; // Liveness and readiness over HTTP.
pub mod run; // The life of a service process.
pub mod settings; // Environment, `.env`, `clara.toml`: one typed view.
pub mod signal; // SIGTERM and Ctrl-C; a second one exits.
pub mod supervision; // Parents that restart their children within a budget.
pub mod task; // Tasks with a kind and a name.
pub mod telemetry; // Logs for people and machines, traces for OTLP.
