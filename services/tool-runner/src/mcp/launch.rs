//! What a server may be called, and what may be run or asked for it, whoever planned that: the
//! fields are whole, bounded, and hold nothing that a terminal would obey.

use domain::mcp::{Launch, NAME_BYTES};

use crate::web::is_trustworthy;

/// Most arguments of a command, and longest of them, in bytes.
const ARGUMENTS: usize = 64;
const ARGUMENT_BYTES: usize = 4096;

/// Whether a server may be called so.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= NAME_BYTES
        && !name.contains("__")
        && !name.ends_with('_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    match fits {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name for a server: at most {NAME_BYTES} of a-z, 0-9, - and _, beginning with a letter, no \
             two _ in a row"
        )),
    }
}

/// Whether what would be run is what somebody could have planned: the fields are whole,
/// bounded, and hold nothing that a terminal would obey.
pub(super) fn check_launch(launch: &Launch) -> Result<(), String> {
    let plain = |text: &str| text.len() <= ARGUMENT_BYTES && !text.chars().any(char::is_control);
    let named = |name: &str| {
        !name.is_empty()
            && name.len() <= 100
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    match launch {
        Launch::Stdio { command, env } => {
            let program = command.first().filter(|program| !program.is_empty() && !program.starts_with('-'));
            let fits = program.is_some() && command.len() <= ARGUMENTS && command.iter().all(|part| plain(part));
            if !fits {
                return Err(format!(
                    "a command has a program and at most {ARGUMENTS} arguments without control characters"
                ));
            }
            if env.len() > ARGUMENTS || !env.iter().all(|(name, value)| named(name) && plain(value)) {
                return Err("a variable of the environment has a name of letters, digits and _".to_owned());
            }
            Ok(())
        }
        Launch::Http { url: address, headers } => {
            check_url(address)?;
            if headers.len() > ARGUMENTS || !headers.iter().all(|(name, value)| named(name) && plain(value)) {
                return Err("a header has a name of letters, digits and -, and a value on one line".to_owned());
            }
            Ok(())
        }
    }
}

/// Whether a server may be reached so; its host comes back, with its port if it names one.
pub(super) fn check_url(source: &str) -> Result<&str, String> {
    let rest = source.split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains(['@', '$']) {
        return Err(format!(
            "{source:?} names no host, or holds a password or a variable there: give headers for that"
        ));
    }
    if !is_trustworthy(source) {
        return Err(
            "a server elsewhere must be reached by https://: what is said to it could be read on the way".to_owned()
        );
    }
    Ok(host)
}
