//! How many calls of servers one person may make, through all replicas: what has begun is counted.

use crate::ports::{CallLimit, Called, Calls};

const MINUTE_MS: i64 = 60_000;

/// Calls in a minute, an hour and a day; 0: any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallLimits {
    pub(crate) minute: u64,
    pub(crate) hour: u64,
    pub(crate) day: u64,
}

impl CallLimits {
    /// Counts a call that is about to be made; the error, for the model, says why it may not.
    pub(super) async fn begin(&self, calls: &dyn Calls, called: &Called) -> Result<(), String> {
        let all = [(self.minute, 1, "minute"), (self.hour, 60, "hour"), (self.day, 1440, "day")];
        let limits: Vec<_> = all.into_iter().filter(|(most, ..)| *most > 0).collect();
        if limits.is_empty() {
            return Ok(());
        }
        let since = |minutes: i64| called.started_at_ms.saturating_sub(minutes * MINUTE_MS);
        let counted: Vec<_> =
            limits.iter().map(|(most, minutes, _)| CallLimit { most: *most, since_ms: since(*minutes) }).collect();
        let exceeded = calls.begin_call(called, &counted).await.map_err(|err| format!("not called: {err}"))?;
        match exceeded.and_then(|index| limits.get(index)) {
            None => Ok(()),
            Some((most, _, what)) => Err(format!(
                "not called: {most} calls of servers in a {what} are what one person may make, and they were made"
            )),
        }
    }
}
