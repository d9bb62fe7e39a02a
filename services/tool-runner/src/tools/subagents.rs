//! Sub-agents: turns of their own, each in a conversation of its own, which do a part of the
//! work beside the turn that began them. Whatever is killed, they are ordinary turns.

mod saying; // How they are spoken to.
mod specs; // What models read of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::Bus;
use domain::guard::cut_middle;
use domain::ids::{ConversationId, MessageId, TurnId};
use domain::queue::QueueMode;
use domain::tool::{ToolRequest, ToolSpec};
use domain::turn::{Reply, ReplyKind};
use proto::terminal::{PLATFORM, Saying, place};
use serde_json::Value;
use service_kit::clock::now_ms;
use service_kit::task::{self, TaskKind};
use tokio::sync::Semaphore;

use self::saying::{StopWithTurn, Unsaid, channel, say, stop};
use self::specs::Doing;
use super::text;
use crate::actors::stops::Stops;
use crate::ports::{Child, Children};
use crate::registry::{Builtin, Tool};

/// Those that one conversation has running, at most.
const RUNNING: usize = 5;
/// Those that are listed, and that are looked at for those that run.
const LISTED: usize = 20;
const KNOWN: u32 = 500;
/// How long one may take.
const LONGEST: Duration = Duration::from_secs(600);
/// Calls of one process that wait for a sub-agent, at most: fewer than it has at work, or those
/// that a sub-agent makes would find no place.
const WAITING: usize = 32;
/// Longest result in a list, in characters.
const LISTED_CHARS: usize = 2000;

struct SubagentTool {
    spec: ToolSpec,
    doing: Doing,
    bus: Bus,
    children: Arc<dyn Children>,
    waiting: Arc<Semaphore>,
    stops: Stops,
}

pub(crate) fn all(bus: &Bus, children: &Arc<dyn Children>, stops: &Stops) -> Vec<Arc<dyn Tool>> {
    let waiting = Arc::new(Semaphore::new(WAITING));
    let tool = |(spec, doing)| {
        let (bus, children, waiting) = (bus.clone(), Arc::clone(children), Arc::clone(&waiting));
        Arc::new(SubagentTool { spec, doing, bus, children, waiting, stops: stops.clone() }) as Arc<dyn Tool>
    };
    specs::all().into_iter().map(tool).collect()
}

#[async_trait]
impl Builtin for SubagentTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        match self.doing {
            Doing::Spawn => self.spawn(request, &arguments).await,
            Doing::List => self.list(request).await,
            Doing::Kill => self.kill(request, text(&arguments, "id")).await,
            Doing::Steer => self.steer(request, text(&arguments, "id"), text(&arguments, "instruction")).await,
        }
    }
}

impl SubagentTool {
    async fn spawn(&self, request: &ToolRequest, arguments: &Value) -> Result<String, String> {
        let parent = &request.conversation;
        if self.children.is_child(parent).await.map_err(|err| err.to_string())? {
            return Err("a sub-agent has none of its own".to_owned());
        }
        // The same call again is the same sub-agent.
        let call = request.call.to_string();
        let id = blake3::hash(call.as_bytes()).to_hex()[..8].to_owned();
        let speaker = &request.principal;
        let child = Child {
            conversation: ConversationId::derive(&place(speaker, &channel(&id))),
            message: MessageId::new(PLATFORM, &call).map_err(|err| err.to_string())?,
            started_at_ms: now_ms(),
            tools: arguments.get("tool_subset").map(texts).unwrap_or_default(),
            id,
        };
        self.take_place(parent, &child).await?;
        let mut stopping = StopWithTurn {
            bus: self.bus.clone(),
            speaker: speaker.clone(),
            channel: Some(channel(&child.id)),
            turn: request.call.turn,
            stops: self.stops.clone(),
        };
        // One that may have begun keeps its place until its time is up.
        if let Err(unsaid) = self.begin(request, &child, arguments).await {
            if let Unsaid::Refused(_) = unsaid {
                self.children.remove(parent, &child.id).await.map_err(|err| err.to_string())?;
                stopping.channel = None;
            }
            return Err(unsaid.to_string());
        }
        let result = result(self.bus.clone(), child.clone());
        let place = match arguments.get("wait").and_then(Value::as_bool) {
            Some(false) => Err("look later with subagent_list"),
            _ => {
                self.waiting.try_acquire().map_err(|_| "so many wait for theirs already: look later with subagent_list")
            }
        };
        if let Err(why) = place {
            stopping.channel = None;
            let (bus, speaker, channel) = (self.bus.clone(), speaker.clone(), channel(&child.id));
            // Nobody waits for it, but its time is up at some time too.
            task::spawn(TaskKind::Work, "await-subagent", async move {
                if tokio::time::timeout(LONGEST, result).await.is_err() {
                    stop(&bus, &speaker, channel).await;
                }
            });
            return Ok(format!("Begun as `{}`: {why}.", child.id));
        }
        let found = tokio::time::timeout(LONGEST, result).await;
        let Ok(reply) = found else {
            stop(&self.bus, speaker, channel(&child.id)).await;
            return Err(format!("it took longer than {LONGEST:?} and was stopped"));
        };
        let reply = reply?;
        stopping.channel = None;
        match reply.kind {
            ReplyKind::Failed | ReplyKind::Refused => Err(reply.text),
            _ => Ok(shown(&reply)),
        }
    }

