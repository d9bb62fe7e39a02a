//! Building and running the orchestrator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Consumer, Delivery, Endpoints, Files, Handler, Verdict};
use domain::attachment::Image;
use domain::decide::TurnLimits;
use domain::turn::TurnContext;
use model::{Images, ModelConfig};
use service_kit::crash::{CrashPoint, crash_point};
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;
use tokio_util::sync::CancellationToken;
use tracing::instrument;

use crate::actors::turn::Collaborators;
use crate::actors::turns::{Delivered, Settled, Turns};
use crate::sampling::Sampler;
use crate::tools::ToolCalls;
use spending::Budgets;

/// Claims without progress before a turn is given up.
const IDLE_CLAIMS: u32 = 5;
/// How long before the end of the grace running turns are handed over.
const HANDOVER: Duration = Duration::from_secs(3);
/// Wait before a turn is delivered again whose actor failed, or runs from another item.
const RETRY: Duration = Duration::from_secs(1);

/// The orchestrator, connected.
pub struct App {
    bus: Bus,
    collaborators: Arc<Collaborators>,
    turns: usize,
    grace: Duration,
}

impl App {
    /// Whether the configuration names models that can be asked.
    pub fn check(settings: &Settings) -> Result<(), service_kit::settings::Fault> {
        ModelConfig::from_settings(settings).map(|_| ())
    }

    /// Opens the model and finds the journals.
    pub async fn build(settings: &Settings, bus: &Bus) -> anyhow::Result<Self> {
        let models = ModelConfig::from_settings(settings).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let limits = TurnLimits {
            steps: u32::try_from(settings.number("GATEWAY_MAX_TOOL_ITERATIONS"))?,
            calls_per_step: usize::try_from(settings.number("CLARA_MAX_PARALLEL_TOOL_CALLS"))?,
            idle_claims: IDLE_CLAIMS,
        };
        let tools = ToolCalls {
            bus: bus.clone(),
            records: bus.tool_records().await?,
            patience: Duration::from_secs(settings.number("CLARA_TOOL_TIMEOUT_SECONDS")),
        };
        let collaborators = Collaborators {
            bus: bus.clone(),
            journals: bus.journals().await?,
            model: model::open(&models, Arc::new(Kept(bus.files().await?)))?,
            tool_tokens: usize::try_from(settings.number("CLARA_TOOL_TOKENS")).unwrap_or(usize::MAX),
            budgets: Budgets::open(settings, bus, longest(&models)).await?,
            models,
            tools,
            limits,
            time: Duration::from_secs(settings.number("CLARA_TURN_SECONDS")),
        };
        Ok(Self {
            bus: bus.clone(),
            collaborators: Arc::new(collaborators),
            turns: usize::try_from(settings.number("CLARA_MAX_TURNS"))?,
            grace: Duration::from_secs(settings.number("CLARA_SHUTDOWN_GRACE_SECONDS")),
        })
    }

    /// The part that runs until the process stops: turns under one parent.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, collaborators, turns, grace } = self;
        let of_sampler = bus.clone();
        let sampler = Arc::new(Sampler {
            model: Arc::clone(&collaborators.model),
            models: collaborators.models.clone(),
            budgets: collaborators.budgets.clone(),
        });
        let part = Part::new("orchestrator/turns", move |stop: CancellationToken| {
            let (bus, collaborators) = (bus.clone(), Arc::clone(&collaborators));
            async move {
                let (running, ended) = Turns::start(collaborators).await?;
                let runner =
                    Runner { turns: running.clone(), stop: stop.clone(), grace: grace.saturating_sub(HANDOVER) };
                let consumed = bus.consume(Consumer::Orchestrator, turns, Arc::new(runner), stop);
                let consumed = tokio::select! {
                    consumed = consumed => consumed.map_err(anyhow::Error::from),
                    _ = ended => Err(anyhow::anyhow!("the parent of the turns ended")),
                };
                running.stop();
                consumed
            }
        });
        let sampling = Part::new("orchestrator/sampling", move |stop: CancellationToken| {
            let (bus, sampler) = (of_sampler.clone(), Arc::clone(&sampler));
            async move { Ok(bus.answer("model-sample", Endpoints::ModelSample, sampler, stop).await?) }
        });
        Ok(Service { name: "orchestrator", parts: vec![part, sampling] })
    }
}

/// How long a model call may take, with all of its tries.
fn longest(models: &ModelConfig) -> Duration {
    models.timeout.saturating_mul(models.retries.saturating_add(2)).saturating_add(Duration::from_secs(600))
}

/// The images that came with messages.
struct Kept(Files);

#[async_trait]
impl Images for Kept {
    async fn read(&self, image: &Image) -> Result<Option<Vec<u8>>, String> {
        self.0.read(&image.conversation, &image.file).await.map_err(|err| err.to_string())
    }
}

/// Runs each delivered turn to its end, or hands it over when stopping.
struct Runner {
    turns: Turns,
    stop: CancellationToken,
    grace: Duration,
}

#[async_trait]
impl Handler<TurnContext> for Runner {
    #[instrument(name = "invoke_agent", skip_all, fields(turn = %context.request.turn, conversation = %context.request.conversation))]
    async fn handle(&self, context: TurnContext, delivery: &Delivery) -> Verdict {
        crash_point(CrashPoint::TurnReceived);
        let turn = context.request.turn;
        let handover = async {
            self.stop.cancelled().await;
            tokio::time::sleep(self.grace).await;
        };
        let delivered = Delivered { item: delivery.position().sequence, again: delivery.deliveries() > 1 };
        let run = self.turns.run(context, delivered);
        tokio::select! {
            settled = delivery.keep_alive(run) => match settled {
                // Somebody else may have it: nothing more is asked or shown here.
                None => {
                    self.turns.abandon(turn);
                    Verdict::Leave
                }
                Some(Some(Settled::Finished)) => {
                    crash_point(CrashPoint::FinishedTold);
                    Verdict::Done
                }
                // Its owner has an item of its own: this one would only hold up what comes after the turn.
                Some(Some(Settled::Redundant)) => Verdict::Done,
                Some(Some(Settled::Busy)) => Verdict::RetryAfter(RETRY),
                Some(Some(Settled::Elsewhere)) => Verdict::Leave,
                Some(None) => Verdict::RetryAfter(RETRY),
            },
            () = handover => {
                // Another replica goes on from the journal at once.
                self.turns.abandon(turn);
                Verdict::RetryAfter(Duration::ZERO)
            }
        }
    }
}
