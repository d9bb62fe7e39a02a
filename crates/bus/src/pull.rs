//! Asking a consumer for messages, in the server's own protocol.
//!
//! One inbox a consumer, a few messages asked for at a time, and every message
//! that arrives is seen: also one that was on its way when somebody stopped
//! asking. The library's streams lose those (see `docs/adr/0007`).

use std::time::Duration;

use async_nats::jetstream::{Context, Message};
use async_nats::{Client, StatusCode, Subscriber};
use futures::StreamExt;
use tokio::time::Instant;

/// How long the server keeps a question that it has no message for.
const EXPIRES: Duration = Duration::from_secs(10);
/// How much longer its word about that may take before it counts as lost.
const GRACE: Duration = Duration::from_secs(5);
/// Messages that are asked for at a time: what a frozen process may sit on.
pub(crate) const ASKED: usize = 8;

/// What came.
pub(crate) enum Pulled {
    Message(Box<Message>),
    /// A question was given back, in whole or in part.
    Expired,
}

pub(crate) struct Pull {
    client: Client,
    context: Context,
    /// Where the consumer is asked.
    subject: String,
    inbox: String,
    subscriber: Subscriber,
    /// Asked for, and neither come nor given back.
    asked: usize,
    last_asked: Instant,
}

impl Pull {
    pub(crate) async fn open(client: &Client, context: &Context, stream: &str, consumer: &str) -> Result<Self, String> {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(inbox.clone()).await.map_err(|err| err.to_string())?;
        Ok(Self {
            client: client.clone(),
            context: context.clone(),
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            inbox,
            subscriber,
            asked: 0,
            last_asked: Instant::now(),
        })
    }

    /// Asks for more when little is asked for, so that at most `free` come.
    pub(crate) async fn ask_for(&mut self, free: usize) -> Result<(), String> {
        let wanted = free.min(ASKED);
        if wanted <= self.asked || self.asked > ASKED / 2 {
            return Ok(());
        }
        let more = wanted - self.asked;
        let question = format!(r#"{{"batch":{more},"expires":{}}}"#, EXPIRES.as_nanos());
        let asked = self.client.publish_with_reply(self.subject.clone(), self.inbox.clone(), question.into()).await;
        asked.map_err(|err| err.to_string())?;
        self.asked = wanted;
        self.last_asked = Instant::now();
        Ok(())
    }

    /// What comes next. An error: ask anew, on a new inbox. May be dropped
    /// while it waits without losing anything.
    pub(crate) async fn next(&mut self) -> Result<Pulled, String> {
        let waited = self.last_asked + EXPIRES + GRACE;
        loop {
            let message = if self.asked == 0 {
                self.subscriber.next().await
            } else {
                let lost = || "the server did not answer a pull".to_owned();
                tokio::time::timeout_at(waited, self.subscriber.next()).await.map_err(|_| lost())?
            };
            let message = message.ok_or("the inbox was closed")?;
            match message.status {
                None => {
                    self.asked = self.asked.saturating_sub(1);
                    return Ok(Pulled::Message(Box::new(Message { message, context: self.context.clone() })));
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                    let left = message.headers.as_ref().and_then(|headers| headers.get("Nats-Pending-Messages"));
                    let left = left.and_then(|left| left.as_str().parse().ok()).unwrap_or(self.asked);
                    self.asked = self.asked.saturating_sub(left);
                    return Ok(Pulled::Expired);
                }
                Some(status) => return Err(format!("{status} {}", message.description.unwrap_or_default())),
            }
        }
    }

    /// Asks for nothing more, and gives what was on its way.
    pub(crate) async fn close(mut self) -> Vec<Message> {
        let mut left = Vec::new();
        if self.subscriber.drain().await.is_ok() {
            while let Ok(Some(message)) = tokio::time::timeout(GRACE, self.subscriber.next()).await {
                if message.status.is_none() {
                    left.push(Message { message, context: self.context.clone() });
                }
            }
        }
        left
    }
}
