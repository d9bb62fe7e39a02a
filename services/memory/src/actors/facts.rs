//! What is remembered of people, as they ask for it: stores, finds, shows, changes,
//! erases. Everybody has their own; a request is about its principal's alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bus::Serve;
use domain::ids::ConversationId;
use domain::memory::{
    Asking, Count, FACT_BYTES, FACTS, Fact, FactAnswer, FactCommand, FactOrigin, FactRequest, Intention, Searched,
    project_name, search_words,
};
use domain::tier::Tier;
use learn::intention::Trigger;
use learn::statement::{Statement, category};
use service_kit::clock::now_ms;
use spending::Paying;
use uuid::Uuid;

use super::learner::Learner;
use super::mirroring::Erases;
use super::projector::describe;
use super::traces::Traces;
use crate::knowledge::Knowledge;
use crate::learning::{New, fact};
use crate::ports::{Change, Erased, Erasure, Intentions, People, Projects, Unlinking};

/// How long a change can be taken back.
const UNDO_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Longest name of an account, in bytes.
const ACCOUNT_BYTES: usize = 128;
/// Longest text that is learnt from at once, in bytes.
const TEXT_BYTES: usize = 256 * 1024;

pub(crate) struct FactServer {
    pub(crate) knowledge: Arc<Knowledge>,
    pub(crate) intentions: Arc<dyn Intentions>,
    pub(crate) people: Arc<dyn People>,
    pub(crate) projects: Arc<dyn Projects>,
    /// The name of the project that everybody has: it is no choice.
    pub(crate) default_project: String,
    pub(crate) learner: Arc<Learner>,
    pub(crate) traces: Traces,
    /// Stores that hold copies.
    pub(crate) mirrors: Vec<Arc<dyn Erases>>,
}

type Answered = Result<FactAnswer, String>;

#[async_trait]
impl Serve<FactRequest, FactAnswer> for FactServer {
    async fn serve(&self, request: FactRequest) -> Answered {
        let account = request.principal.user.as_str();
        let user = &self.people.person(account).await.map_err(describe)?;
        let facts = &self.knowledge.facts;
        match request.command {
            FactCommand::Remember { id, text, is_key, project } => {
                let project = match (project.as_str(), &request.asking) {
                    ("", Some(Asking { conversation, .. })) => {
                        self.projects.project(user, conversation).await.map_err(describe)?
                    }
                    (named, _) => self.known_project(named)?,
                };
                self.remember(user, id, &text, is_key, project).await
            }
            FactCommand::Search { query, limit } => {
                let limit = (limit as usize).min(FACTS);
                Ok(found(self.knowledge.matching(user, &query, limit).await.map_err(describe)?))
            }
            FactCommand::List { limit, before, project } => {
                let limit = limit.min(FACTS as u32);
                Ok(found(
                    facts
                        .list(user, before.as_deref(), &self.known_project(&project)?, limit)
                        .await
                        .map_err(describe)?,
                ))
            }
            FactCommand::Show { id } => {
                let story = facts.story(user, id.trim()).await.map_err(describe)?;
                let (fact, changes, sources) = story.ok_or_else(|| no_such(&id))?;
                Ok(FactAnswer { facts: vec![fact], changes, sources, ..FactAnswer::default() })
            }
            FactCommand::Edit { id, text } => self.edit(user, id.trim(), &text).await,
            FactCommand::Mark { id, is_key, is_public, project } => {
                let id = self.known(user, id.trim()).await?;
                let project = project.map(|project| self.known_project(&project)).transpose()?;
                self.change(user, Change::Mark { id: id.clone(), is_key, is_public, project }).await?;
                self.one(user, &id).await
            }
            FactCommand::Undo { id } => {
                let now = now_ms();
                let undone = facts.undo(user, id.trim(), now - UNDO_MS, now).await.map_err(describe)?;
                Ok(found(vec![undone.ok_or("nothing of it was changed within 30 days that could be taken back")?]))
            }
            FactCommand::Forget { which } => self.forget(user, which.trim(), request.asking.as_ref()).await,
            FactCommand::Clear => {
                let erased = facts.erase(user, Erasure::Everything, None, now_ms()).await.map_err(describe)?;
                self.prove(erased).await
            }
            FactCommand::Learn { text, apply } => self.learn(user, &text, apply).await,
            FactCommand::Import { facts } => self.import(user, facts).await,
            FactCommand::Stats => {
                let counts = facts.counts(user).await.map_err(describe)?;
                Ok(FactAnswer { counts, ..FactAnswer::default() })
            }
            FactCommand::Intend { intention } => self.intend(user, intention).await,
            FactCommand::Intentions => {
                let intentions = self.intentions.waiting(user, now_ms()).await.map_err(describe)?;
                Ok(FactAnswer { intentions, ..FactAnswer::default() })
            }
            FactCommand::Dismiss { id } => match self.intentions.dismiss(user, id.trim()).await.map_err(describe)? {
                true => Ok(FactAnswer::default()),
                false => Err(format!("there is no reminder {id:?}: `clara memory reminders` shows their ids")),
            },
            FactCommand::Link { account: wanted } => self.link(account, wanted.trim()).await,
            FactCommand::Unlink => self.unlink(account).await,
            FactCommand::Links => self.accounts(account).await,
            FactCommand::Enter { conversation, project } => {
                self.projects
                    .enter(user, &conversation, &self.known_project(&project)?, now_ms())
                    .await
                    .map_err(describe)?;
                self.projects(user, Some(&conversation)).await
            }
            FactCommand::Projects { conversation } => self.projects(user, conversation.as_ref()).await,
            FactCommand::Reindex => {
                facts.reindex(user).await.map_err(describe)?;
                let counts = facts.counts(user).await.map_err(describe)?;
                Ok(FactAnswer { counts, ..FactAnswer::default() })
            }
        }
    }
}

