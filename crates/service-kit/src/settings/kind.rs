//! What the value of a setting must look like.

use std::net::SocketAddr;

use jiff::tz::TimeZone;
use tracing_subscriber::EnvFilter;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Secret,
    /// Secrets of several people: `name=secret`, with commas between.
    Secrets,
    /// A whole number between two bounds.
    Number {
        min: u64,
        max: u64,
    },
    Flag,
    Url(&'static [&'static str]),
    Choice(&'static [&'static str]),
    /// `host:port`.
    Address,
    /// An IANA time zone.
    TimeZone,
    /// A filter of the crate tracing-subscriber.
    LogFilter,
    /// A folder or file that need not be there yet.
    Path,
    /// A file that must be readable.
    File,
}

/// Shortest password in a URL that is looked for in texts, in bytes.
const PASSWORD: usize = 12;

impl Kind {
    /// Checks a value; the error is the remedy.
    pub fn check(self, value: &str) -> Result<(), String> {
        match self {
            Kind::Text | Kind::Secret | Kind::Secrets | Kind::Path => Ok(()),
            Kind::Number { min, max } => match value.parse::<u64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(format!("give a whole number from {min} to {max}")),
            },
            Kind::Flag if is_yes(value) || is_no(value) => Ok(()),
            Kind::Flag => Err("give true or false".into()),
            Kind::Url(schemes) => match value.split_once("://") {
                Some((scheme, rest)) if schemes.contains(&scheme) && !rest.is_empty() => Ok(()),
                _ => Err(format!("give a URL that begins with {}", join(schemes, "://"))),
            },
            Kind::Choice(choices) if choices.contains(&value) => Ok(()),
            Kind::Choice(choices) => Err(format!("give one of {}", join(choices, ""))),
            Kind::Address => {
                value.parse::<SocketAddr>().map(|_| ()).map_err(|_| "give an address such as 127.0.0.1:8080".into())
            }
            Kind::TimeZone => match TimeZone::get(value) {
                Ok(_) => Ok(()),
                Err(_) => Err("give an IANA time zone such as Europe/Berlin".into()),
            },
            Kind::LogFilter => match EnvFilter::try_new(value) {
                Ok(_) => Ok(()),
                Err(err) => Err(format!("give a log filter such as info,bus=debug: {err}")),
            },
            Kind::File => match std::fs::File::open(value) {
                Ok(_) => Ok(()),
                Err(err) => Err(format!("give a file that can be read ({err})")),
            },
        }
    }
}

impl Kind {
    /// What of a value is nobody's to read.
    pub(super) fn secrets(self, value: &str) -> Vec<String> {
        match self {
            Kind::Secret => vec![value.to_owned()],
            Kind::Secrets => {
                let pairs = value.split(',').map(|pair| pair.split_once('=').map_or(pair, |(_, secret)| secret));
                pairs.map(|secret| secret.trim().to_owned()).collect()
            }
            // Passwords travel in URLs. A short one is often a word, such as "postgres", that answers hold.
            Kind::Url(_) => {
                let authority = value.split_once("://").map_or("", |(_, rest)| rest).split('/').next();
                let login = authority.unwrap_or_default().rsplit_once('@').map_or("", |(login, _)| login);
                let password = login.split_once(':').map(|(_, password)| password.to_owned());
                password.filter(|password| password.len() >= PASSWORD).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

fn join(items: &[&str], suffix: &str) -> String {
    items.iter().map(|item| format!("{item}{suffix}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn is_yes(value: &str) -> bool {
    ["true", "1", "yes", "on"].contains(&value.to_ascii_lowercase().as_str())
}

fn is_no(value: &str) -> bool {
    ["false", "0", "no", "off"].contains(&value.to_ascii_lowercase().as_str())
}
