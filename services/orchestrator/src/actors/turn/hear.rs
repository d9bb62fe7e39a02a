//! What a turn hears while it runs: each a task that mails it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bus::Subscription;
use domain::journal::Fault;
use domain::tier::Tier;
use domain::tool::ToolRecord;
use domain::turn::TurnContext;
use futures::FutureExt;
use model::{ChatModel, ChatRequest, ModelError};
use proto::live::ToolProgress;
use ractor::ActorRef;
use service_kit::task::{self, TaskKind};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{LOOK, TurnMsg};
use crate::spending::{Budgets, Paying};

/// Pieces of text that may wait for the turn; the model waits for more.
const PIECES: usize = 64;

pub(super) fn spawn(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(task::spawn(TaskKind::Work, name, work))
}

/// Results as they are recorded, and a clock for those that were not heard.
pub(super) fn tools(mut results: Subscription<ToolRecord>, me: &ActorRef<TurnMsg>) -> Vec<AbortOnDropHandle<()>> {
    let (hearing, looking) = (me.clone(), me.clone());
    vec![
        spawn("hear-results", async move {
            while let Some((call, record)) = results.next_result().await {
                let heard = match record {
                    ToolRecord::Done(outcome) => hearing.cast(TurnMsg::ToolReplied(call, outcome)),
                    ToolRecord::Started { .. } => Ok(()),
                };
                if heard.is_err() {
                    return;
                }
            }
        }),
        spawn("look-after-tools", async move {
            let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
            loop {
                clock.tick().await;
                if looking.cast(TurnMsg::LookAfterTools).is_err() {
                    return;
                }
            }
        }),
    ]
}

/// How far calls say that they are, as they say it.
pub(super) fn progress(mut said: Subscription<ToolProgress>, me: &ActorRef<TurnMsg>) -> AbortOnDropHandle<()> {
    let me = me.clone();
    spawn("hear-progress", async move {
        while let Some(ToolProgress { text }) = said.next().await {
            if me.cast(TurnMsg::ToolProgressed(text)).is_err() {
                return;
            }
        }
    })
}

/// A turn's call is paid for by whoever it is begun for.
fn paid_by(context: &TurnContext, step: u32, tier: Tier) -> Paying<'_> {
    let turn = &context.request;
    Paying { person: turn.principal(), conversation: &turn.conversation, call: format!("{}:{step}", turn.turn), tier }
}

/// Asks the model, mails what comes, and last the reply.
pub(super) async fn model(
    model: Arc<dyn ChatModel>,
    me: ActorRef<TurnMsg>,
    step: u32,
    request: ChatRequest,
    paying: Option<(Arc<Budgets>, Arc<TurnContext>, Tier)>,
) {
    let claim = match &paying {
        Some((budgets, context, tier)) => match budgets.reserve(paid_by(context, step, *tier), &request).await {
            Ok(claim) => Some(claim),
            Err(err) => {
                // The turn may have ended; then nobody waits for this.
                let _ = me.cast(TurnMsg::ModelReplied { step, reply: Err(err) });
                return;
            }
        },
        None => None,
    };
    let (progress, mut pieces) = mpsc::channel(PIECES);
    // A panic in a vendor's library must end the wait, not the answer's hope.
    let chat = AssertUnwindSafe(model.chat(&request, &progress)).catch_unwind();
    tokio::pin!(chat);
    let reply = loop {
        tokio::select! {
            biased;
            Some(piece) = pieces.recv() => {
                if me.cast(TurnMsg::ModelProgressed(piece)).is_err() {
                    return;
                }
            }
            reply = &mut chat => break reply.unwrap_or_else(|_| {
                Err(ModelError { fault: Fault::Transient, detail: "the model's client panicked".into() })
            }),
        }
    };
    while let Ok(piece) = pieces.try_recv() {
        if me.cast(TurnMsg::ModelProgressed(piece)).is_err() {
            return;
        }
    }
    if let (Some((budgets, ..)), Some(claim)) = (&paying, &claim) {
        budgets.settle(claim, &reply).await;
    }
    // The turn may have ended; then nobody waits for this.
    let _ = me.cast(TurnMsg::ModelReplied { step, reply });
}
