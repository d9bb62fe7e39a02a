//! What Clara remembers of a person: asked of the memory service.

mod transfer; // Taking memories along.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use bus::{Bus, Endpoints};
use domain::memory::{
    Fact, FactAnswer, FactChange, FactCommand, FactRequest, Intention, Passage, PassageRequest, to_line,
};
use domain::message::{Principal, without_controls};
use serde_json::json;
use service_kit::settings::Settings;

use super::turn::one_line;
use super::{attach, person, time};
use crate::cli::{MemoryCommand, When, Whose};
use crate::links::{Linking, Links};

/// How long the memory service may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to erase, or to learn from a text with a model.
const LONG: Duration = Duration::from_secs(600);

/// A person's memories, and how they are shown.
struct Memories {
    bus: Bus,
    principal: Principal,
    json: bool,
}

pub(super) async fn run(
    settings: &Settings,
    whose: Whose,
    what: MemoryCommand,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut principal = person(settings);
    if let Some(user) = whose.user {
        principal.user = user;
    }
    let memories = Memories { bus: attach(settings).await?, principal, json };
    memories.run(what).await
}

impl Memories {
    async fn run(&self, what: MemoryCommand) -> anyhow::Result<ExitCode> {
        match what {
            MemoryCommand::List { query, limit, project } => match query.join(" ") {
                query if query.is_empty() => {
                    let project = project.unwrap_or_default();
                    self.list(FactCommand::List { limit, before: None, project }, "Nothing is remembered.").await
                }
                query => {
                    let none = "Nothing that is remembered fits these words.";
                    self.list(FactCommand::Search { query, limit }, none).await
                }
            },
            MemoryCommand::Search { query, limit } => self.search(query.join(" "), limit).await,
            MemoryCommand::Remember { text, key, project } => {
                let id = uuid::Uuid::now_v7().to_string();
                let (text, project) = (text.join(" "), project.unwrap_or_default());
                self.told(FactCommand::Remember { id, text, is_key: key, project }, "Remembered:").await
            }
            MemoryCommand::Edit { id, text } => {
                self.told(FactCommand::Edit { id, text: text.join(" ") }, "Changed:").await
            }
            MemoryCommand::Mark { key: None, public: None, project: None, .. } => {
                bail!("say what to change: --key yes|no, --public yes|no, --project NAME")
            }
            MemoryCommand::Mark { id, key, public, project } => {
                self.told(FactCommand::Mark { id, is_key: key, is_public: public, project }, "Changed:").await
            }
            MemoryCommand::Undo { id } => self.told(FactCommand::Undo { id }, "As it was before:").await,
            MemoryCommand::Show { id } => self.story(id, true, true).await,
            MemoryCommand::History { id } => self.story(id, true, false).await,
            MemoryCommand::Why { id } => self.story(id, false, true).await,
            MemoryCommand::Forget { which } => {
                let answer = self.ask(FactCommand::Forget { which: which.join(" ") }, LONG).await?;
                self.erased(&answer, "There was no such memory.")
            }
            MemoryCommand::Clear { yes } => self.clear(yes).await,
            MemoryCommand::Export => self.export().await,
            MemoryCommand::Import { file } => self.import(&file).await,
            MemoryCommand::Bootstrap { file, apply } => self.bootstrap(&file, apply).await,
            MemoryCommand::Remind { text, when, always, priority } => {
                let intention = Intention {
                    id: uuid::Uuid::now_v7().to_string(),
                    content: text.join(" "),
                    trigger: trigger(when).to_string(),
                    priority,
                    fires_once: !always,
                    expires_at_ms: 0,
                };
                self.reminders(FactCommand::Intend { intention }, "Waiting:").await
            }
            MemoryCommand::Reminders => self.reminders(FactCommand::Intentions, "").await,
            MemoryCommand::Dismiss { id } => {
                self.ask(FactCommand::Dismiss { id }, PATIENCE).await?;
                if !self.json {
                    println!("Dropped.");
                }
                Ok(ExitCode::SUCCESS)
            }
            MemoryCommand::Link { platform: Some(platform), id: Some(id) } => {
                self.link(Linking::with(&platform, &id)).await
            }
            MemoryCommand::Link { platform: Some(account), .. } => self.link(Linking::Link { account }).await,
            MemoryCommand::Link { .. } => self.link(Linking::Status).await,
            MemoryCommand::Unlink => self.link(Linking::Unlink).await,
            MemoryCommand::Projects => self.counts(FactCommand::Projects { conversation: None }).await,
            MemoryCommand::Stats => self.counts(FactCommand::Stats).await,
            MemoryCommand::Reindex => self.counts(FactCommand::Reindex).await,
        }
    }

