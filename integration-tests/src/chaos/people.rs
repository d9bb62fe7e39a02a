//! Who talks, what they were promised, and when they heard.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use bus::{Bus, Endpoints};
use domain::ids::{ConversationId, MessageId};
use domain::message::Principal;
use domain::turn::Reply;
use futures::StreamExt;
use proto::Wire;
use proto::terminal::{PLATFORM, Said, Say, Saying, place};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ledgers::Kind;

/// How long somebody offers a message before the suite counts it as not taken.
const OFFER: Duration = Duration::from_secs(180);

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A message that the adapter said it accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub id: MessageId,
    pub conversation: ConversationId,
    pub key: String,
    pub kind: Kind,
    /// When it was offered first, in milliseconds since the Unix epoch.
    pub offered_ms: i64,
    /// When the adapter's word came.
    pub at_ms: i64,
}

/// The fake platform's people with their ledger.
#[derive(Clone)]
pub struct People {
    bus: Bus,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    refused: Arc<AtomicUsize>,
    keys: Arc<AtomicUsize>,
    heard: Arc<Mutex<Heard>>,
    listening: Arc<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    answered: HashMap<MessageId, i64>,
    waiting: HashMap<MessageId, Vec<oneshot::Sender<()>>>,
}

/// One of them, in one conversation.
#[derive(Clone)]
pub struct Person {
    pub people: People,
    pub who: Principal,
    pub channel: String,
    pub conversation: ConversationId,
}

impl People {
    pub async fn gather(bus: Bus, url: &str) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let listening = tokio::spawn(listen(url.to_owned(), Arc::clone(&heard)));
        Self {
            bus,
            accepted: Arc::default(),
            refused: Arc::default(),
            keys: Arc::default(),
            heard,
            listening: Arc::new(listening),
        }
    }

    pub fn person(&self, number: usize) -> Person {
        let who = Principal { user: format!("user-{number}"), name: "Ann".into(), tenant: "chaos".into() };
        let channel = "main".to_owned();
        let conversation = ConversationId::derive(&place(&who, &channel));
        Person { people: self.clone(), who, channel, conversation }
    }

    pub fn accepted(&self) -> Vec<Accepted> {
        self.accepted.lock().unwrap().clone()
    }

    /// How many messages the adapter refused with a word.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// Waits until a message was answered. `false`: not in time.
    pub async fn answered(&self, id: &MessageId, within: Duration) -> bool {
        let hears = {
            let mut heard = self.heard.lock().unwrap();
            if heard.answered.contains_key(id) {
                return true;
            }
            let (sender, receiver) = oneshot::channel();
            heard.waiting.entry(id.clone()).or_default().push(sender);
            receiver
        };
        tokio::time::timeout(within, hears).await.is_ok()
    }

    /// Waits until all that was accepted is answered; how many are not in time.
    pub async fn all_answered(&self, within: Duration) -> usize {
        let deadline = Instant::now() + within;
        let mut open = 0;
        for message in self.accepted() {
            let left = deadline.saturating_duration_since(Instant::now());
            open += usize::from(!self.answered(&message.id, left).await);
        }
        open
    }
}

impl Drop for People {
    fn drop(&mut self) {
        if Arc::strong_count(&self.listening) == 1 {
            self.listening.abort();
        }
    }
}

impl Person {
    /// Says something; `None`: refused with a word, or not taken in time.
    pub async fn says(&self, kind: Kind) -> Option<Accepted> {
        let key = format!("k{}", self.people.keys.fetch_add(1, Ordering::SeqCst));
        self.offers(&uuid::Uuid::now_v7().to_string(), &key, kind).await
    }

    /// Says something under an id, again and again until somebody answers for it.
    pub async fn offers(&self, id: &str, key: &str, kind: Kind) -> Option<Accepted> {
        let offered_ms = now_ms();
        let taken = self.tells(id, kind.text(key)).await?;
        let accepted = Accepted {
            id: taken,
            conversation: self.conversation.clone(),
            key: key.to_owned(),
            kind,
            offered_ms,
            at_ms: now_ms(),
        };
        let mut ledger = self.people.accepted.lock().unwrap();
        if !ledger.iter().rev().take(64).any(|known| known.id == accepted.id) {
            ledger.push(accepted.clone());
        }
        Some(accepted)
    }

    /// Offers a text under an id; nothing of it goes into the ledger.
    pub async fn tells(&self, id: &str, text: String) -> Option<MessageId> {
        let what = Saying::text(text);
        let say =
            Say { id: id.to_owned(), channel: self.channel.clone(), speaker: self.who.clone(), parent: None, what };
        let deadline = Instant::now() + OFFER;
        while Instant::now() < deadline {
            match self.people.bus.request(Endpoints::CliSay, &say, Duration::from_secs(8)).await {
                Ok(Said::Accepted { .. }) => return Some(MessageId::new(PLATFORM, id).unwrap()),
                Ok(Said::Refused { .. }) => {
                    self.people.refused.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        None
    }
}

/// Hears replies as the platform shows them, also over a restart of the server.
async fn listen(url: String, heard: Arc<Mutex<Heard>>) {
    let mut next = 1;
    loop {
        if let Err(err) = follow(&url, &heard, &mut next).await {
            eprintln!("people: hearing anew: {err}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn follow(url: &str, heard: &Mutex<Heard>, next: &mut u64) -> anyhow::Result<()> {
    let context = async_nats::jetstream::new(async_nats::connect(url).await?);
    let stream = context.get_stream("CLARA_TERMINAL").await?;
    let config = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: *next },
        ..Default::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let info = message.info().map_err(|err| anyhow::anyhow!("{err}"))?;
        *next = info.stream_sequence + 1;
        let reply = Reply::from_wire(&message.payload)?;
        let at = i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000)?;
        let mut heard = heard.lock().unwrap();
        for id in &reply.answers {
            heard.answered.entry(id.clone()).or_insert(at);
            for waiting in heard.waiting.remove(id).unwrap_or_default() {
                // Whoever waited may have given up.
                let _ = waiting.send(());
            }
        }
    }
    Ok(())
}
