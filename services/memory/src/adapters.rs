//! The databases behind the ports.

pub(crate) mod sql; // SQLite and PostgreSQL.
