//! What somebody answers whom the operator has named: an engine, a registry, a place of files.

use reqwest::{RequestBuilder, StatusCode};

use super::client::told;

/// Why there is no answer, in words.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// They do not answer, or have had enough of us: they are left alone for a while.
    Unreachable(String),
    Refused(String),
}

impl Unanswered {
    /// What an answer means that is none.
    pub(super) fn of(status: StatusCode, why: String) -> Self {
        match status.is_server_error() || matches!(status.as_u16(), 429 | 432 | 433) {
            true => Self::Unreachable(why),
            false => Self::Refused(why),
        }
    }
}

/// What they answer, if it has at most `limit` bytes.
pub(super) async fn answered(request: RequestBuilder, limit: usize) -> Result<(StatusCode, Vec<u8>), Unanswered> {
    let unreachable = |err: reqwest::Error| Unanswered::Unreachable(told(&err));
    let mut response = request.send().await.map_err(unreachable)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > limit {
            return Err(Unanswered::Refused("it answered with too much".to_owned()));
        }
    }
    Ok((response.status(), body))
}
