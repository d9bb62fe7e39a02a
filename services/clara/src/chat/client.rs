//! Speaking and listening: what a terminal does on the bus.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::{Bus, Endpoints, Server};
use domain::attachment::Attachment;
use domain::ids::{ConversationId, MessageId, TurnId};
use domain::message::Principal;
use domain::turn::Reply;
use proto::live::{Snapshot, TurnDelta};
use proto::terminal::{PLATFORM, Said, Say, Saying, place};
use service_kit::run::replica;
use service_kit::task::{self, TaskKind};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::files::{self, Attaching};
use super::projects;
use crate::links;
use crate::local::Folder;

/// How long one try to speak waits for an answer: the adapter gives up after 5 s.
const ANSWER: Duration = Duration::from_secs(8);
/// How long a terminal goes on trying; the same id makes that safe.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a local Clara is looked after.
const LOOK: Duration = Duration::from_secs(2);
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

/// What the terminal did for a line.
pub(crate) struct Done {
    /// What scripts know it by.
    pub(crate) event: &'static str,
    pub(crate) text: String,
}

pub(crate) struct Client {
    bus: Bus,
    person: Principal,
    channel: String,
    /// What goes with the next message.
    files: Vec<Attachment>,
    pub(crate) conversation: ConversationId,
    seen: mpsc::Receiver<Seen>,
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
        Ok(Self { bus, person, channel, files: Vec::new(), conversation, seen, _tasks: tasks })
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
    pub(crate) async fn own(&mut self, line: &str) -> Option<Result<Done, String>> {
        if let Some(path) = files::in_chat(line) {
            return Some(match path {
                Ok(Attaching::Nothing) => {
                    self.files.clear();
                    Ok(Done { event: "attached", text: "Nothing goes with your next message.".to_owned() })
                }
                Ok(Attaching::File(path)) => self.attach(&path).await.map(|text| Done { event: "attached", text }),
                Err(why) => Err(why),
            });
        }
        if let Some(project) = projects::in_chat(line) {
            let told = projects::ask(&self.bus, &self.person, &self.conversation, project).await;
            return Some(told.map(|text| Done { event: "project", text }));
        }
        let links = match links::in_chat(line)? {
            Ok(what) => what.ask(&self.bus, &self.person).await.map_err(|err| err.to_string()),
            Err(why) => Err(why),
        };
        Some(links.map(|links| Done { event: "links", text: links.text }))
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
        self.seen.recv().await.context("the connection to Clara has ended")
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
