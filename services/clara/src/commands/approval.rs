//! Calls that wait for somebody's word, wherever they were asked.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::{Bus, Endpoints};
use domain::carry::Choice;
use domain::ids::MessageId;
use domain::message::{Principal, without_controls};
use domain::turn::ReplyKind;
use proto::terminal::{PLATFORM, Said, Say};
use serde_json::json;
use service_kit::settings::Settings;

use super::{attach, person};
use crate::approvals::{self, Waiting};
use crate::cli::{Answering, ApprovalCommand};

/// How long the adapter may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(settings: &Settings, what: ApprovalCommand, json: bool) -> anyhow::Result<ExitCode> {
    let bus = attach(settings).await?;
    let person = person(settings);
    match what {
        ApprovalCommand::List { limit } => {
            let mut waiting = approvals::of(&bus, settings, &person).await?;
            waiting.truncate(usize::try_from(limit)?);
            list(&waiting, json)
        }
        ApprovalCommand::Approve(which) => answer(&bus, settings, person, which, Choice::Approve, json).await,
        ApprovalCommand::Deny(which) => answer(&bus, settings, person, which, Choice::Deny, json).await,
    }
}

fn list(waiting: &[Waiting], json: bool) -> anyhow::Result<ExitCode> {
    if waiting.is_empty() && !json {
        println!("Nothing waits for anybody's word.");
    }
    for one in waiting {
        if json {
            let asked = &one.asked;
            let value = json!({
                "turn": asked.turn.to_string(), "conversation": one.conversation.as_str(), "channel": one.channel(),
                "of": asked.of.user, "at_ms": asked.at_ms, "question": asked.text,
            });
            println!("{value}");
        } else {
            println!("{}", one.lines());
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn answer(
    bus: &Bus,
    settings: &Settings,
    person: Principal,
    Answering { id, timeout }: Answering,
    choice: Choice,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let waiting = approvals::find(bus, settings, &person, &id).await?;
    let Waiting { conversation, state, .. } = &waiting;
    // Watched before anything is said.
    let mut replies = bus.follow_replies(conversation, None).await?;
    let message = uuid::Uuid::now_v7().to_string();
    let what = waiting.answer(choice);
    let say = Say { id: message.clone(), channel: "approvals".to_owned(), speaker: person, parent: None, what };
    match bus.request(Endpoints::CliSay, &say, PATIENCE).await? {
        Said::Accepted { .. } => {}
        Said::Refused { because } => bail!("{because}"),
    }
    if state.route.as_ref().is_none_or(|route| route.platform != PLATFORM) {
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
