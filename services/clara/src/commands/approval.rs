//! Calls that wait for somebody's word, wherever they were asked.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::{Bus, Endpoints};
use domain::approval::Question;
use domain::carry::Choice;
use domain::conversation::{Asked, Conversation};
use domain::ids::{ConversationId, MessageId};
use domain::message::{Principal, without_controls};
use domain::turn::ReplyKind;
use proto::terminal::{PLATFORM, Said, Say, Saying};
use serde_json::json;
use service_kit::settings::Settings;

use super::{attach, person, time};
use crate::cli::{Answering, ApprovalCommand};

/// How long the adapter may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions that are looked through for one.
const SOUGHT: usize = 10_000;

pub(super) async fn run(settings: &Settings, what: ApprovalCommand, json: bool) -> anyhow::Result<ExitCode> {
    let bus = attach(settings).await?;
    match what {
        ApprovalCommand::List { limit } => {
            let kept = settings.number("CLARA_APPROVAL_MINUTES").saturating_mul(60_000);
            let since = service_kit::clock::now_ms().saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));
            let person = person(settings);
            // What somebody's calls hold is theirs, and for those who may answer in their place.
            let whose = (!settings.list("CLARA_ADMINS").contains(&person.user)).then_some(person.user);
            list(&bus, usize::try_from(limit)?, since, whose.as_deref(), json).await
        }
        ApprovalCommand::Approve(which) => answer(&bus, person(settings), which, Choice::Approve, json).await,
        ApprovalCommand::Deny(which) => answer(&bus, person(settings), which, Choice::Deny, json).await,
    }
}

/// The questions whether a call may run, with where they were asked.
async fn waiting(bus: &Bus, limit: usize) -> anyhow::Result<Vec<(ConversationId, Conversation, Asked)>> {
    let found = bus.conversations().await?.asking(limit).await?;
    let asked = found.into_iter().filter_map(|(id, mut state)| {
        let asked = state.asked.take().filter(|asked| asked.question == Question::Approval)?;
        Some((id, state, asked))
    });
    Ok(asked.collect())
}

/// Those that were asked since then, of one person or of all: an answer to an older one does
/// nothing any more.
async fn list(bus: &Bus, limit: usize, since_ms: i64, of: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let mut waiting = waiting(bus, SOUGHT).await?;
    waiting.retain(|(_, _, asked)| asked.at_ms >= since_ms && of.is_none_or(|of| asked.of.user == of));
    waiting.truncate(limit);
    if waiting.is_empty() && !json {
        println!("Nothing waits for anybody's word.");
    }
    for (conversation, state, asked) in waiting {
        let channel = state.route.map_or_else(String::new, |route| format!("{}/{}", route.platform, route.channel));
        if json {
            let value = json!({
                "turn": asked.turn.to_string(), "conversation": conversation.as_str(), "channel": channel,
                "of": asked.of.user, "at_ms": asked.at_ms, "question": asked.text,
            });
            println!("{value}");
        } else {
            let of = without_controls(&asked.of.user);
            println!("{}  {}  {of} in {}", asked.turn, time(asked.at_ms), without_controls(&channel));
            for line in without_controls(&asked.text).lines() {
                println!("    {line}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn answer(
    bus: &Bus,
    person: Principal,
    Answering { id, timeout }: Answering,
    choice: Choice,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut found = waiting(bus, SOUGHT).await?;
    found.retain(|(_, _, asked)| asked.turn.to_string().starts_with(&id));
    let (conversation, state, asked) = match (found.len(), found.pop()) {
        (1, Some(only)) => only,
        (0, _) => bail!("nothing waits under `{id}`; `clara approval list` shows what does"),
        (several, _) => bail!("{several} turns begin with `{id}`: give more of it"),
    };
    // Watched before anything is said.
    let mut replies = bus.follow_replies(&conversation, None).await?;
    let message = uuid::Uuid::now_v7().to_string();
    let what = Saying::Answer { conversation, turn: asked.turn, choice };
    let say = Say { id: message.clone(), channel: "approvals".to_owned(), speaker: person, parent: None, what };
    match bus.request(Endpoints::CliSay, &say, PATIENCE).await? {
        Said::Accepted { .. } => {}
        Said::Refused { because } => bail!("{because}"),
    }
    if state.route.is_none_or(|route| route.platform != PLATFORM) {
        match json {
            true => println!("{}", json!({"sent": true})),
            false => println!("Sent. What comes of it is told where it was asked."),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let message = MessageId::new(PLATFORM, &message)?;
    let named = async {
        while let Some((_, reply)) = replies.next().await {
            if reply.answers.contains(&message) {
                return Some(reply);
            }
        }
        None
    };
    let reply = tokio::time::timeout(Duration::from_secs(timeout), named).await;
    let reply = reply.context("it was sent, and nothing came of it in time; `clara turn list` says more")?;
    let reply = reply.context("the connection to Clara has ended")?;
    match json {
        true => println!(
            "{}",
            json!({"sent": true, "kind": format!("{:?}", reply.kind).to_lowercase(), "text": reply.text})
        ),
        false => println!("{}", without_controls(&reply.text)),
    }
    let is_done = matches!(reply.kind, ReplyKind::Answered | ReplyKind::Question);
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
