//! The others, over the bus.

pub(crate) mod services; // Memory and tool-runner.
