//! How many calls of servers one person may make: what has ended is counted, in all replicas.

use crate::ports::Installations;

const MINUTE_MS: i64 = 60_000;

/// Calls in a minute, an hour and a day; 0: any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallLimits {
    pub(crate) minute: u64,
    pub(crate) hour: u64,
    pub(crate) day: u64,
}

impl CallLimits {
    /// Whether one more may be made; the error is for the model.
    pub(super) async fn check(&self, calls: &dyn Installations, user: &str, now_ms: i64) -> Result<(), String> {
        for (most, minutes, what) in [(self.minute, 1, "minute"), (self.hour, 60, "hour"), (self.day, 1440, "day")] {
            if most == 0 {
                continue;
            }
            let since = now_ms.saturating_sub(minutes * MINUTE_MS);
            let made = calls.calls_since(user, since).await.map_err(|err| format!("not called: {err}"))?;
            if made >= most {
                return Err(format!(
                    "not called: {made} calls of servers in the last {what}, and {most} is what one person may make"
                ));
            }
        }
        Ok(())
    }
}
