//! One call of the model, for whoever makes it: within what somebody may spend, and with an
//! end, whatever a vendor's library does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use domain::chat::{Answer, ChatRequest};
use domain::journal::Fault;
use futures::FutureExt;
use model::{ChatModel, ModelError, Progress};
use tokio::sync::mpsc;

use crate::budgets::{Budgets, Paying};

/// Pieces of text that may wait for who hears them; the model waits for more.
const PIECES: usize = 64;

/// Asks the model and gives every piece of what it says to `hear`, until that says that nobody
/// hears it any more: then the call ends, as it does when this is dropped, and has cost what
/// it was given to read and what it had said.
///
/// Errors: as the model's, and [`Fault::OverBudget`] or [`Fault::ChannelOverBudget`] before
/// anything was asked.
pub async fn call(
    model: &dyn ChatModel,
    request: &ChatRequest,
    paying: Option<(&Arc<Budgets>, Paying<'_>)>,
    mut hear: impl FnMut(Progress) -> bool + Send,
) -> Result<Answer, ModelError> {
    let mut claim = match paying {
        Some((budgets, paying)) => Some(budgets.reserve(paying, request).await?),
        None => None,
    };
    let mut heard = |piece: Progress| {
        if let (Some(claim), Progress::Text(text)) = (&mut claim, &piece) {
            claim.hear(text);
        }
        hear(piece)
    };
    let (progress, mut pieces) = mpsc::channel(PIECES);
    // A panic in a vendor's library must end the wait, not the answer's hope.
    let chat = AssertUnwindSafe(model.chat(request, &progress)).catch_unwind();
    tokio::pin!(chat);
    let answered = loop {
        tokio::select! {
            biased;
            Some(piece) = pieces.recv() => {
                if !heard(piece) {
                    break Err(failed("nobody hears the answer any more"));
                }
            }
            answered = &mut chat => {
                while let Ok(piece) = pieces.try_recv() {
                    heard(piece);
                }
                break answered.unwrap_or_else(|_| Err(failed("the model's client panicked")));
            }
        }
    };
    if let Some(claim) = claim {
        claim.settle(&answered).await;
    }
    answered
}

fn failed(why: &str) -> ModelError {
    ModelError { fault: Fault::Transient, detail: why.to_owned() }
}
