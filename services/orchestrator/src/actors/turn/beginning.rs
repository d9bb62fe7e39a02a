//! What a turn works from: its own context, or what it takes over from the turn that it goes on
//! from.

use std::sync::Arc;

use domain::carry::{Origin, carry};
use domain::decide;
use domain::journal::{Entry, Record};
use domain::turn::TurnContext;
use proto::Wire;
use ractor::ActorProcessingErr;
use tracing::warn;

use super::Turn;

impl Turn {
    pub(super) async fn first_entries(&self, context: &Arc<TurnContext>) -> Result<Vec<Entry>, ActorProcessingErr> {
        let own = vec![Entry::ContextFixed(Arc::clone(context))];
        let Some(Origin { conversation, turn, carry: how }) = &context.request.origin else { return Ok(own) };
        let refuse = |text: &str| {
            warn!(%turn, text, "a turn cannot go on from another");
            let reply = decide::refusal(context, text);
            Ok([own.clone(), vec![Entry::ReplyReady(Box::new(reply))]].concat())
        };
        let old = self.with.journals.read(conversation, *turn).await?;
        let of = old.state().context.as_ref().and_then(|context| context.request.principal().cloned());
        let by = context.request.principal();
        // Whoever goes on from a turn reads what it was told.
        if of.as_ref().zip(by).is_none_or(|(of, by)| (&of.user, &of.tenant) != (&by.user, &by.tenant)) {
            return refuse("There is no such turn of yours to go on from.");
        }
        let Some(entries) = carry(old.state(), context, *how) else {
            return refuse("There is nothing to go on from in that turn.");
        };
        let first = Record { epoch: 0, at_ms: 0, entries };
        // They are stored by one append, with what claiming adds.
        if first.to_wire().len() > self.with.bus.max_payload() / 10 * 9 {
            return refuse("What that turn had found is too large to go on from.");
        }
        Ok(first.entries)
    }
}
