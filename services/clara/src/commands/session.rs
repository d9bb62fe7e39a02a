//! What was said in one go: asked of the memory service.

use std::process::ExitCode;
use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::memory::{HistoryMessage, Role};
use domain::message::{Principal, without_controls};
use domain::session::{MESSAGES, Session, SessionAnswer, SessionCommand as Asked, SessionRequest};
use serde_json::json;
use service_kit::settings::Settings;

use super::turn::one_line;
use super::{attach, person, time};
use crate::cli::{SessionCommand, Whose};

/// How long the memory service may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A person's sessions, and how they are shown.
struct Sessions {
    bus: Bus,
    principal: Principal,
    json: bool,
}

pub(super) async fn run(
    settings: &Settings,
    whose: Whose,
    what: SessionCommand,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut principal = person(settings);
    if let Some(user) = whose.user {
        principal.user = user;
    }
    let sessions = Sessions { bus: attach(settings).await?, principal, json };
    match what {
        SessionCommand::List { archived, limit } => sessions.list(archived, limit).await,
        SessionCommand::Show { id } => sessions.transcript(id).await,
        SessionCommand::Rename { id, title } => sessions.change(Asked::Rename { id, title: title.join(" ") }).await,
        SessionCommand::Archive { id } => sessions.change(Asked::Archive { id, is_archived: true }).await,
        SessionCommand::Unarchive { id } => sessions.change(Asked::Archive { id, is_archived: false }).await,
    }
}

impl Sessions {
    async fn ask(&self, command: Asked) -> anyhow::Result<SessionAnswer> {
        let request = SessionRequest { principal: self.principal.clone(), command };
        Ok(self.bus.request(Endpoints::MemorySessions, &request, PATIENCE).await?)
    }

    async fn list(&self, archived: bool, limit: u32) -> anyhow::Result<ExitCode> {
        let answer = self.ask(Asked::List { archived, before: None, limit }).await?;
        if answer.sessions.is_empty() && !self.json {
            println!("{}", if archived { "Nothing was put away." } else { "Nothing was said yet." });
        }
        answer.sessions.iter().for_each(|session| self.show(session));
        Ok(ExitCode::SUCCESS)
    }

    async fn change(&self, command: Asked) -> anyhow::Result<ExitCode> {
        self.ask(command).await?.sessions.iter().for_each(|session| self.show(session));
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, session: &Session) {
        if self.json {
            let line = json!({
                "id": session.id, "title": session.title, "summary": session.summary, "project": session.project,
                "started_at_ms": session.started_at_ms, "last_activity_at_ms": session.last_activity_at_ms,
                "messages": session.messages, "is_archived": session.is_archived,
            });
            println!("{line}");
            return;
        }
        let title = if session.title.is_empty() { "(no title yet)".to_owned() } else { one_line(&session.title) };
        let mut marks = format!("{} messages", session.messages);
        if !session.project.is_empty() {
            marks.push_str(&format!(", of {}", one_line(&session.project)));
        }
        if session.is_archived {
            marks.push_str(", put away");
        }
        println!("{}  {}  {title}  ({marks})", session.id, time(session.last_activity_at_ms));
    }

    /// All that was said, oldest first.
    async fn transcript(&self, id: String) -> anyhow::Result<ExitCode> {
        let (mut pages, mut skip) = (Vec::new(), 0);
        loop {
            let answer = self.ask(Asked::Show { id: id.clone(), skip, limit: MESSAGES }).await?;
            if pages.is_empty() {
                answer.sessions.iter().for_each(|session| self.show(session));
                let about = answer.sessions.first().map_or("", |session| session.summary.as_str());
                if !about.is_empty() && !self.json {
                    println!("{}\n", without_controls(about));
                }
            }
            if answer.messages.is_empty() {
                break;
            }
            skip += u32::try_from(answer.messages.len()).unwrap_or(MESSAGES);
            pages.push(answer.messages);
        }
        pages.iter().rev().flatten().for_each(|message| self.line(message));
        Ok(ExitCode::SUCCESS)
    }

    fn line(&self, message: &HistoryMessage) {
        let HistoryMessage { role, name, text, attachments, at_ms } = message;
        let speaker = if *role == Role::Assistant { "Clara" } else { name.as_str() };
        if self.json {
            let files: Vec<&str> = attachments.iter().map(|attachment| attachment.name.as_str()).collect();
            println!("{}", json!({"speaker": speaker, "text": text, "attachments": files, "at_ms": at_ms}));
            return;
        }
        println!("{}  {}: {}", time(*at_ms), one_line(speaker), without_controls(text));
        attachments.iter().for_each(|attachment| println!("    {}", attachment.in_words()));
    }
}
