//! The calls that one server works on: what it is told, and what it says, belongs to one of them.
//! Which one, a server often does not say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::guard::cut_middle;
use domain::untrusted::visible;
use rmcp::model::{ElicitResult, ElicitationAction, ProgressNotificationParam, ProgressToken};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::ports::{Calling, Sampler};

/// How often a server may have words of the model in one call.
const SAMPLES: usize = 5;
/// Questions of one call that are told, and their length in characters.
const QUESTIONS: usize = 5;
const QUESTION_CHARS: usize = 4000;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    running: HashMap<u64, Running>,
    next: u64,
}

struct Running {
    token: Option<ProgressToken>,
    progress: watch::Sender<String>,
    /// What the person has answered beforehand.
    answers: Option<Map<String, Value>>,
    questions: Vec<String>,
    sampler: Option<Arc<dyn Sampler>>,
    /// How often it had words of the model.
    samples: usize,
}

impl Calls {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins; what it is told ends with what is given.
    pub(super) fn begin(&self, with: Calling) -> CallGuard {
        let Calling { answers, progress, sampler, .. } = with;
        let mut all = self.all();
        all.next += 1;
        let number = all.next;
        let call = Running { token: None, progress, answers, questions: Vec::new(), sampler, samples: 0 };
        all.running.insert(number, call);
        CallGuard { calls: self.clone(), number }
    }

    /// What the person answers to a form. It is not said which call asks, and a connection may
    /// be shared: so answers count, and questions are told, while one call alone is in work.
    pub(super) fn answer(&self, message: &str, schema: &Value) -> ElicitResult {
        let mut all = self.all();
        let alone = if all.running.len() == 1 { all.running.values().next() } else { None };
        let known = alone.and_then(|call| fitting(call.answers.as_ref()?, schema));
        if let Some(content) = known {
            return ElicitResult::new(ElicitationAction::Accept).with_content(Value::Object(content));
        }
        all.keep(format!("{message}\nIt takes an object of this form: {}", schema["properties"]));
        ElicitResult::new(ElicitationAction::Decline)
    }

    /// Who answers for the model; the error is for the server.
    pub(super) fn sampler(&self) -> Result<Arc<dyn Sampler>, &'static str> {
        self.all().sampler()
    }

    /// Keeps what it wanted to know, for whoever made the call.
    pub(super) fn keep(&self, question: String) {
        self.all().keep(question);
    }

    /// How far one of them is, as its server says.
    pub(super) fn is_at(&self, said: &ProgressNotificationParam) {
        if let Some(call) = self.all().running.values().find(|call| call.token.as_ref() == Some(&said.progress_token)) {
            let total = said.total.map(|total| format!(" of {total}")).unwrap_or_default();
            let message = said.message.as_deref().map(|message| format!(": {}", visible(message))).unwrap_or_default();
            call.progress.send_replace(format!("{}{total}{message}", said.progress));
        }
    }
}

impl All {
    /// Who answers for the model. It is not said which call asks, which does not matter while one
    /// person pays for all of them, in one conversation.
    fn sampler(&mut self) -> Result<Arc<dyn Sampler>, &'static str> {
        let mut payers = self.running.values().map(|call| call.sampler.as_ref().map(|sampler| sampler.payer()));
        let first = payers.next().ok_or("for whom is not known: no call is in work")?;
        if payers.any(|payer| payer != first) {
            return Err("for whom is not known: calls for several people are in work");
        }
        let call = self.running.values_mut().min_by_key(|call| call.samples).ok_or("no call is in work")?;
        let sampler = call.sampler.clone().ok_or("nobody has agreed to it: `clara mcp sampling` does")?;
        call.samples += 1;
        if call.samples > SAMPLES {
            return Err("it had words of the model too often in one call");
        }
        // Whoever pays for it sees it.
        call.progress.send_replace(format!("asks Clara's model ({} of {SAMPLES})", call.samples));
        Ok(sampler)
    }

    fn keep(&mut self, question: String) {
        let question = match self.running.len() {
            1 => cut_middle(&visible(&question), QUESTION_CHARS),
            // Whose question it is cannot be known, nor who may read it.
            _ => "it asked while several calls were in work; call it alone to hear what".to_owned(),
        };
        for call in self.running.values_mut().filter(|call| call.questions.len() < QUESTIONS) {
            call.questions.push(question.clone());
        }
    }
}

/// The answers that a form takes, with its defaults for what was left out; nothing if one
/// that it must have is missing.
fn fitting(answers: &Map<String, Value>, schema: &Value) -> Option<Map<String, Value>> {
    let empty = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&empty);
    let content: Map<String, Value> = fields
        .iter()
        .filter_map(|(name, field)| {
            let value = answers.get(name).or_else(|| field.get("default"))?;
            Some((name.clone(), value.clone()))
        })
        .collect();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let is_whole = required.into_iter().all(|name| content.contains_key(name));
    let fits = jsonschema::validator_for(schema).is_ok_and(|form| form.is_valid(&Value::Object(content.clone())));
    (is_whole && fits).then_some(content)
}

