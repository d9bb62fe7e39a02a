//! Who may use which tool: at once, after asking, or not at all.
//!
//! Rules are read in order and the first that fits decides. Where none does, what is safe
//! runs and everything else is asked for.

use std::collections::BTreeMap;

use crate::approval::ApprovalMode;
use crate::message::{Principal, Route};
use crate::tool::{Consent, Risk, ToolSpec};

/// Rules of a policy, at most.
pub const RULES: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ruling {
    Allow,
    Ask,
    Deny,
}

/// One rule. A list that is empty fits everything; in a pattern `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub ruling: Ruling,
    pub users: Vec<String>,
    pub roles: Vec<String>,
    /// `<platform>/<channel>`.
    pub channels: Vec<String>,
    /// Names of tools, or `group:<name>`.
    pub tools: Vec<String>,
}

/// A rule as far as it is about tools, for somebody somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRule {
    pub ruling: Ruling,
    /// Names of tools, or `group:<name>`; empty: all.
    pub tools: Vec<String>,
}

/// What rules that were read for somebody say of a tool.
pub fn ruled(rules: &[ToolRule], mode: ApprovalMode, tool: &ToolSpec) -> Ruling {
    let fits = |rule: &&ToolRule| rule.tools.is_empty() || rule.tools.iter().any(|pattern| means(pattern, tool));
    let ruling = rules.iter().find(fits).map_or_else(|| by_risk(tool.risk), |rule| rule.ruling);
    match mode {
        ApprovalMode::Auto => ruling,
        ApprovalMode::Chat => ruling.max(Ruling::Ask),
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub rules: Vec<Rule>,
    /// The users of each role.
    pub roles: BTreeMap<String, Vec<String>>,
}

/// For whom, and where, a tool is to be used.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub principal: &'a Principal,
    pub route: &'a Route,
    pub mode: ApprovalMode,
}

impl Policy {
    /// The rules that are about somebody, where they are, in their order.
    pub fn of(&self, situation: &Situation<'_>) -> Vec<ToolRule> {
        let fitting = self.rules.iter().filter(|rule| self.fits(rule, situation));
        fitting.map(|rule| ToolRule { ruling: rule.ruling, tools: rule.tools.clone() }).collect()
    }

    /// The tools that are left, each with whether its calls are asked for.
    pub fn apply(&self, situation: &Situation<'_>, tools: Vec<ToolSpec>) -> Vec<ToolSpec> {
        let rules = self.of(situation);
        let ruled = tools.into_iter().map(|tool| (ruled(&rules, situation.mode, &tool), tool));
        ruled
            .filter_map(|(ruling, tool)| match ruling {
                Ruling::Allow => Some(ToolSpec { consent: Consent::Given, ..tool }),
                Ruling::Ask => Some(ToolSpec { consent: Consent::Asked, ..tool }),
                Ruling::Deny => None,
            })
            .collect()
    }

    fn fits(&self, rule: &Rule, situation: &Situation<'_>) -> bool {
        let (user, (platform, channel)) = (situation.principal.user.as_str(), situation.route.ruled_by());
        let any = |patterns: &[String], fits: &dyn Fn(&str) -> bool| {
            patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern))
        };
        let of_role = |role: &str| self.roles.get(role).is_some_and(|users| users.iter().any(|known| known == user));
        any(&rule.users, &|pattern| is_like(pattern, user))
            && any(&rule.roles, &of_role)
            && any(&rule.channels, &|pattern| is_like(pattern, &format!("{platform}/{channel}")))
    }
}

/// Whether a pattern, a name of tools or `group:<name>`, means a tool; `*` stands for any text.
pub fn means(pattern: &str, tool: &ToolSpec) -> bool {
    match pattern.strip_prefix("group:") {
        Some(group) => is_like(group, &tool.group),
        None => is_like(pattern, &tool.name),
    }
}

fn by_risk(risk: Risk) -> Ruling {
    match risk {
        Risk::Safe => Ruling::Allow,
        Risk::Moderate | Risk::Dangerous => Ruling::Ask,
    }
}

/// Whether a text is like a pattern, in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Audience;
    use crate::tool::{Effect, Intent, ToolClass};

    fn tool(name: &str, group: &str, risk: Risk) -> ToolSpec {
        ToolSpec {
            name: name.into(),
            description: String::new(),
            schema: "{}".into(),
            class: ToolClass::Builtin,
            effect: Effect::Once,
            risk,
            intent: Intent::Write,
            group: group.into(),
            is_untrusted: false,
            consent: Consent::Given,
            for_anyone: false,
            timeout_ms: 1,
        }
    }

    fn rule(ruling: Ruling, users: &[&str], roles: &[&str], channels: &[&str], tools: &[&str]) -> Rule {
        let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Rule { ruling, users: all(users), roles: all(roles), channels: all(channels), tools: all(tools) }
    }

    fn ruling(policy: &Policy, user: &str, channel: &str, mode: ApprovalMode, tool: &ToolSpec) -> Ruling {
        let principal = Principal { user: user.into(), name: String::new(), tenant: String::new() };
        let route = Route { platform: "cli".into(), channel: channel.into(), audience: Audience::Direct, parent: None };
        ruled(&policy.of(&Situation { principal: &principal, route: &route, mode }), mode, tool)
    }

    #[test]
    fn what_is_not_safe_is_asked_for_unless_a_rule_says_otherwise() {
        let policy = Policy {
            rules: vec![
                rule(Ruling::Deny, &["cli-kid"], &[], &[], &["group:sandbox"]),
                rule(Ruling::Allow, &[], &["admin"], &["cli/ops*"], &["github__*", "group:sandbox"]),
                rule(Ruling::Ask, &[], &[], &[], &["current_time"]),
            ],
            roles: BTreeMap::from([("admin".to_owned(), vec!["cli-ann".to_owned()])]),
        };
        let (run, github) = (tool("run_shell", "sandbox", Risk::Dangerous), tool("github__get", "mcp", Risk::Moderate));
        let safe = tool("calculate", "basics", Risk::Safe);
        for (user, channel, tool, expected) in [
            ("cli-kid", "main", &run, Ruling::Deny),
            ("cli-ann", "main", &run, Ruling::Ask),
            ("cli-ann", "ops-1", &run, Ruling::Allow),
            ("cli-ann", "ops-1", &github, Ruling::Allow),
            ("cli-bob", "ops-1", &github, Ruling::Ask),
            ("cli-bob", "main", &safe, Ruling::Allow),
        ] {
            assert_eq!(ruling(&policy, user, channel, ApprovalMode::Auto, tool), expected, "{user} {channel} {tool:?}");
        }
        assert_eq!(ruling(&policy, "cli-bob", "main", ApprovalMode::Chat, &safe), Ruling::Ask);
        assert_eq!(ruling(&policy, "cli-kid", "main", ApprovalMode::Chat, &run), Ruling::Deny);
        let time = tool("current_time", "basics", Risk::Safe);
        assert_eq!(ruling(&policy, "cli-bob", "main", ApprovalMode::Auto, &time), Ruling::Ask);
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "axbxc", true),
            ("a*c", "ab", false),
            ("abc", "abcd", false),
            ("a*bb", "abb", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn cutting_a_text_out_leaves_a_pattern_that_fits(text in "[ab]{0,8}", from in 0usize..9, to in 0usize..9) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern = format!("{}*{}", &text[..from], &text[to..]);
            prop_assert!(is_like(&pattern, &text));
        }
    }
}
