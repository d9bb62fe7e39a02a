//! Takes a turn's request, gathers what is known, hands its context on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bus::{Alone, Bus, Delivery, Handler, PublishError, Subject, Verdict};
use domain::memory::{COMPARED, Comparison, RecallRequest, Recalled, Similarities};
use domain::policy::{Policy, Situation};
use domain::tool::{ListTools, ToolSpec};
use domain::tool_search;
use domain::turn::TurnRequest;
use recall::tool_text;
use service_kit::clock::now_ms;
use service_kit::crash::{CrashPoint, crash_point};
use tracing::{debug, instrument, warn};

use crate::attached::{self, Room};
use crate::choice::{self, Meaning};
use crate::counts::Counts;
use crate::ports::{Catalogue, Files, Recollection};
use crate::prompt::{self, Attachments, Known, Voice};
use crate::tier::TierChoice;

/// Memories in a prompt, at most.
const FACTS: u32 = 35;
/// Relations in a prompt, at most.
const RELATIONS: u32 = 20;
/// Passages of earlier conversations in a prompt, at most.
const PASSAGES: u32 = 10;
/// The part of the newest messages that memories are searched by, in characters.
const QUERY_CHARS: usize = 6000;
/// First wait for the turn before; doubles up to the longest one.
const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(1);
/// How long it is waited for before its own message is put back.
const LATE: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(500);

pub(crate) struct Preparer {
    pub(crate) bus: Bus,
    pub(crate) recollection: Arc<dyn Recollection>,
    pub(crate) catalogue: Arc<dyn Catalogue>,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) tiers: TierChoice,
    pub(crate) policy: Policy,
    pub(crate) voice: Voice,
    pub(crate) counts: Counts,
    pub(crate) history_messages: u32,
}

#[async_trait]
impl Handler<TurnRequest> for Preparer {
    #[instrument(name = "prepare", skip_all, fields(turn = %request.turn, conversation = %request.conversation))]
    async fn handle(&self, request: TurnRequest, delivery: &Delivery) -> Verdict {
        crash_point(CrashPoint::TurnReceived);
        let Some(principal) = request.principal().cloned() else {
            return Verdict::Dead("a turn without a message".into());
        };
        let query: String = request.messages.iter().map(|message| message.text.as_str()).collect::<Vec<_>>().join("\n");
        let recall = RecallRequest {
            conversation: request.conversation.clone(),
            channel: request.route.channel.clone(),
            principal: principal.clone(),
            audience: request.route.heard_by(),
            generation: request.generation,
            previous: request.previous,
            query: query.chars().take(QUERY_CHARS).collect(),
            history_limit: self.history_messages,
            fact_limit: FACTS,
            relation_limit: RELATIONS,
            passage_limit: PASSAGES,
        };
        let of_subagent = request.route.is_subagent().then(|| request.conversation.clone());
        let usable = ListTools { principal: principal.clone(), conversation: of_subagent };
        let gather = async {
            tokio::join!(self.recollection.recall(&recall), self.catalogue.tools(&usable), self.tiers.choose(&request))
        };
        let Some((recalled, tools, tier)) = delivery.keep_alive(gather).await else { return Verdict::Leave };
        let mut notices = Vec::new();
        let recalled = recalled.unwrap_or_else(|away| {
            warn!(why = away.0, "answering without memory");
            notices.push("memory unavailable".to_owned());
            Default::default()
        });
        if recalled.degraded {
            notices.push("memory degraded".to_owned());
        }
        let tools = tools.unwrap_or_else(|away| {
            warn!(why = away.0, "answering without tools");
            notices.push("tools unavailable".to_owned());
            Vec::new()
        });
        let tools = match request.has_one_speaker() {
            true => tools,
            false => tools.into_iter().filter(|tool| tool.for_anyone).collect(),
        };
        let situation = Situation { principal: &principal, route: &request.route, mode: request.asks() };
        let rules = if request.origin.is_some() { self.policy.of(&situation) } else { Vec::new() };
        let tools = self.policy.apply(&situation, tools);
        let Some(attached) = delivery.keep_alive(self.attached(&request, &recalled)).await else {
            return Verdict::Leave;
        };
        let count = |text: &str| self.counts.of(text, model::count_tokens);
        let Some(meaning) = delivery.keep_alive(self.meaning(&request, &recalled, &tools, &count)).await else {
            return Verdict::Leave;
        };
        let known = Known { recalled, attached, tools, rules, meaning, tier, notices, now_ms: now_ms() };
        let context = prompt::assemble(request, known, &self.voice, &count);
        let id = format!("{}:run", context.request.turn);
        let subject = || Subject::TurnRun(&context.request.conversation);
        let hand_on = async {
            // The turn before it has ended, and is perhaps not acknowledged yet.
            let (begun, mut wait) = (Instant::now(), SOON);
            loop {
                match self.bus.store_alone(subject(), &id, &context).await {
                    Ok(Alone::Taken) if begun.elapsed() < LATE => tokio::time::sleep(wait).await,
                    other => return other,
                }
                wait = LONG.min(wait * 2);
            }
        };
        let Some(handed_on) = delivery.keep_alive(hand_on).await else { return Verdict::Leave };
        match handed_on {
            Ok(Alone::Stored) => {
                crash_point(CrashPoint::Caused);
                Verdict::Done
            }
            Ok(Alone::Taken) => Verdict::RetryAfter(RETRY),
            Err(err @ PublishError::TooLarge { .. }) => Verdict::Dead(err.to_string()),
            Err(err) => {
                warn!(error = %err, "failed to hand a turn on; trying again");
                Verdict::RetryAfter(RETRY)
            }
        }
    }
}