    async fn link(&self, what: Linking) -> anyhow::Result<ExitCode> {
        let Links { accounts, text } = what.ask(&self.bus, &self.principal).await?;
        if self.json {
            println!("{}", json!({"account": self.principal.user, "accounts": accounts}));
        } else {
            println!("{text}");
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self, command: FactCommand, patience: Duration) -> anyhow::Result<FactAnswer> {
        let request = FactRequest { principal: self.principal.clone(), asking: None, command };
        Ok(self.bus.request(Endpoints::MemoryFacts, &request, patience).await?)
    }

    async fn list(&self, command: FactCommand, none: &str) -> anyhow::Result<ExitCode> {
        let answer = self.ask(command, PATIENCE).await?;
        if answer.facts.is_empty() && !self.json {
            println!("{none}");
        }
        answer.facts.iter().for_each(|fact| self.show(fact));
        Ok(ExitCode::SUCCESS)
    }

    async fn told(&self, command: FactCommand, done: &str) -> anyhow::Result<ExitCode> {
        let answer = self.ask(command, PATIENCE).await?;
        if !self.json {
            println!("{done}");
        }
        answer.facts.iter().for_each(|fact| self.show(fact));
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, fact: &Fact) {
        if self.json {
            println!("{}", to_line(fact));
            return;
        }
        let mut marks = String::new();
        for (mark, is_set) in [("key, ", fact.is_key), ("public, ", fact.is_public)] {
            if is_set {
                marks.push_str(mark);
            }
        }
        if !fact.project.is_empty() {
            marks.push_str(&format!("of {}, ", fact.project));
        }
        marks.push_str(fact.origin.as_str());
        println!("{}  {}  {}  ({marks})", fact.id, time(fact.created_at_ms), without_controls(&fact.text));
    }

    /// What is remembered that fits, then what was said.
    async fn search(&self, query: String, limit: u32) -> anyhow::Result<ExitCode> {
        let known = self.ask(FactCommand::Search { query: query.clone(), limit }, PATIENCE).await?.facts;
        known.iter().for_each(|fact| self.show(fact));
        let request = PassageRequest { principal: self.principal.clone(), group: None, query, limit };
        let found: Vec<Passage> = self.bus.request(Endpoints::MemoryPassages, &request, PATIENCE).await?;
        found.iter().for_each(|passage| self.show_passage(passage));
        if known.is_empty() && found.is_empty() && !self.json {
            println!("Nothing that is remembered fits these words, and nothing was said yet.");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show_passage(&self, Passage { id, speaker, text, at_ms }: &Passage) {
        if self.json {
            println!("{}", json!({"id": id, "speaker": speaker, "text": text, "at_ms": at_ms}));
        } else {
            println!("{}  {}: {}", time(*at_ms), one_line(speaker), one_line(text));
        }
    }

    async fn story(&self, id: String, changes: bool, sources: bool) -> anyhow::Result<ExitCode> {
        let answer = self.ask(FactCommand::Show { id }, PATIENCE).await?;
        answer.facts.iter().for_each(|fact| self.show(fact));
        if sources {
            if !self.json {
                println!("{}", if answer.sources.is_empty() { "No message is its source." } else { "It comes from:" });
            }
            answer.sources.iter().for_each(|passage| self.show_passage(passage));
        }
        for FactChange { at_ms, event, old, new, actor, reason } in answer.changes.iter().filter(|_| changes) {
            if self.json {
                let change =
                    json!({"at_ms": at_ms, "event": event, "old": old, "new": new, "actor": actor, "reason": reason});
                println!("{change}");
                continue;
            }
            let from = if old.is_empty() { String::new() } else { format!("{} → ", one_line(old)) };
            let why = if reason.is_empty() { String::new() } else { format!(" ({})", one_line(reason)) };
            println!("{}  {event} by {}: {from}{}{why}", time(*at_ms), one_line(actor), one_line(new));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn counts(&self, command: FactCommand) -> anyhow::Result<ExitCode> {
        let answer = self.ask(command, PATIENCE).await?;
        if self.json {
            let counts: serde_json::Map<_, _> =
                answer.counts.into_iter().map(|count| (count.name, json!(count.value))).collect();
            println!("{}", json!(counts));
            return Ok(ExitCode::SUCCESS);
        }
        for count in &answer.counts {
            println!("{:>8}  {}", count.value, count.name);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn reminders(&self, command: FactCommand, done: &str) -> anyhow::Result<ExitCode> {
        let answer = self.ask(command, PATIENCE).await?;
        if !self.json {
            match (answer.intentions.is_empty(), done) {
                (true, _) => println!("No reminder waits."),
                (false, "") => {}
                (false, done) => println!("{done}"),
            }
        }
        for Intention { id, content, trigger, priority, fires_once, .. } in &answer.intentions {
            if self.json {
                let line = json!({"id": id, "content": content, "trigger": trigger, "priority": priority, "fires_once": fires_once});
                println!("{line}");
            } else {
                let how = if *fires_once { "once" } else { "every time" };
                println!("{id}  {}  ({how}: {})", without_controls(content), without_controls(trigger));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn clear(&self, yes: bool) -> anyhow::Result<ExitCode> {
        if !yes {
            if self.json || !std::io::stdin().is_terminal() {
                bail!("this erases everything of {}: say --yes if that is meant", self.principal.user);
            }
            print!(
                "This erases every memory and every conversation of {}. Type \"erase\" to go on: ",
                self.principal.user
            );
            std::io::stdout().flush()?;
            let mut said = String::new();
            std::io::stdin().lock().take(64).read_line(&mut said)?;
            if said.trim() != "erase" {
                println!("Nothing was erased.");
                return Ok(ExitCode::FAILURE);
            }
        }
        let answer = self.ask(FactCommand::Clear, LONG).await?;
        self.erased(&answer, "Everything is erased.")
    }

    /// Says what was erased, and shows the proof; a failure if something is left.
    fn erased(&self, answer: &FactAnswer, none: &str) -> anyhow::Result<ExitCode> {
        let left: u64 = answer.proof.iter().map(|searched| searched.found).sum();
        if self.json {
            let proof: serde_json::Map<_, _> =
                answer.proof.iter().map(|searched| (searched.store.clone(), json!(searched.found))).collect();
            let facts: Vec<_> = answer.facts.iter().map(to_line).collect();
            println!("{}", json!({"forgotten": facts, "proof": proof}));
        } else {
            println!("{}", if answer.facts.is_empty() { none } else { "Forgotten:" });
            answer.facts.iter().for_each(|fact| self.show(fact));
            for count in &answer.counts {
                println!("{}: {}", count.name, count.value);
            }
            if !answer.proof.is_empty() {
                println!("What was erased was looked for everywhere:");
            }
            for searched in &answer.proof {
                println!("{:>8}  {}", searched.found, searched.store);
            }
            if left > 0 {
                println!(
                    "Something is left: its words stand in what was said about something else, or a store could not be asked."
                );
            }
        }
        let nothing = answer.facts.is_empty() && answer.proof.is_empty();
        Ok(if nothing || left > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// A trigger as the memory service reads it.
fn trigger(When { word, topic, at, time_of_day, day, channel }: When) -> serde_json::Value {
    match (topic, at) {
        _ if !word.is_empty() => json!({"type": "keyword", "keywords": word}),
        (Some(topic), _) => json!({"type": "topic", "topic": topic}),
        (None, Some(at)) => json!({"type": "time", "at": at}),
        (None, None) => {
            json!({"type": "context", "channel_name": channel, "time_of_day": time_of_day, "day_of_week": day})
        }
    }
}
