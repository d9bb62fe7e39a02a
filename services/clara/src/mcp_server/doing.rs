//! What each tool, resource and prompt does, by what the services answer.

use std::time::Duration;

use bus::Endpoints;
use domain::approval::Question;
use domain::carry::Choice;
use domain::memory::{Fact, FactAnswer, FactCommand, FactRequest, Passage, PassageRequest};
use domain::message::{Principal, clean_text};
use domain::tier::split_prefix;
use domain::turn::ReplyKind;
use proto::terminal::Saying;
use serde_json::Value;

use super::offered::{ABOUT, MEMORIES, MEMORY, WITH_MEMORIES};
use super::{Asking, Way};
use crate::chat::client::{Client, Seen, Spoken};
use crate::chat::live::{Show, Viewer, in_words};
use crate::commands::time;

/// How long the memory service may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether a turn runs that is to be stopped.
const LOOK: Duration = Duration::from_millis(500);
/// How long an erasure may take, which goes through every store and stream.
const ERASING: Duration = Duration::from_secs(120);
/// Memories that are given at once.
const MEMORIES_AT_ONCE: u32 = 200;

fn text<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, String> {
    let given = arguments.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    given.ok_or_else(|| format!("`{name}` must be a text"))
}

fn number(arguments: &Value, name: &str, default: u32, most: u32) -> Result<u32, String> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(given) => {
            let number = given.as_u64().and_then(|number| u32::try_from(number).ok());
            let fits = number.filter(|number| (1..=most).contains(number));
            fits.ok_or_else(|| format!("`{name}` must be a whole number from 1 to {most}"))
        }
    }
}

