//! The web: pages and searches, from public addresses alone.

mod address; // Which addresses are anybody's to ask.
mod client; // Asking for a page, hop by hop.
mod page; // What a page says to a reader.
mod search; // Searching by Tavily or SearXNG.

pub(crate) use client::{Fetched, Web};
pub(crate) use page::readable;
pub(crate) use search::{Engine, Search};
