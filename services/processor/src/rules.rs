//! The policy file: roles, and rules in order. What they mean is `domain::policy`'s business.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use domain::policy::{Policy, RULES, Rule, Ruling};
use serde::Deserialize;

/// Largest policy file, in bytes.
const BYTES: u64 = 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The users of each role.
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    rule: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    ruling: Word,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    tools: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Allow,
    Ask,
    Deny,
}

/// Reads a policy file. One that was named must be there; the default one need not.
pub(crate) fn read(file: &Path, is_named: bool) -> anyhow::Result<Policy> {
    let remedy = || format!("read the policy {}: mend it, or name another in CLARA_POLICY_FILE", file.display());
    match std::fs::metadata(file) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound && !is_named => return Ok(Policy::default()),
        Err(err) => return Err(err).with_context(remedy),
        Ok(found) => ensure!(found.len() <= BYTES, "the policy {} is larger than {BYTES} bytes", file.display()),
    }
    let text = std::fs::read_to_string(file).with_context(remedy)?;
    parse(&text).with_context(remedy)
}

fn parse(text: &str) -> anyhow::Result<Policy> {
    let File { roles, rule } = toml::from_str(text)?;
    ensure!(rule.len() <= RULES, "it has {} rules, and {RULES} are the limit", rule.len());
    // A rule for a role that nobody has fits nobody: a misspelt one would go unnoticed.
    if let Some(unknown) = rule.iter().flat_map(|rule| &rule.roles).find(|role| !roles.contains_key(*role)) {
        anyhow::bail!("a rule names the role {unknown:?}, which is not among the [roles]");
    }
    let rules = rule.into_iter().map(|written| {
        let Written { ruling, users, roles, channels, tools } = written;
        let ruling = match ruling {
            Word::Allow => Ruling::Allow,
            Word::Ask => Ruling::Ask,
            Word::Deny => Ruling::Deny,
        };
        Rule { ruling, users, roles, channels, tools }
    });
    Ok(Policy { rules: rules.collect(), roles })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_or_refused_with_the_reason() {
        let policy = parse(
            "[roles]\nadmin = ['cli-ann']\n[[rule]]\nruling = 'allow'\nroles = ['admin']\ntools = ['group:memory']\n",
        )
        .unwrap();
        assert_eq!((policy.rules[0].ruling, policy.rules[0].tools.len()), (Ruling::Allow, 1));
        for (text, part) in [
            ("[[rule]]\nruling = 'maybe'", "maybe"),
            ("[[rule]]\nruling = 'deny'\nuser = ['x']", "unknown field `user`"),
            ("[[rule]]\nruling = 'deny'\nroles = ['admn']", "the role \"admn\""),
            ("[[rule]]", "missing field `ruling`"),
        ] {
            let why = format!("{:#}", parse(text).unwrap_err());
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        assert_eq!(read(&file, false).unwrap(), Policy::default());
        let why = format!("{:#}", read(&file, true).unwrap_err());
        assert!(why.contains("CLARA_POLICY_FILE") && why.contains("policy.toml"), "{why}");
    }
}
