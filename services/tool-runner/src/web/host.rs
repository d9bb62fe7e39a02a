//! Names of hosts that something may reach. Pure.

use std::fmt;
use std::str::FromStr;

/// Ports that are meant when none is named.
const PORTS: [u16; 2] = [80, 443];

/// A host by its name, all below a name (`*.example.org`), and perhaps one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    name: String,
    with_subdomains: bool,
    port: Option<u16>,
}

impl Host {
    pub(crate) fn allows(&self, host: &str, port: u16) -> bool {
        // A name may end with the dot of the root.
        let host = host.trim_end_matches('.').to_lowercase();
        let is_below = |host: &str| host.strip_suffix(&self.name).is_some_and(|rest| rest.ends_with('.'));
        let is_host = if self.with_subdomains { is_below(&host) } else { host == self.name };
        is_host && self.port.map_or(PORTS.contains(&port), |only| only == port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.with_subdomains { "*." } else { "" };
        write!(f, "{below}{}", self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is no host: name it as example.org, *.example.org or example.org:8443");
        let (with_subdomains, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| refused())?)),
            None => (rest, None),
        };
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        match name.len() <= 253 && name.split('.').all(is_label) {
            true => Ok(Self { name: name.to_lowercase(), with_subdomains, port }),
            false => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_allow_what_they_say_and_no_more() {
        let allows = |pattern: &str, host: &str, port| pattern.parse::<Host>().unwrap().allows(host, port);
        assert!(allows("pypi.org", "pypi.org", 443) && allows("pypi.org", "PyPI.org.", 80));
        assert!(!allows("pypi.org", "pypi.org", 22) && !allows("pypi.org", "pypi.org.evil.example", 443));
        assert!(!allows("pypi.org", "notpypi.org", 443) && !allows("pypi.org", "a.pypi.org", 443));
        assert!(allows("*.example.org", "a.b.example.org", 443) && !allows("*.example.org", "example.org", 443));
        assert!(!allows("*.example.org", "badexample.org", 443));
        assert!(allows("example.org:8443", "example.org", 8443) && !allows("example.org:8443", "example.org", 443));
        for text in ["pypi.org", "*.example.org", "example.org:8443"] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), text);
        }
        for bad in ["", "*", "*.", "a b", "https://example.org", "example.org/x", "example.org:x", "a..b", "*.*.org"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}
