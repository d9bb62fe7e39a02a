//! Parents that restart their children within a budget.
//!
//! [`Root`] is the top of a service's tree: one worker actor for each part
//! that runs until the end. A worker that fails is started anew; one that fails
//! too often takes the root down, and the process with it, so that whoever runs
//! the process sees it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent, async_trait};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::task::{self, TaskKind};

/// Restarts within [`WINDOW`] after which a parent gives up.
const RESTARTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Wait before a failed worker is started anew.
const BACK_OFF: Duration = Duration::from_millis(200);

/// One run of a part.
type Work = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// How many restarts a parent still allows.
#[derive(Debug, Default)]
pub struct RestartBudget {
    recent: VecDeque<Instant>,
}

impl RestartBudget {
    /// Takes one restart from the budget; `false` when it is used up.
    pub fn take(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= RESTARTS {
            return false;
        }
        self.recent.push_back(now);
        true
    }
}

/// One part of a service that runs until it is told to stop.
#[derive(Clone)]
pub struct Part {
    name: String,
    start: Arc<dyn Fn(CancellationToken) -> Work + Send + Sync>,
}

impl Part {
    /// `start` is called for every start and restart. A part that ends without
    /// having been told to stop has failed.
    pub fn new<F, W>(name: impl Into<String>, start: F) -> Self
    where
        F: Fn(CancellationToken) -> W + Send + Sync + 'static,
        W: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self { name: name.into(), start: Arc::new(move |stop| Box::pin(start(stop))) }
    }
}

// === Worker ===

enum WorkerMsg {
    Ended(anyhow::Result<()>),
}

struct Worker;

#[async_trait]
impl Actor for Worker {
    type Msg = WorkerMsg;
    type State = ();
    type Arguments = (Part, CancellationToken, Duration);

    async fn pre_start(
        &self,
        me: ActorRef<WorkerMsg>,
        (part, stop, wait): Self::Arguments,
    ) -> Result<(), ActorProcessingErr> {
        task::spawn(TaskKind::Work, "worker", async move {
            tokio::time::sleep(wait).await;
            let ended = (part.start)(stop.clone()).await;
            let ended = match ended {
                Ok(()) if !stop.is_cancelled() => Err(anyhow::anyhow!("it ended without being told to stop")),
                other => other,
            };
            // The worker may be gone when the process is stopping.
            let _ = me.cast(WorkerMsg::Ended(ended));
        });
        Ok(())
    }

    async fn handle(&self, me: ActorRef<WorkerMsg>, msg: WorkerMsg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match msg {
            WorkerMsg::Ended(Ok(())) => me.stop(None),
            WorkerMsg::Ended(Err(err)) => return Err(format!("{err:#}").into()),
        }
        Ok(())
    }
}

// === Root ===

/// The messages of the root; it only listens to its children.
pub enum RootMsg {}

/// The parent of a service's parts.
pub struct Root;

/// What the root keeps.
pub struct RootState {
    parts: Vec<(Part, Option<ractor::ActorId>)>,
    stop: CancellationToken,
    budget: RestartBudget,
}

impl RootState {
    async fn start(&mut self, me: &ActorRef<RootMsg>, index: usize, wait: Duration) -> Result<(), ActorProcessingErr> {
        let Some((part, id)) = self.parts.get_mut(index) else { return Ok(()) };
        let arguments = (part.clone(), self.stop.clone(), wait);
        let (worker, _) = Actor::spawn_linked(None, Worker, arguments, me.get_cell()).await?;
        *id = Some(worker.get_id());
        Ok(())
    }

    fn index(&self, child: ractor::ActorId) -> Option<usize> {
        self.parts.iter().position(|(_, id)| *id == Some(child))
    }
}

#[async_trait]
impl Actor for Root {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = (Vec<Part>, CancellationToken);

    async fn pre_start(
        &self,
        me: ActorRef<RootMsg>,
        (parts, stop): Self::Arguments,
    ) -> Result<RootState, ActorProcessingErr> {
        let parts: Vec<_> = parts.into_iter().map(|part| (part, None)).collect();
        let mut state = RootState { parts, stop, budget: RestartBudget::default() };
        for index in 0..state.parts.len() {
            state.start(&me, index, Duration::ZERO).await?;
        }
        Ok(state)
    }

    async fn handle(&self, _: ActorRef<RootMsg>, msg: RootMsg, _: &mut RootState) -> Result<(), ActorProcessingErr> {
        match msg {}
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(child, err) => {
                let Some(index) = state.index(child.get_id()) else { return Ok(()) };
                let name = state.parts[index].0.name.clone();
                if state.stop.is_cancelled() {
                    state.parts.remove(index);
                } else if state.budget.take(Instant::now()) {
                    warn!(part = name, error = %err, "a part failed; starting it anew");
                    return state.start(&me, index, BACK_OFF).await;
                } else {
                    error!(part = name, error = %err, "a part fails again and again; giving up");
                    return Err(err);
                }
            }
            SupervisionEvent::ActorTerminated(child, ..) => {
                if let Some(index) = state.index(child.get_id()) {
                    state.parts.remove(index);
                }
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        if state.parts.is_empty() {
            me.stop(None);
        }
        Ok(())
    }
}

/// Runs parts under a root until `stop`, then lets them finish for at most
/// `grace`. An error means that the root gave up.
pub async fn run(parts: Vec<Part>, stop: CancellationToken, grace: Duration) -> anyhow::Result<()> {
    let (root, mut ended) = Actor::spawn(None, Root, (parts, stop.clone())).await?;
    tokio::select! {
        _ = &mut ended => {
            if stop.is_cancelled() { return Ok(()) }
            anyhow::bail!("a part of the service failed too often")
        }
        () = stop.cancelled() => {}
    }
    if tokio::time::timeout(grace, ended).await.is_err() {
        warn!(?grace, "did not finish in time; what is left goes to another replica");
        root.kill();
    } else {
        info!("finished what was in work");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failing_part_is_started_anew_and_the_others_go_on() {
        let starts = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let (counted, stopper) = (Arc::clone(&starts), stop.clone());
        let failing = Part::new("failing", move |stop| {
            let (count, stopper) = (counted.fetch_add(1, Ordering::SeqCst), stopper.clone());
            async move {
                if count < 3 {
                    anyhow::bail!("planned failure");
                }
                stopper.cancel();
                stop.cancelled().await;
                Ok(())
            }
        });
        let steady = Part::new("steady", |stop: CancellationToken| async move {
            stop.cancelled().await;
            Ok(())
        });
        run(vec![failing, steady], stop, Duration::from_secs(1)).await.unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn part_that_never_works_takes_the_service_down() {
        let broken = Part::new("broken", |_| async { anyhow::bail!("always") });
        let ended = run(vec![broken], CancellationToken::new(), Duration::from_secs(1)).await;
        assert!(ended.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn stop_does_not_wait_for_ever() {
        let stop = CancellationToken::new();
        let deaf = Part::new("deaf", |_| std::future::pending());
        stop.cancel();
        run(vec![deaf], stop, Duration::from_secs(5)).await.unwrap();
    }
}
