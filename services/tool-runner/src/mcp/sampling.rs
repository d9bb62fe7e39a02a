//! Words of the model for a server, in the middle of a call: asked of the orchestrator, which
//! pays for them from the budget of whoever calls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Endpoints};
use domain::ids::ConversationId;
use domain::message::Principal;
use domain::sampling::{PATIENCE, Sample, Sampled, Voice};
use domain::tool::ToolRequest;

use crate::ports::Sampler;

/// How much longer than the model may take its answer may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// The model, for one call.
pub(super) struct CallSampler {
    bus: Bus,
    request: ToolRequest,
    next: AtomicU32,
}

impl CallSampler {
    pub(super) fn new(bus: &Bus, request: &ToolRequest) -> Self {
        Self { bus: bus.clone(), request: request.clone(), next: AtomicU32::new(0) }
    }
}

#[async_trait]
impl Sampler for CallSampler {
    fn payer(&self) -> (&Principal, &ConversationId) {
        (&self.request.principal, self.request.paid_by())
    }

    async fn sample(&self, system: String, said: Vec<(Voice, String)>, max_tokens: u32) -> Result<Sampled, String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let sample = Sample {
            principal: self.request.principal.clone(),
            conversation: self.request.paid_by().clone(),
            id: format!("{}:{number}", self.request.call),
            system,
            messages: said,
            max_tokens,
        };
        self.bus.request(Endpoints::ModelSample, &sample, PATIENCE + ON_ITS_WAY).await.map_err(|err| err.to_string())
    }
}
