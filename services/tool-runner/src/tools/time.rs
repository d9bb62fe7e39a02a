//! What time it is, anywhere.

use async_trait::async_trait;
use domain::tool::{Effect, Risk, ToolRequest, ToolSpec};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{for_anyone, spec, text};
use crate::registry::Builtin;

pub(super) struct CurrentTime {
    spec: ToolSpec,
    home: String,
}

impl CurrentTime {
    pub(super) fn new(home: &str) -> Self {
        let zone = json!({"type": "string", "description": "IANA time zone such as Europe/Oslo; the person's own if left out"});
        let description = "Tells the current date and time.";
        let spec = spec("current_time", description, Effect::ReadOnly, Risk::Safe, json!({"timezone": zone}), &[]);
        Self { spec: for_anyone(spec), home: home.to_owned() }
    }
}

#[async_trait]
impl Builtin for CurrentTime {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, _: &ToolRequest, arguments: Value) -> Result<String, String> {
        let asked = text(&arguments, "timezone");
        let name = if asked.is_empty() { &self.home } else { asked };
        let zone = TimeZone::get(name).map_err(|_| format!("`{name}` is no IANA time zone; one is Europe/Oslo"))?;
        let now = Timestamp::now().to_zoned(zone);
        Ok(format!("It is {} in {name}.", now.strftime("%H:%M:%S on %A, %-d %B %Y (UTC%:z)")))
    }
}
