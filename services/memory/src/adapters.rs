//! What is behind the ports: the database, and stores beside it.

pub(crate) mod falkordb; // Relations.
pub(crate) mod pgvector; // Vectors.
pub(crate) mod qdrant; // Vectors.
pub(crate) mod sql; // SQLite and PostgreSQL.
