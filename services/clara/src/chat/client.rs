//! Speaking and listening: what a terminal does on the bus.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::{Bus, Endpoints, Server};
use domain::approval::Question;
use domain::attachment::Attachment;
use domain::carry::Choice;
use domain::ids::{ConversationId, MessageId, TurnId};
use domain::message::Principal;
use domain::turn::Reply;
use proto::live::{Snapshot, TurnDelta};
use proto::terminal::{PLATFORM, Said, Say, Saying, place};
use service_kit::run::replica;
use service_kit::settings::Settings;
use service_kit::task::{self, TaskKind};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::files::{self, Attaching};
use super::{projects, servers};
use crate::approvals::{self, InChat};
use crate::links;
use crate::local::Folder;

/// How long one try to speak waits for an answer: the adapter gives up after 5 s.
const ANSWER: Duration = Duration::from_secs(8);
/// How long a terminal goes on trying; the same id makes that safe. A Clara that is started again has
/// the time for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a local Clara is looked after.
const LOOK: Duration = Duration::from_secs(2);
/// How long a question is waited for that somebody answers.
const ASKED: Duration = Duration::from_secs(3);
/// Things seen that may wait to be shown.
const SEEN: usize = 256;

/// What a terminal sees of its conversation.
#[derive(Debug)]
pub(crate) enum Seen {
    Delta(TurnDelta),
    Reply(Box<Reply>),
}

/// What became of a try to speak.
pub(crate) enum Spoken {
    Accepted(MessageId),
    Refused(String),
}

/// What a line comes to that is no message.
pub(crate) enum Own {
    /// The terminal did it.
    Done {
        /// What scripts know it by.
        event: &'static str,
        text: String,
    },
    /// It is said in the person's place.
    Say(Saying),
}

impl Own {
    pub(crate) fn done(event: &'static str, text: impl Into<String>) -> Self {
        Self::Done { event, text: text.into() }
    }
}

pub(crate) struct Client {
    bus: Bus,
    person: Principal,
    channel: String,
    /// What goes with the next message.
    files: Vec<Attachment>,
    pub(crate) conversation: ConversationId,
    seen: mpsc::Receiver<Seen>,
    /// The turn whose question was shown last, if nothing came after it.
    shown: Option<TurnId>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Client {
    /// Connects, and watches before anything is said. A local Clara is looked
    /// after: one that was killed is started again.
    pub(crate) async fn open(
        server: &Server,
        person: Principal,
        channel: String,
        local: Option<Folder>,
    ) -> anyhow::Result<Self> {
        let bus = Bus::attach(server, &replica("terminal")).await?;
        let conversation = ConversationId::derive(&place(&person, &channel));
        let (tell, seen) = mpsc::channel(SEEN);
        let mut deltas = bus.watch_deltas(PLATFORM, &conversation).await?;
        let mut replies = bus.follow_replies(&conversation, None).await.context("follow the replies")?;
        let tell_deltas = tell.clone();
        let mut tasks = vec![
            task::spawn(TaskKind::Watch, "watch-deltas", async move {
                while let Some(delta) = deltas.next().await {
                    // A slow terminal loses deltas, never the final.
                    if let Err(mpsc::error::TrySendError::Closed(_)) = tell_deltas.try_send(Seen::Delta(delta)) {
                        return;
                    }
                }
            }),
            task::spawn(TaskKind::Watch, "watch-replies", async move {
                while let Some((_, reply)) = replies.next().await {
                    if tell.send(Seen::Reply(Box::new(reply))).await.is_err() {
                        return;
                    }
                }
            }),
        ];
        if let Some(folder) = local {
            tasks.push(task::spawn(TaskKind::Watch, "look-after-clara", look_after(folder)));
        }
        let tasks = tasks.into_iter().map(AbortOnDropHandle::new).collect();
        Ok(Self { bus, person, channel, files: Vec::new(), conversation, seen, shown: None, _tasks: tasks })
    }

    /// Says something; a text takes along what was attached. The same message is offered until somebody answers for
    /// it; twice is once.
    pub(crate) async fn say(&mut self, what: Saying) -> anyhow::Result<Spoken> {
        let what = match what {
            Saying::Text { text, attachments } if attachments.is_empty() => {
                Saying::Text { text, attachments: self.files.clone() }
            }
            other => other,
        };
        let id = uuid::Uuid::now_v7().to_string();
        let say =
            Say { id: id.clone(), channel: self.channel.clone(), speaker: self.person.clone(), parent: None, what };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.bus.request(Endpoints::CliSay, &say, ANSWER).await {
                Ok(Said::Accepted { .. }) => {
                    if let Saying::Text { .. } = say.what {
                        self.files.clear();
                    }
                    return Ok(Spoken::Accepted(MessageId::new(PLATFORM, &id)?));
                }
                Ok(Said::Refused { because }) => return Ok(Spoken::Refused(because)),
                // Nobody knows yet whether it was taken: asked again, it is one message.
                Err(_) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(err) => bail!("Clara does not answer ({err}); `clara status` and `clara doctor` say more"),
            }
        }
    }

