//! Core NATS: what may be lost. Deltas, control, snapshots, tool results heard
//! as they are stored.

use std::marker::PhantomData;
use std::time::Duration;

use async_nats::Subscriber;
use domain::ids::{CallId, ConversationId, TurnId};
use domain::tool::ToolRecord;
use futures::StreamExt;
use proto::Wire;
use proto::live::{ReadSnapshot, Snapshot, StopTurn, ToolProgress, TurnDelta};
use tracing::debug;

use crate::{Bus, Subject};

#[derive(Debug, thiserror::Error)]
#[error("cannot subscribe: {0}")]
pub struct LiveError(String);

/// Messages of one kind as they come. What cannot be read is skipped.
pub struct Subscription<T> {
    inner: Subscriber,
    kind: PhantomData<fn() -> T>,
}

impl<T: Wire> Subscription<T> {
    pub async fn next(&mut self) -> Option<T> {
        loop {
            let message = self.inner.next().await?;
            match T::from_wire(&message.payload) {
                Ok(value) => return Some(value),
                Err(err) => debug!(error = %err, "skipped a message that cannot be read"),
            }
        }
    }
}

impl Subscription<ToolRecord> {
    /// The next record with the call it belongs to.
    pub async fn next_result(&mut self) -> Option<(CallId, ToolRecord)> {
        loop {
            let message = self.inner.next().await?;
            let call = message.subject.splitn(4, '.').nth(3).map(CallId::parse);
            if let (Some(Ok(call)), Ok(record)) = (call, ToolRecord::from_wire(&message.payload)) {
                return Some((call, record));
            }
        }
    }
}

/// What turns that run hear of others.
#[derive(Debug)]
pub enum TurnSignal {
    Stopped(TurnId),
    SnapshotAsked(TurnId, SnapshotQuestion),
}

/// Who wants to know the text so far.
#[derive(Debug)]
pub struct SnapshotQuestion {
    reply: async_nats::Subject,
}

/// Signals for all turns. One pair of subscriptions a process, because there may
/// be thousands of turns; whoever does not run a turn ignores its signals.
pub struct TurnSignals {
    stops: Subscriber,
    questions: Subscriber,
}

impl TurnSignals {
    pub async fn next(&mut self) -> Option<TurnSignal> {
        let turn = |message: &async_nats::Message| {
            message.subject.rsplit('.').next().and_then(|turn| TurnId::parse(turn).ok())
        };
        loop {
            tokio::select! {
                stop = self.stops.next() => {
                    if let Some(turn) = turn(&stop?) {
                        return Some(TurnSignal::Stopped(turn));
                    }
                }
                question = self.questions.next() => {
                    let question = question?;
                    if let (Some(turn), Some(reply)) = (turn(&question), question.reply) {
                        return Some(TurnSignal::SnapshotAsked(turn, SnapshotQuestion { reply }));
                    }
                }
            }
        }
    }
}

impl Bus {
    pub async fn watch_deltas(
        &self,
        platform: &str,
        conversation: &ConversationId,
    ) -> Result<Subscription<TurnDelta>, LiveError> {
        self.watch(Subject::Delta(platform, conversation)).await
    }

    /// Hears stops of turns, and questions for their text so far.
    pub async fn watch_turns(&self) -> Result<TurnSignals, LiveError> {
        let subscribe = |subject: Subject<'_>| {
            let (client, subject) = (self.client.clone(), subject.to_string());
            async move { client.subscribe(subject).await.map_err(|err| LiveError(err.to_string())) }
        };
        Ok(TurnSignals { stops: subscribe(Subject::Controls).await?, questions: subscribe(Subject::Snapshots).await? })
    }

    pub async fn answer_snapshot(&self, question: SnapshotQuestion, snapshot: &Snapshot) {
        if let Err(err) = self.client.publish(question.reply, snapshot.to_wire().into()).await {
            debug!(error = %err, "failed to answer for a snapshot");
        }
    }

    /// A stored record is also a core message: heard without a consumer.
    pub async fn watch_tool_results(&self, turn: TurnId) -> Result<Subscription<ToolRecord>, LiveError> {
        self.watch(Subject::ToolResults(turn)).await
    }

    /// How far the calls of a turn say that they are. Some may be missed.
    pub async fn watch_tool_progress(&self, turn: TurnId) -> Result<Subscription<ToolProgress>, LiveError> {
        self.watch(Subject::ToolProgress(turn)).await
    }

    /// Tells how far a call is. Nobody may be listening.
    pub async fn show_tool_progress(&self, turn: TurnId, progress: &ToolProgress) {
        self.tell(Subject::ToolProgress(turn), progress).await;
    }

    async fn watch<T>(&self, subject: Subject<'_>) -> Result<Subscription<T>, LiveError> {
        let inner = self.client.subscribe(subject.to_string()).await.map_err(|err| LiveError(err.to_string()))?;
        Ok(Subscription { inner, kind: PhantomData })
    }

    /// Shows a piece of a running turn. Nobody may be watching.
    pub async fn show_delta(&self, platform: &str, conversation: &ConversationId, delta: &TurnDelta) {
        self.tell(Subject::Delta(platform, conversation), delta).await;
    }

    /// Tells the running replica of a stop that the journal holds already.
    pub async fn tell_control(&self, turn: TurnId, stop: &StopTurn) {
        self.tell(Subject::Control(turn), stop).await;
    }

    async fn tell(&self, subject: Subject<'_>, message: &impl Wire) {
        if let Err(err) = self.client.publish(subject.to_string(), message.to_wire().into()).await {
            debug!(error = %err, "failed to publish a live message");
        }
    }

    /// The text so far of a running turn, if some replica runs it.
    pub async fn read_snapshot(&self, turn: TurnId) -> Option<Snapshot> {
        let asked = self.client.request(Subject::Snapshot(turn).to_string(), ReadSnapshot.to_wire().into());
        let answer = tokio::time::timeout(Duration::from_secs(1), asked).await.ok()?.ok()?;
        Snapshot::from_wire(&answer.payload).ok()
    }
}
