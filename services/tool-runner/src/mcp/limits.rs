//! How many calls of servers one person may make, through all replicas: what has begun is counted.

use domain::mcp::{McpAnswer, McpLimit};

use super::Plugins;
use crate::ports::{CallLimit, Called, Calls, RateLimits};

const MINUTE_MS: i64 = 60_000;
/// Limits that administrators set, at most.
const SET: usize = 1000;
/// Longest name in one, in bytes.
const NAME_BYTES: usize = 200;

/// Calls in a minute, an hour and a day, where no administrator has set anything else; 0: any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallLimits {
    pub(crate) minute: u64,
    pub(crate) hour: u64,
    pub(crate) day: u64,
}

impl CallLimits {
    /// Counts a call that is about to be made; the error, for the model, says why it may not.
    pub(super) async fn begin(
        &self,
        limits: &dyn RateLimits,
        calls: &dyn Calls,
        called: &Called,
    ) -> Result<(), String> {
        let set = limits.all().await.map_err(|err| format!("not called: {err}"))?;
        let applying = applying(self, &set, &called.user, &called.key.name, &called.tool);
        if applying.is_empty() {
            return Ok(());
        }
        let since = |minutes: i64| called.started_at_ms.saturating_sub(minutes * MINUTE_MS);
        let counted = applying.iter().map(|one| CallLimit {
            most: one.most,
            since_ms: since(one.minutes),
            server: one.server.clone(),
            tool: one.tool.clone(),
        });
        let exceeded = calls.begin_call(called, &counted.collect::<Vec<_>>()).await;
        let exceeded = exceeded.map_err(|err| format!("not called: {err}"))?;
        match exceeded.and_then(|index| applying.get(index)) {
            None => Ok(()),
            Some(one) => Err(one.told()),
        }
    }
}

/// One limit, as far as it is about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Applying {
    most: u64,
    minutes: i64,
    server: String,
    tool: String,
}

impl Applying {
    fn told(&self) -> String {
        let of = match (self.server.as_str(), self.tool.as_str()) {
            ("", "") => "servers".to_owned(),
            (server, "") => format!("`{server}`"),
            ("", tool) => format!("tools that are called `{tool}`"),
            (server, tool) => format!("`{server}__{tool}`"),
        };
        let time = match self.minutes {
            1 => "a minute",
            60 => "an hour",
            _ => "a day",
        };
        format!("not called: {} calls of {of} in {time} are what this person may make, and they were made", self.most)
    }
}

/// Those that are about a call: for each server and tool, or any, what was set for the person,
/// else what was set for each, else what the settings say of all calls together. Pure.
fn applying(settings: &CallLimits, set: &[McpLimit], user: &str, server: &str, tool: &str) -> Vec<Applying> {
    let scopes = [("", ""), (server, ""), ("", tool), (server, tool)];
    let of_settings =
        McpLimit { per_minute: settings.minute, per_hour: settings.hour, per_day: settings.day, ..McpLimit::default() };
    let mut found = Vec::new();
    for (of_server, of_tool) in scopes {
        let of = |whose: &str| {
            set.iter().find(|one| one.user == whose && (one.server.as_str(), one.tool.as_str()) == (of_server, of_tool))
        };
        let is_whole = of_server.is_empty() && of_tool.is_empty();
        let Some(limit) = of(user).or_else(|| of("")).or(is_whole.then_some(&of_settings)) else { continue };
        for (most, minutes) in [(limit.per_minute, 1), (limit.per_hour, 60), (limit.per_day, 1440)] {
            if most > 0 {
                found.push(Applying { most, minutes, server: of_server.to_owned(), tool: of_tool.to_owned() });
            }
        }
    }
    found
}

impl Plugins {
    /// The limits that were set: all of them for administrators, those that are about them for
    /// others.
    pub(super) async fn limits_of(&self, user: &str) -> Result<McpAnswer, String> {
        let mut limits = self.rate_limits.all().await.map_err(|err| err.to_string())?;
        let sees_all = self.is_admin(user);
        limits.retain(|limit| sees_all || limit.user.is_empty() || limit.user == user);
        Ok(McpAnswer { limits, ..McpAnswer::default() })
    }

    pub(super) async fn set_limit(&self, user: &str, limit: McpLimit) -> Result<McpAnswer, String> {
        self.admin(user)?;
        let names = [&limit.user, &limit.server, &limit.tool];
        if names.iter().any(|name| name.len() > NAME_BYTES || name.chars().any(char::is_control)) {
            return Err(format!("a name in a limit has at most {NAME_BYTES} bytes, without control characters"));
        }
        match self.rate_limits.set(&limit, SET).await.map_err(|err| err.to_string())? {
            true => self.limits_of(user).await,
            false => Err(format!("{SET} limits are set already, and that is the limit")),
        }
    }

    pub(super) async fn drop_limit(&self, user: &str, of: &str, server: &str, tool: &str) -> Result<McpAnswer, String> {
        self.admin(user)?;
        match self.rate_limits.remove(of, server, tool).await.map_err(|err| err.to_string())? {
            true => self.limits_of(user).await,
            false => Err("no such limit is set; `clara mcp limit list` shows those that are".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(user: &str, server: &str, tool: &str, per_minute: u64) -> McpLimit {
        let (user, server, tool) = (user.to_owned(), server.to_owned(), tool.to_owned());
        McpLimit { user, server, tool, per_minute, ..McpLimit::default() }
    }

    #[test]
    fn what_names_a_person_takes_the_place_of_what_names_nobody() {
        let settings = CallLimits { minute: 10, hour: 0, day: 100 };
        let set =
            [limit("", "mail", "", 5), limit("ann", "mail", "", 50), limit("bob", "", "", 0), limit("", "", "send", 1)];
        let of = |user: &str, server: &str, tool: &str| {
            let found = applying(&settings, &set, user, server, tool);
            found.iter().map(|one| (one.most, one.minutes, one.server.clone(), one.tool.clone())).collect::<Vec<_>>()
        };
        let whole = |most, minutes| (most, minutes, String::new(), String::new());
        assert_eq!(of("carol", "time", "now"), [whole(10, 1), whole(100, 1440)]);
        assert_eq!(of("bob", "time", "now"), [], "any, for him");
        assert_eq!(of("bob", "mail", "list"), [(5, 1, "mail".into(), String::new())]);
        assert_eq!(of("ann", "mail", "list")[2..], [(50, 1, "mail".into(), String::new())]);
        assert_eq!(of("ann", "mail", "send")[3..], [(1, 1, String::new(), "send".into())]);
    }
}