    /// Does what a line asks of the terminal rather than of Clara; `None` when it
    /// is a message. The error is a word to the person.
    pub(crate) async fn own(&mut self, settings: &Settings, line: &str) -> Option<Result<Own, String>> {
        if let Some(path) = files::in_chat(line) {
            return Some(match path {
                Ok(Attaching::Nothing) => {
                    self.files.clear();
                    Ok(Own::done("attached", "Nothing goes with your next message."))
                }
                Ok(Attaching::File(path)) => self.attach(&path).await.map(|text| Own::done("attached", text)),
                Err(why) => Err(why),
            });
        }
        if let Some(project) = projects::in_chat(line) {
            let told = projects::ask(&self.bus, &self.person, &self.conversation, project).await;
            return Some(told.map(|text| Own::done("project", text)));
        }
        if let Some(approval) = approvals::in_chat(line) {
            return Some(match approval {
                Ok(InChat::List) => {
                    let listed = approvals::listed(&self.bus, settings, &self.person).await;
                    listed.map(|text| Own::done("approvals", text)).map_err(|err| format!("{err:#}"))
                }
                Ok(InChat::Answer(choice, id)) => {
                    self.approve(settings, choice, id).await.map_err(|err| format!("{err:#}"))
                }
                Err(why) => Err(why),
            });
        }
        if let Some(asked) = servers::in_chat(line) {
            return Some(servers::ask(&self.bus, &self.person, asked).await);
        }
        let links = match links::in_chat(line)? {
            Ok(what) => what.ask(&self.bus, &self.person).await.map_err(|err| err.to_string()),
            Err(why) => Err(why),
        };
        Some(links.map(|links| Own::done("links", links.text)))
    }

    /// Answers a question that waits here, or anywhere; what comes of one that was asked
    /// elsewhere is told there.
    async fn approve(&mut self, settings: &Settings, choice: Choice, id: Option<String>) -> anyhow::Result<Own> {
        let waiting = match id {
            Some(id) => approvals::find(&self.bus, settings, &self.person, &id).await?,
            None => return self.approve_shown(settings, choice).await,
        };
        let answer = waiting.answer(choice);
        if waiting.conversation == self.conversation {
            return Ok(Own::Say(answer));
        }
        match self.say(answer).await? {
            Spoken::Accepted(_) => {
                let text = format!("Sent. What comes of it is told in {}.", waiting.channel());
                Ok(Own::done("approvals", text))
            }
            Spoken::Refused(because) => bail!("{because}"),
        }
    }

    /// Answers what was asked last in this conversation, if this terminal has shown it: nobody
    /// allows what they have not seen.
    async fn approve_shown(&self, settings: &Settings, choice: Choice) -> anyhow::Result<Own> {
        let conversations = self.bus.conversations().await?;
        let deadline = Instant::now() + ASKED;
        while let Some(turn) = self.shown {
            let (state, _) = conversations.read(&self.conversation).await?;
            let waits = state.asked.as_ref().is_some_and(|asked| asked.turn == turn);
            if waits && state.active.is_none() && state.waiting.is_empty() {
                return Ok(Own::Say(Saying::Answer { conversation: self.conversation.clone(), turn, choice }));
            }
            // One that was only just shown may be a moment in coming.
            if Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let waiting = approvals::of(&self.bus, settings, &self.person).await?;
        match waiting.into_iter().find(|one| one.conversation == self.conversation) {
            Some(here) => {
                bail!(
                    "look at it first:\n{}\n\nThen say `!approve {}`, or `!deny` with it.",
                    here.lines(),
                    here.asked.turn
                )
            }
            None => bail!("nothing waits here for your word; `!approvals` shows what does elsewhere"),
        }
    }

    /// Has a file go with the next message; what was attached, in words.
    pub(crate) async fn attach(&mut self, path: &Path) -> Result<String, String> {
        let attached = files::attach(&self.bus, &self.conversation, path, self.files.len()).await?;
        let words = format!("{} It goes with your next message.", attached.in_words());
        // The same again is one file.
        self.files.retain(|known| known.file != attached.file);
        self.files.push(attached);
        Ok(words)
    }

    /// The next thing seen.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Seen> {
        let seen = self.seen.recv().await.context("the connection to Clara has ended")?;
        if let Seen::Reply(reply) = &seen {
            self.shown = (reply.asks == Some(Question::Approval)).then_some(reply.turn);
        }
        Ok(seen)
    }

    /// The turn that a message begins.
    pub(crate) fn turn_of(&self, message: &MessageId) -> TurnId {
        TurnId::derive(&self.conversation, message)
    }

    pub(crate) async fn snapshot(&self, turn: TurnId) -> Option<Snapshot> {
        self.bus.read_snapshot(turn).await
    }
}

async fn look_after(folder: Folder) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(err) = folder.ensure_running(|| ()).await {
            tracing::error!(error = format!("{err:#}"), "failed to start Clara again");
        }
    }
}