impl FactServer {
    async fn remember(&self, user: &str, id: String, text: &str, is_key: bool, project: String) -> Answered {
        let text = sound(text)?;
        // The same id again is the same fact, whatever became of its text.
        if let Ok(known) = self.one(user, &id).await {
            return Ok(known);
        }
        let statement = Statement { category: category(&text), text, is_key, confidence: 1.0 };
        let (origin, at_ms) = (FactOrigin::Asked, now_ms());
        let new = New { id, statement, origin, at_ms, is_public: false, project, sources: Vec::new() };
        let stored = self.knowledge.store(user, user, &new).await.map_err(describe)?;
        let Some(fact) = stored else { return Err("it was forgotten in the same moment".to_owned()) };
        if is_key && !fact.is_key {
            self.change(user, Change::Mark { id: fact.id.clone(), is_key: Some(true), is_public: None, project: None })
                .await?;
            return self.one(user, &fact.id).await;
        }
        self.learner.stored.ring();
        Ok(found(vec![fact]))
    }

    /// A project as it is known; empty for none, under whichever name.
    fn known_project(&self, name: &str) -> Result<String, String> {
        let name = project_name(name)?;
        let is_none = name == "none" || name == self.default_project.to_lowercase();
        Ok(if is_none { String::new() } else { name })
    }

    async fn link(&self, account: &str, wanted: &str) -> Answered {
        if wanted == account {
            return Err("this is that account already: name the other one".to_owned());
        }
        let is_name = |c: char| c.is_ascii_graphic();
        if wanted.is_empty() || wanted.len() > ACCOUNT_BYTES || !wanted.chars().all(is_name) {
            return Err("name the other account as `!link status` names it there, such as `discord 123`".to_owned());
        }
        self.people.link(account, wanted, now_ms()).await.map_err(describe)?;
        self.learner.stored.ring();
        self.accounts(account).await
    }

    async fn unlink(&self, account: &str) -> Answered {
        let keeps = match self.people.unlink(account).await.map_err(describe)? {
            Unlinking::Alone => return Err("this account is linked with no other".to_owned()),
            Unlinking::Kept => 1,
            Unlinking::Left => 0,
        };
        let kept = Count { name: "keeps what is remembered".to_owned(), value: keeps };
        Ok(FactAnswer { counts: vec![kept], ..self.accounts(account).await? })
    }