/// A call that is in work, until this is dropped.
pub(super) struct CallGuard {
    calls: Calls,
    number: u64,
}

impl CallGuard {
    /// The name under which the server tells how far it is.
    pub(super) fn is_named(&self, token: ProgressToken) {
        if let Some(call) = self.calls.all().running.get_mut(&self.number) {
            call.token = Some(token);
        }
    }

    /// What the server wanted to know meanwhile, and was not told.
    pub(super) fn questions(&self) -> Vec<String> {
        let mut all = self.calls.all();
        all.running.get_mut(&self.number).map(|call| std::mem::take(&mut call.questions)).unwrap_or_default()
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.calls.all().running.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::ids::{ConversationId, Place};
    use domain::message::Principal;
    use domain::sampling::{Sampled, Voice};
    use rmcp::model::NumberOrString;
    use serde_json::json;

    use super::*;

    fn with(answers: Option<Map<String, Value>>) -> Calling {
        Calling { answers, limit: Duration::ZERO, progress: watch::Sender::default(), sampler: None }
    }

    #[test]
    fn a_form_is_answered_by_what_the_person_said_and_its_defaults() {
        let schema = json!({
            "type": "object",
            "properties": {"name": {"type": "string"}, "size": {"type": "integer", "default": 3}},
            "required": ["name"],
        });
        let answers = |value: Value| value.as_object().unwrap().clone();
        assert_eq!(fitting(&answers(json!({"name": "Ida", "other": 1})), &schema).unwrap()["size"], 3);
        assert_eq!(fitting(&answers(json!({"size": 4})), &schema), None, "what must be there is missing");
        assert_eq!(fitting(&answers(json!({"name": 4})), &schema), None, "another type");
    }

    #[test]
    fn progress_is_told_of_its_own_call_and_moves_no_terminal() {
        let (calls, one, other) = (Calls::default(), with(None), with(None));
        let (said, nothing) = (one.progress.subscribe(), other.progress.subscribe());
        let (one, other) = (calls.begin(one), calls.begin(other));
        one.is_named(ProgressToken(NumberOrString::Number(1)));
        other.is_named(ProgressToken(NumberOrString::Number(2)));
        let token = ProgressToken(NumberOrString::Number(1));
        calls.is_at(&ProgressNotificationParam::new(token, 3.0).with_total(4.0).with_message("at\u{1b}[2J \u{202e}it"));
        assert_eq!((said.borrow().as_str(), nothing.borrow().as_str()), ("3 of 4: at[2J it", ""));
    }

    /// Pays, and says nothing.
    struct Payer(Principal, ConversationId);

    #[async_trait::async_trait]
    impl Sampler for Payer {
        fn payer(&self) -> (&Principal, &ConversationId) {
            (&self.0, &self.1)
        }

        async fn sample(&self, _: String, _: Vec<(Voice, String)>, _: u32) -> Result<Sampled, String> {
            Err("nothing to say".to_owned())
        }
    }

    #[test]
    fn words_of_the_model_are_for_who_pays_for_every_call_in_work() {
        let (calls, told) = (Calls::default(), watch::Sender::default());
        let heard = told.subscribe();
        let call = |user: &str| {
            let person = Principal { user: user.into(), name: user.into(), tenant: "local".into() };
            let conversation = ConversationId::derive(&Place {
                platform: "cli".into(),
                tenant: "local".into(),
                channel: "main".into(),
                thread: String::new(),
            });
            calls.begin(Calling {
                sampler: Some(Arc::new(Payer(person, conversation))),
                progress: told.clone(),
                ..with(None)
            })
        };
        let payer = || calls.sampler().map(|sampler| sampler.payer().0.user.clone());
        assert!(payer().is_err(), "nobody calls");
        let (_one, _two) = (call("ann"), call("ann"));
        for _ in 0..2 * SAMPLES {
            assert_eq!(payer().as_deref(), Ok("ann"));
        }
        assert_eq!(*heard.borrow(), "asks Clara's model (5 of 5)", "whoever pays sees it");
        assert!(payer().unwrap_err().contains("too often"));
        let three = call("bob");
        assert!(payer().unwrap_err().contains("several people"));
        drop(three);
        let _none = calls.begin(with(None));
        assert!(payer().unwrap_err().contains("several people"), "who has not agreed pays for nobody");
    }

    #[test]
    fn who_was_not_answered_is_told_what_was_asked() {
        let calls = Calls::default();
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
        let call = calls.begin(with(None));
        assert_eq!(calls.answer("Who are you?", &schema).action, ElicitationAction::Decline);
        assert!(call.questions()[0].contains("Who are you?"));
        let known = json!({"name": "Ida"}).as_object().cloned();
        let other = calls.begin(with(known));
        // One's answers are no other's, nor are its questions.
        assert_eq!(calls.answer("Who are you?", &schema).action, ElicitationAction::Decline);
        assert!(!call.questions()[0].contains("Who are you?") && !other.questions().is_empty());
        drop(call);
        assert_eq!(calls.answer("Who are you?", &schema).content, Some(json!({"name": "Ida"})));
        assert_eq!(calls.all().running.len(), 1);
    }
}