impl Preparer {
    /// How similar tools are to what is asked, where some must be left out.
    async fn meaning(
        &self,
        request: &TurnRequest,
        recalled: &Recalled,
        tools: &[ToolSpec],
        count: &(dyn Fn(&str) -> usize + Sync),
    ) -> Meaning {
        if !choice::is_needed(tools, self.voice.tool_tokens, &|tool| tool_search::tokens(tool, &count)) {
            return Meaning::default();
        }
        let (asked, before) = prompt::choosing_by(request, recalled);
        let cut = |text: &str| text.chars().take(QUERY_CHARS).collect();
        let texts = tools.iter().take(COMPARED).map(|tool| tool_text(&tool.name, &tool.description));
        let comparison = Comparison { questions: vec![cut(&asked), cut(&before)], texts: texts.collect() };
        let compared = self.recollection.compare(&comparison).await.unwrap_or_else(|away| {
            debug!(why = away.0, "choosing tools by words alone");
            Similarities::default()
        });
        let mut rows = compared.0.into_iter().map(|row| {
            let known = tools.iter().zip(row).filter_map(|(tool, similar)| Some((tool.name.clone(), similar?)));
            known.collect::<HashMap<_, _>>()
        });
        Meaning { asked: rows.next().unwrap_or_default(), before: rows.next().unwrap_or_default() }
    }

    /// What is read of the files of the history and of the messages to answer. These
    /// come first, then the newest of the history.
    async fn attached(&self, request: &TurnRequest, recalled: &Recalled) -> Attachments {
        let mut room = Room::in_window(self.voice.window);
        let asked: Vec<_> = request.messages.iter().map(|message| message.attachments.as_slice()).collect();
        let said: Vec<_> = recalled.history.iter().rev().map(|message| message.attachments.as_slice()).collect();
        let (files, conversation) = (self.files.as_ref(), &request.conversation);
        let asked = attached::read(files, conversation, &asked, &mut room).await;
        let mut history = attached::read(files, conversation, &said, &mut room).await;
        history.reverse();
        Attachments { history, asked }
    }
}