fn lines(facts: &[Fact]) -> String {
    let line = |fact: &Fact| format!("{}  {}  {}", fact.id, time(fact.created_at_ms), fact.text);
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Way {
    pub(super) async fn tool(
        &self,
        person: &Principal,
        name: &str,
        arguments: &Value,
        client: &Asking<'_>,
    ) -> Result<String, String> {
        match name {
            "chat" => {
                let conversation = match arguments.get("conversation") {
                    None | Some(Value::Null) => "mcp",
                    Some(_) => text(arguments, "conversation")?,
                };
                self.chat(person, conversation, text(arguments, "message")?, client).await
            }
            "remember" => {
                let (id, text) = (uuid::Uuid::now_v7().to_string(), text(arguments, "text")?.to_owned());
                let command = FactCommand::Remember { id, text, is_key: false, project: String::new() };
                let known = self.ask(person, command).await?.facts;
                Ok(format!("Remembered:\n{}", lines(&known)))
            }
            "search_memories" => {
                let limit = number(arguments, "limit", 10, 50)?;
                self.search(person, text(arguments, "query")?, limit).await
            }
            "list_memories" => self.list(person, number(arguments, "limit", 50, MEMORIES_AT_ONCE)?).await,
            "forget" => {
                let which = text(arguments, "id")?;
                // By its id alone: words might take more with them than was meant.
                self.ask(person, FactCommand::Show { id: which.to_owned() }).await?;
                let erased = self.ask(person, FactCommand::Forget { which: which.to_owned() }).await?;
                let left: u64 = erased.proof.iter().map(|searched| searched.found).sum();
                Ok(format!("Forgotten. {} stores were searched for it; found {left} times.", erased.proof.len()))
            }
            _ => Err(format!("there is no tool `{name}`")),
        }
    }

    pub(super) async fn resource(&self, person: &Principal, uri: &str) -> Result<String, String> {
        if uri == MEMORIES {
            return self.list(person, MEMORIES_AT_ONCE).await;
        }
        let id = uri.strip_prefix(MEMORY).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| format!("there is no resource {uri:?}"))?;
        let FactAnswer { facts, changes, sources, .. } =
            self.ask(person, FactCommand::Show { id: id.to_owned() }).await?;
        let mut told = lines(&facts);
        for Passage { speaker, text, at_ms, .. } in &sources {
            told.push_str(&format!("\ncomes from  {}  {speaker}: {text}", time(*at_ms)));
        }
        for change in &changes {
            told.push_str(&format!("\n{}  {}  {}", change.event, time(change.at_ms), change.new));
        }
        Ok(told)
    }

    pub(super) async fn prompt(&self, person: &Principal, name: &str, given: &Value) -> Result<String, String> {
        match name {
            ABOUT => {
                let known = self.list(person, MEMORIES_AT_ONCE).await?;
                Ok(format!("This is what is known of me; take it into account.\n\n{known}"))
            }
            WITH_MEMORIES => {
                let question = text(given, "question")?;
                let found = self.search(person, question, 10).await?;
                Ok(format!("{question}\n\nThis may help, from what is known of me:\n{found}"))
            }
            _ => Err(format!("there is no prompt `{name}`")),
        }
    }

    async fn ask(&self, person: &Principal, command: FactCommand) -> Result<FactAnswer, String> {
        let patience = if matches!(command, FactCommand::Forget { .. }) { ERASING } else { PATIENCE };
        let request = FactRequest { principal: person.clone(), asking: None, command };
        self.bus.request(Endpoints::MemoryFacts, &request, patience).await.map_err(|err| err.to_string())
    }

    async fn list(&self, person: &Principal, limit: u32) -> Result<String, String> {
        let command = FactCommand::List { limit, before: None, project: String::new() };
        let known = self.ask(person, command).await?.facts;
        Ok(if known.is_empty() { "Nothing yet.".to_owned() } else { lines(&known) })
    }

    async fn search(&self, person: &Principal, query: &str, limit: u32) -> Result<String, String> {
        let known = self.ask(person, FactCommand::Search { query: query.to_owned(), limit }).await?.facts;
        let request = PassageRequest { principal: person.clone(), group: None, query: query.to_owned(), limit };
        let said: Vec<Passage> = self
            .bus
            .request(Endpoints::MemoryPassages, &request, PATIENCE)
            .await
            .map_err(|err: bus::RequestError| err.to_string())?;
        let said = said.iter().map(|said| format!("{}  {}: {}", time(said.at_ms), said.speaker, said.text));
        let said: Vec<String> = said.collect();
        Ok(match (known.is_empty(), said.is_empty()) {
            (true, true) => "Nothing was found.".to_owned(),
            _ => format!("Remembered:\n{}\n\nSaid:\n{}", lines(&known), said.join("\n")),
        })
    }

    /// Says something and waits for the reply that names it; a client that gives up stops it.
    async fn chat(
        &self,
        person: &Principal,
        conversation: &str,
        message: &str,
        client: &Asking<'_>,
    ) -> Result<String, String> {
        // As it is read in the end: without a prefix, and without what nobody sees.
        let (_, said) = split_prefix(message);
        let said = clean_text(said).unwrap_or_default();
        if [Question::Approval, Question::Outcome].iter().any(|asked| Choice::parse(&said, *asked).is_some()) {
            return Err("that would answer a question that only the person answers: they do it with \
                        `clara approval list`, or in a conversation of their own. Say anything else in more words"
                .to_owned());
        }
        let told = |err: anyhow::Error| format!("{err:#}");
        let _chat = self.chats.try_acquire().map_err(|_| "too many chats wait for an answer; ask again later")?;
        let terminal = Client::open(&self.server, person.clone(), conversation.to_owned(), None).await;
        let mut terminal = terminal.map_err(told)?;
        let message = match terminal.say(Saying::text(message.to_owned())).await.map_err(told)? {
            Spoken::Accepted(message) => message,
            Spoken::Refused(because) => return Err(because),
        };
        let deadline = tokio::time::Instant::now() + self.patience;
        let (mut is_cancelled, mut is_stopped) = (false, false);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut viewer, mut told_of) = (Viewer::new(terminal.turn_of(&message)), 0);
        loop {
            let seen = tokio::select! {
                seen = terminal.next() => seen.map_err(told)?,
                () = client.cancelled.cancelled(), if !is_cancelled => {
                    is_cancelled = true;
                    continue;
                }
                // A turn that waits or is prepared yet is stopped when it runs: before, a stop would be
                // another's.
                _ = looks.tick(), if is_cancelled && !is_stopped => {
                    if terminal.snapshot(terminal.turn_of(&message)).await.is_some() {
                        is_stopped = true;
                        terminal.say(Saying::Stop).await.map_err(told)?;
                    }
                    continue;
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Err(format!("no answer within {:?}; it will still come in that conversation", self.patience));
                }
            };
            match seen {
                Seen::Reply(reply) if reply.answers.contains(&message) => {
                    return match reply.kind {
                        ReplyKind::Failed | ReplyKind::Refused => Err(reply.text),
                        _ => Ok(reply.text),
                    };
                }
                Seen::Reply(_) => {}
                Seen::Delta(delta) => {
                    if let Show::Status(activity) = viewer.take(delta) {
                        told_of += 1;
                        client.tell(told_of, in_words(&activity)).await;
                    }
                }
            }
        }
    }
}
