//! How sub-agents are spoken to: as the terminals' adapter takes what people say.

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::ids::TurnId;
use domain::message::{Parent, Principal, SUBAGENT};
use domain::tool::ToolRequest;
use proto::terminal::{Said, Say, Saying};
use service_kit::task::{self, TaskKind};

use crate::actors::stops::Stops;

/// How long the adapter may take to take a message.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why something was not said to a sub-agent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsaid {
    #[error("{0}")]
    Refused(String),
    /// It may have been heard.
    #[error("{0}")]
    Unheard(String),
}

impl From<Unsaid> for String {
    fn from(unsaid: Unsaid) -> Self {
        unsaid.to_string()
    }
}

async fn send(bus: &Bus, say: &Say) -> Result<(), Unsaid> {
    match bus.request(Endpoints::CliSay, say, PATIENCE).await {
        Ok(Said::Accepted { .. }) => Ok(()),
        Ok(Said::Refused { because }) => Err(Unsaid::Refused(because)),
        Err(err) => Err(Unsaid::Unheard(err.to_string())),
    }
}

pub(super) async fn stop(bus: &Bus, speaker: &Principal, channel: String) {
    let id = format!("{channel}-stop");
    let say = Say { id, channel, speaker: speaker.clone(), parent: None, what: Saying::Stop };
    // It ends by its own limits, if nobody hears this.
    let _ = send(bus, &say).await;
}

/// Says something to a sub-agent, on behalf of the conversation that began it. `message`: the
/// same again is the same message.
pub(super) async fn say(
    bus: &Bus,
    request: &ToolRequest,
    id: &str,
    message: String,
    what: Saying,
) -> Result<(), Unsaid> {
    let ToolRequest { conversation, route, approval, .. } = request;
    let parent = Parent {
        conversation: conversation.clone(),
        platform: route.platform.clone(),
        channel: route.channel.clone(),
        audience: route.audience,
        approval: *approval,
    };
    let (speaker, channel) = (request.principal.clone(), channel(id));
    send(bus, &Say { id: message, channel, speaker, parent: Some(parent), what }).await
}

/// The channel of its conversation.
pub(super) fn channel(id: &str) -> String {
    format!("{SUBAGENT}{id}")
}

/// Stops a sub-agent whose parent's turn was stopped. Whoever waits for it otherwise no more, since
/// another runner does now, leaves it at work.
pub(super) struct StopWithTurn {
    pub(super) bus: Bus,
    pub(super) speaker: Principal,
    /// Where it is; nothing once it need not be stopped.
    pub(super) channel: Option<String>,
    pub(super) turn: TurnId,
    pub(super) stops: Stops,
}

impl Drop for StopWithTurn {
    fn drop(&mut self) {
        let Some(channel) = self.channel.take().filter(|_| self.stops.has_stopped(self.turn)) else { return };
        let (bus, speaker) = (self.bus.clone(), self.speaker.clone());
        task::spawn(TaskKind::Work, "stop-subagent", async move {
            stop(&bus, &speaker, channel).await;
        });
    }
}
