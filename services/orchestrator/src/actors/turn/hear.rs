//! What a turn hears while it runs: each a task that mails it.

use std::sync::Arc;
use std::time::Duration;

use bus::Subscription;
use domain::tier::Tier;
use domain::tool::ToolRecord;
use domain::turn::TurnContext;
use model::{ChatModel, ChatRequest};
use proto::live::ToolProgress;
use ractor::ActorRef;
use service_kit::task::{self, TaskKind};
use tokio_util::task::AbortOnDropHandle;

use super::TurnMsg;
use spending::{Budgets, Paying};

/// How often calls without a result are looked after.
const LOOK: Duration = Duration::from_secs(2);

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
    Paying {
        person: turn.principal().map(|of| of.user.as_str()),
        conversation: Some(turn.paid_by()),
        call: format!("{}:{step}", turn.turn),
        tier,
    }
}

/// Asks the model, mails what comes, and last the reply.
pub(super) async fn model(
    model: Arc<dyn ChatModel>,
    me: ActorRef<TurnMsg>,
    step: u32,
    request: ChatRequest,
    paying: Option<(Arc<Budgets>, Arc<TurnContext>, Tier)>,
) {
    let paying = paying.as_ref().map(|(budgets, context, tier)| (budgets, paid_by(context, step, *tier)));
    let hear = |piece| me.cast(TurnMsg::ModelProgressed(piece)).is_ok();
    let reply = spending::call(model.as_ref(), &request, paying, hear).await;
    // The turn may have ended; then nobody waits for this.
    let _ = me.cast(TurnMsg::ModelReplied { step, reply });
}