    async fn accounts(&self, account: &str) -> Answered {
        let accounts = self.people.accounts(account).await.map_err(describe)?;
        Ok(FactAnswer { accounts, ..FactAnswer::default() })
    }

    async fn intend(&self, user: &str, intention: Intention) -> Answered {
        let intention = Intention { content: sound(&intention.content)?, ..intention };
        Trigger::parse(&intention.trigger).map_err(|err| format!("the trigger is none: {err}"))?;
        if !self.intentions.intend(user, &intention, now_ms()).await.map_err(describe)? {
            return Err("too many reminders wait: dismiss some".to_owned());
        }
        Ok(FactAnswer { intentions: vec![intention], ..FactAnswer::default() })
    }

    async fn edit(&self, user: &str, id: &str, text: &str) -> Answered {
        let (id, text) = (self.known(user, id).await?, sound(text)?);
        self.change(user, Change::Rewrite { id: id.clone(), text, event: "UPDATE", sources: Vec::new() }).await?;
        self.learner.stored.ring();
        self.one(user, &id).await
    }

    /// By id; else every fact that holds all the words, so that a vague word
    /// does not take more with it than was meant.
    async fn forget(&self, user: &str, which: &str, asking: Option<&Asking>) -> Answered {
        let mut ids = match self.one(user, which).await {
            Ok(known) => known.facts.into_iter().map(|fact| fact.id).collect(),
            Err(_) => Vec::new(),
        };
        if ids.is_empty() {
            let words = search_words(which);
            if words.is_empty() {
                return Err("say which memory: its id, or words that stand in it".into());
            }
            let holds_all = |fact: &Fact| {
                let text = fact.text.to_lowercase();
                words.iter().all(|word| text.contains(word.as_str()))
            };
            let near = self.knowledge.matching(user, which, FACTS).await.map_err(describe)?;
            ids = near.into_iter().filter(holds_all).map(|fact| fact.id).collect();
        }
        if ids.is_empty() {
            return Ok(FactAnswer::default());
        }
        let erased =
            self.knowledge.facts.erase(user, Erasure::Facts(&ids), asking, now_ms()).await.map_err(describe)?;
        self.prove(erased).await
    }

    /// Takes what was erased off the bus too, and looks for it everywhere.
    async fn prove(&self, erased: Erased) -> Answered {
        let user = erased.person.as_str();
        let left = self.traces.erase_all(&erased.turns).await;
        let mut files = 0;
        for of in &erased.files {
            files += u64::from(!self.traces.purge_file(self.knowledge.facts.as_ref(), of).await);
        }
        // Other stores hold copies.
        self.learner.stored.ring();
        let mut proof = self.knowledge.facts.search_everywhere(user, &erased.texts).await.map_err(describe)?;
        proof.push(Searched { store: "its turns on the bus".to_owned(), found: left });
        let dead = self.traces.drop_dead_letters(&erased).await;
        proof.push(Searched { store: "dead letters".to_owned(), found: dead });
        proof.push(Searched { store: "files that came with it".to_owned(), found: files });
        for mirror in &self.mirrors {
            proof.push(mirror.prove(&erased.ids).await);
        }
        let turns = Count { name: "exchanges erased with it".to_owned(), value: erased.turns.len() as u64 };
        let later = "later turns whose prompts go within ten minutes or so".to_owned();
        let counts = vec![turns, Count { name: later, value: erased.prompts }];
        Ok(FactAnswer { facts: erased.facts, proof, counts, ..FactAnswer::default() })
    }