    async fn begin(&self, request: &ToolRequest, child: &Child, arguments: &Value) -> Result<(), Unsaid> {
        let call = request.call.to_string();
        say(&self.bus, request, &child.id, format!("{call}-mode"), Saying::Mode(QueueMode::Steer)).await?;
        let tier = match text(arguments, "tier") {
            "" => "mid",
            tier => tier,
        };
        let task = format!("!{tier} {}", text(arguments, "task"));
        say(&self.bus, request, &child.id, call, Saying::text(task)).await
    }

    /// Takes a place among those that may run, which is its own from then on. Of several that
    /// come at once, those that came first have it.
    async fn take_place(&self, parent: &ConversationId, child: &Child) -> Result<(), String> {
        self.children.add(parent, child).await.map_err(|err| err.to_string())?;
        let known = self.of(parent).await?;
        let running: Vec<&Child> =
            known.iter().filter(|(child, reply)| reply.is_none() && is_recent(child)).map(|(child, _)| child).collect();
        let newer = running.iter().take_while(|other| other.id != child.id).count();
        match running.len().saturating_sub(newer) > RUNNING {
            false => Ok(()),
            true => {
                self.children.remove(parent, &child.id).await.map_err(|err| err.to_string())?;
                Err(format!("{RUNNING} sub-agents run already: wait for one, or stop one"))
            }
        }
    }

    async fn list(&self, request: &ToolRequest) -> Result<String, String> {
        let known = self.of(&request.conversation).await?;
        let lines = known.iter().map(|(child, reply)| match reply {
            Some(reply) => format!("- {}: {}", child.id, cut_middle(&shown(reply), LISTED_CHARS)),
            None if is_recent(child) => format!("- {}: running", child.id),
            None => format!("- {}: no word of it within {LONGEST:?}", child.id),
        });
        match known.is_empty() {
            true => Ok("There are none.".to_owned()),
            false => Ok(lines.collect::<Vec<_>>().join("\n")),
        }
    }

    async fn kill(&self, request: &ToolRequest, id: &str) -> Result<String, String> {
        let known = self.of(&request.conversation).await?;
        let meant: Vec<&Child> = known
            .iter()
            .filter(|(child, reply)| reply.is_none() && (id == "all" || child.id == id))
            .map(|(child, _)| child)
            .collect();
        for child in &meant {
            let message = format!("{}-{}", request.call, child.id);
            say(&self.bus, request, &child.id, message, Saying::Stop).await?;
        }
        let is_known = id == "all" || known.iter().any(|(child, _)| child.id == id);
        match meant.len() {
            // Again is the same.
            0 if is_known => Ok("None of that runs any more.".to_owned()),
            0 => Err(format!("there is no sub-agent {id:?}; subagent_list shows them")),
            stopped => Ok(format!("Stopped {stopped}.")),
        }
    }

    async fn steer(&self, request: &ToolRequest, id: &str, instruction: &str) -> Result<String, String> {
        let known = self.of(&request.conversation).await?;
        let meant = known.iter().find(|(child, reply)| child.id == id && reply.is_none());
        let (child, _) = meant.ok_or_else(|| format!("no sub-agent {id:?} runs; subagent_list shows them"))?;
        say(&self.bus, request, &child.id, request.call.to_string(), Saying::text(instruction)).await?;
        Ok("It reads that at its next step.".to_owned())
    }

    /// The sub-agents of a conversation, newest first, each with what it found.
    async fn of(&self, parent: &ConversationId) -> Result<Vec<(Child, Option<Reply>)>, String> {
        let mut all = Vec::new();
        let known = self.children.of(parent, KNOWN).await.map_err(|err| err.to_string())?;
        // However many there are, those that may be running are among them.
        let known = known.into_iter().enumerate().filter(|(number, child)| *number < LISTED || is_recent(child));
        for (_, child) in known {
            let turn = TurnId::derive(&child.conversation, &child.message);
            let reply = self.bus.shown_reply(&child.conversation, turn).await.map_err(|err| err.to_string())?;
            all.push((child, reply));
        }
        Ok(all)
    }
}

/// Waits for what it found.
async fn result(bus: Bus, child: Child) -> Result<Reply, String> {
    let mut replies = bus.follow_replies(&child.conversation, Some(0)).await.map_err(|err| err.to_string())?;
    while let Some((_, reply)) = replies.next().await {
        if reply.answers.contains(&child.message) {
            return Ok(reply);
        }
    }
    Err("the message bus is gone".to_owned())
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Whether it may still be running.
fn is_recent(child: &Child) -> bool {
    let longest = i64::try_from(LONGEST.as_millis()).unwrap_or(i64::MAX);
    now_ms().saturating_sub(child.started_at_ms) < longest
}

/// What it found, or why it did not go on.
fn shown(reply: &Reply) -> String {
    match reply.kind {
        ReplyKind::Question => {
            format!("It waits for the person's word (`clara approval list`), and asked:\n{}", reply.text)
        }
        ReplyKind::Stopped => format!("It was stopped. {}", reply.text),
        _ => reply.text.clone(),
    }
}
