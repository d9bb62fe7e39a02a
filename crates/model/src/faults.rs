//! What a vendor's error means for the turn.

use std::time::Duration;

use domain::journal::Fault;
use genai::Error;

/// Longest detail that is logged, in characters.
const DETAIL_CHARS: usize = 400;

/// A failure with what a retry should know.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) detail: String,
    /// How long the vendor asked to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn transient(detail: impl Into<String>) -> Self {
        Self { fault: Fault::Transient, detail: detail.into(), retry_after: None }
    }
}

/// Classifies an error. `key` is taken out of what is logged, because vendors
/// quote it.
pub(crate) fn classify(err: &Error, key: Option<&str>) -> Failure {
    // What a vendor refuses before the stream begins comes as an error of the
    // stream, with the real one inside.
    if let Error::WebStream { error, .. } = err
        && let Some(inner) = error.downcast_ref::<Error>()
    {
        return classify(inner, key);
    }
    let retry_after = err.headers().and_then(|headers| {
        let number = |name: &str| {
            headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0)
        };
        number("retry-after-ms")
            .map(|ms| ms / 1000.0)
            .or(number("retry-after"))
            .or_else(|| until(headers.get("retry-after")?.to_str().ok()?))
            .map(|seconds| Duration::from_secs_f64(seconds.min(86_400.0)))
    });
    let text = err.to_string();
    let fault = match err.status().map(|status| status.as_u16()) {
        Some(401..=403) => Fault::Auth,
        Some(429) => Fault::RateLimited { retry_after_s: retry_after.map(|wait| wait.as_secs_f64().ceil() as u64) },
        Some(400 | 413 | 422) if speaks_of_length(&text) => Fault::ContextOverflow,
        Some(408 | 409 | 425 | 500..=599) => Fault::Transient,
        Some(_) => Fault::Rejected,
        None => in_stream(err, &text),
    };
    Failure { fault, detail: scrub(&text, key), retry_after }
}

/// Errors without a status: connections, time-outs, and errors that a vendor
/// sends within a stream that began well.
fn in_stream(err: &Error, text: &str) -> Fault {
    match err {
        Error::RequiresApiKey { .. } | Error::NoAuthResolver { .. } | Error::NoAuthData { .. } => Fault::Auth,
        Error::ChatResponse { .. } if text.contains("rate_limit") => Fault::RateLimited { retry_after_s: None },
        Error::ChatResponse { .. } if text.contains("authentication_error") || text.contains("invalid_api_key") => {
            Fault::Auth
        }
        Error::ChatResponse { .. } if speaks_of_length(text) => Fault::ContextOverflow,
        Error::ChatResponse { .. } if text.contains("invalid_request_error") => Fault::Rejected,
        _ => Fault::Transient,
    }
}

/// Seconds until a date as of RFC 9110, section 5.6.7.
fn until(date: &str) -> Option<f64> {
    let at = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(at.duration_since(jiff::Timestamp::now()).as_secs_f64().max(0.0))
}

fn speaks_of_length(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "context_length",
        "context length",
        "context window",
        "prompt is too long",
        "maximum context",
        "too many tokens",
        "input is too long",
    ]
    .iter()
    .any(|phrase| text.contains(phrase))
}

fn scrub(text: &str, key: Option<&str>) -> String {
    let text = match key.filter(|key| key.len() >= 4) {
        Some(key) => text.replace(key, "***"),
        None => text.to_owned(),
    };
    text.chars().take(DETAIL_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_scrubbed_and_text_is_cut() {
        let text = format!("bad key sk-canary {}", "x".repeat(1000));
        let scrubbed = scrub(&text, Some("sk-canary"));
        assert!(!scrubbed.contains("canary") && scrubbed.chars().count() == DETAIL_CHARS);
    }
}
