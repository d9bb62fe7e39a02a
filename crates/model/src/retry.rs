//! Trying again: exponential back-off with jitter, or as the vendor asks.

use std::time::Duration;

use async_trait::async_trait;
use domain::chat::Answer;
use domain::journal::Fault;
use tokio::sync::mpsc;
use tracing::warn;

use crate::faults::Failure;
use crate::{ChatModel, ChatRequest, ModelError, Progress};

/// First back-off; doubles with every try.
const BASE: Duration = Duration::from_secs(1);
/// The part of a back-off that is never drawn away: a process that was frozen
/// finds out meanwhile that somebody else has its turn.
const AT_LEAST: f64 = 0.2;
/// Longest wait within a turn, whoever asks for it. A longer one is told to the
/// person instead.
const LONGEST: Duration = Duration::from_secs(60);

/// One attempt at an answer.
#[async_trait]
pub(crate) trait Attempt: Send + Sync {
    async fn attempt(&self, request: &ChatRequest, progress: &mpsc::Sender<Progress>) -> Result<Answer, Failure>;
}

/// A model that is asked again when that may help.
pub(crate) struct Patient<A> {
    inner: A,
    retries: u32,
}

impl<A> Patient<A> {
    pub(crate) fn new(inner: A, retries: u32) -> Self {
        Self { inner, retries }
    }
}

#[async_trait]
impl<A: Attempt> ChatModel for Patient<A> {
    async fn chat(&self, request: &ChatRequest, progress: &mpsc::Sender<Progress>) -> Result<Answer, ModelError> {
        let mut tried = 0;
        loop {
            let failure = match self.inner.attempt(request, progress).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = (tried < self.retries).then(|| wait(&failure, tried)).flatten();
            let Some(wait) = wait else {
                return Err(ModelError { fault: failure.fault, detail: failure.detail });
            };
            tried += 1;
            warn!(
                model = request.model,
                fault = failure.fault.as_str(),
                detail = failure.detail,
                tried,
                ?wait,
                "model call failed; trying again"
            );
            let why = match failure.fault {
                Fault::RateLimited { .. } => format!("rate limited, waiting {} s", wait.as_secs_f64().ceil()),
                _ => "the model did not answer, asking again".to_owned(),
            };
            // Nobody may be listening any more.
            let _ = progress.send(Progress::Retrying { why }).await;
            tokio::time::sleep(wait).await;
        }
    }
}

/// How long to wait before the next try; `None` when another try is no use.
fn wait(failure: &Failure, tried: u32) -> Option<Duration> {
    match failure.fault {
        Fault::OverBudget | Fault::ChannelOverBudget | Fault::Auth | Fault::ContextOverflow | Fault::Rejected => None,
        Fault::RateLimited { .. } | Fault::Transient => match failure.retry_after {
            Some(asked) if asked > LONGEST => None,
            Some(asked) => Some(asked),
            None => Some(
                (BASE * 2u32.saturating_pow(tried)).min(LONGEST).mul_f64(AT_LEAST + (1.0 - AT_LEAST) * fastrand::f64()),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Script(Mutex<Vec<Result<&'static str, Failure>>>);

    #[async_trait]
    impl Attempt for Script {
        async fn attempt(&self, _: &ChatRequest, _: &mpsc::Sender<Progress>) -> Result<Answer, Failure> {
            self.0.lock().unwrap().remove(0).map(|text| Answer { text: text.into(), ..Answer::default() })
        }
    }

    async fn check(script: Vec<Result<&'static str, Failure>>, retries: u32) -> (Result<String, Fault>, Duration) {
        let model = Patient::new(Script(Mutex::new(script)), retries);
        let (progress, _keep) = mpsc::channel(64);
        let request = ChatRequest {
            model: "m".into(),
            system: "".into(),
            messages: vec![],
            tools: [].into(),
            tool_use: domain::decide::Tools::Withheld,
            max_tokens: 1,
        };
        let begun = tokio::time::Instant::now();
        let answer = model.chat(&request, &progress).await;
        (answer.map(|answer| answer.text).map_err(|err| err.fault), begun.elapsed())
    }

    fn limited(seconds: u64) -> Failure {
        let fault = Fault::RateLimited { retry_after_s: Some(seconds) };
        Failure { fault, detail: String::new(), retry_after: Some(Duration::from_secs(seconds)) }
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_tried_again() {
        let script = vec![Err(Failure::transient("a")), Err(Failure::transient("b")), Ok("there")];
        assert_eq!(check(script, 3).await.0, Ok("there".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_to_the_second() {
        let (answer, took) = check(vec![Err(limited(5)), Ok("there")], 3).await;
        assert_eq!(answer, Ok("there".into()));
        assert_eq!(took, Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_is_told_and_not_waited() {
        let (answer, took) = check(vec![Err(limited(3600))], 3).await;
        assert_eq!(answer, Err(Fault::RateLimited { retry_after_s: Some(3600) }));
        assert_eq!(took, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_are_counted_and_hopeless_faults_are_not_tried() {
        let failures = (0..4).map(|_| Err(Failure::transient("x"))).collect();
        assert_eq!(check(failures, 3).await.0, Err(Fault::Transient));
        let wrong_key = Failure { fault: Fault::Auth, detail: String::new(), retry_after: None };
        assert_eq!(check(vec![Err(wrong_key)], 3).await.0, Err(Fault::Auth));
    }
}