    /// What a text says, each with what the gate says of it.
    async fn learn(&self, user: &str, text: &str, apply: bool) -> Answered {
        if text.len() > TEXT_BYTES {
            return Err(format!("a text to learn from has at most {TEXT_BYTES} bytes; this has {}", text.len()));
        }
        let (mut facts, mut verdicts) = (Vec::new(), Verdicts::default());
        for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
            let call =
                format!("learn:{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{user}/{paragraph}").as_bytes()));
            let paying = Paying { person: Some(user), conversation: None, call, tier: Tier::Low };
            for statement in self.learner.read(paragraph, 0, paying).await? {
                if facts.len() >= FACTS {
                    verdicts.count("left out");
                    continue;
                }
                let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{user}/{}", statement.text).as_bytes());
                let (origin, at_ms) = (FactOrigin::Imported, now_ms());
                let (id, project, sources) = (id.to_string(), String::new(), Vec::new());
                let new = New { id, statement, origin, at_ms, is_public: false, project, sources };
                let plan = self.knowledge.plan(user, &new).await.map_err(describe)?;
                if apply {
                    self.knowledge.carry_out(user, user, &plan).await.map_err(describe)?;
                }
                verdicts.count(plan.verdict);
                facts.push(fact(&new));
            }
        }
        self.learner.stored.ring();
        Ok(FactAnswer { facts, counts: verdicts.counts(), ..FactAnswer::default() })
    }

    /// Facts as they were exported; what is known already is left.
    async fn import(&self, user: &str, facts: Vec<Fact>) -> Answered {
        if facts.len() > FACTS {
            return Err(format!("at most {FACTS} memories at once; these are {}", facts.len()));
        }
        let mut verdicts = Verdicts::default();
        for fact in facts {
            let text = sound(&fact.text)?;
            let confidence = f64::from(fact.confidence.min(100)) / 100.0;
            let statement = Statement { category: category(&text), text, is_key: fact.is_key, confidence };
            let (id, origin, at_ms) = (fact.id, FactOrigin::Imported, fact.created_at_ms);
            let id = if id.is_empty() { Uuid::now_v7().to_string() } else { format!("{user}/{id}") };
            let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).to_string();
            let (is_public, project) = (fact.is_public, self.known_project(&fact.project)?);
            let new = New { id, statement, origin, at_ms, is_public, project, sources: Vec::new() };
            let plan = self.knowledge.plan(user, &new).await.map_err(describe)?;
            self.knowledge.carry_out(user, user, &plan).await.map_err(describe)?;
            verdicts.count(plan.verdict);
        }
        self.learner.stored.ring();
        Ok(FactAnswer { counts: verdicts.counts(), ..FactAnswer::default() })
    }

    /// The projects of a person, and that of the conversation.
    async fn projects(&self, user: &str, conversation: Option<&ConversationId>) -> Answered {
        let counts = self.projects.projects(user).await.map_err(describe)?;
        let project = match conversation {
            Some(conversation) => self.projects.project(user, conversation).await.map_err(describe)?,
            None => String::new(),
        };
        Ok(FactAnswer { counts, project, ..FactAnswer::default() })
    }

    async fn change(&self, user: &str, change: Change) -> Result<(), String> {
        self.knowledge.facts.change(user, user, now_ms(), &[change], None).await.map_err(describe)
    }

    async fn known(&self, user: &str, id: &str) -> Result<String, String> {
        self.one(user, id).await.map(|_| id.to_owned())
    }

    async fn one(&self, user: &str, id: &str) -> Answered {
        let known = self.knowledge.facts.find(user, &[id.to_owned()]).await.map_err(describe)?.pop();
        known.map(|known| found(vec![known.fact])).ok_or_else(|| no_such(id))
    }
}

/// How often the gate said what.
#[derive(Default)]
struct Verdicts(BTreeMap<&'static str, u64>);

impl Verdicts {
    fn count(&mut self, verdict: &'static str) {
        *self.0.entry(verdict).or_default() += 1;
    }

    fn counts(self) -> Vec<Count> {
        self.0.into_iter().map(|(name, value)| Count { name: name.to_owned(), value }).collect()
    }
}

fn found(facts: Vec<Fact>) -> FactAnswer {
    FactAnswer { facts, ..FactAnswer::default() }
}

fn no_such(id: &str) -> String {
    format!("there is no memory {id:?}: `clara memory list` shows their ids")
}

fn sound(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > FACT_BYTES {
        return Err(format!("a memory has between 1 and {FACT_BYTES} bytes; this has {}", text.len()));
    }
    Ok(text.to_owned())
}
