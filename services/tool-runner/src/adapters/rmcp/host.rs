//! What servers ask of us and tell us unasked: who we are, where they may look, what the
//! person answers, how far they are.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::guard::cut_middle;
use domain::sampling::{Sampled, Voice};
use domain::untrusted::visible;
use rmcp::model::{
    ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams,
    ElicitResult, ElicitationAction, ElicitationCapability, Implementation, ListRootsResult, ProgressNotificationParam,
    ProgressToken, ProtocolVersion, ResourceUpdatedNotificationParam, Role, Root, RootsCapabilities,
    SamplingCapability, SamplingMessage, SamplingMessageContentBlock,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};

use crate::ports::{Calling, Sampler};

/// Resources that are known to have changed, at most.
const CHANGED: usize = 256;
/// Longest address of one, in bytes.
const URI_BYTES: usize = 2000;
/// How often a server may have words of the model in one call.
const SAMPLES: usize = 5;
/// Questions of one call that are told, and their length in characters.
const QUESTIONS: usize = 5;
const QUESTION_CHARS: usize = 4000;

/// A call that is in work.
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

#[derive(Default)]
struct Heard {
    calls: HashMap<u64, Running>,
    next: u64,
    changed: BTreeSet<String>,
}

/// The side of a connection that a server talks to. Cheap to clone.
#[derive(Clone)]
pub(super) struct Host {
    /// The server's folder, if it is a process.
    root: Option<String>,
    /// Its list of tools has changed.
    pub(super) changed: Arc<Notify>,
    heard: Arc<Mutex<Heard>>,
}

impl Host {
    pub(super) fn new(root: Option<String>) -> Self {
        Self { root, changed: Arc::default(), heard: Arc::default() }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins; what it is told ends with what is given.
    pub(super) fn begin(&self, with: Calling) -> CallGuard {
        let Calling { answers, progress, sampler, .. } = with;
        let mut heard = self.heard();
        heard.next += 1;
        let number = heard.next;
        heard
            .calls
            .insert(number, Running { token: None, progress, answers, questions: Vec::new(), sampler, samples: 0 });
        CallGuard { host: self.clone(), number }
    }

    /// Whether a resource has changed since it was read.
    pub(super) fn has_changed(&self, uri: &str) -> bool {
        self.heard().changed.contains(uri)
    }

    /// Changes count from now on; whether there were some.
    pub(super) fn is_being_read(&self, uri: &str) -> bool {
        self.heard().changed.remove(uri)
    }

    pub(super) fn note_change(&self, uri: &str) {
        let mut heard = self.heard();
        if heard.changed.len() < CHANGED && uri.len() <= URI_BYTES {
            heard.changed.insert(uri.to_owned());
        }
    }

    /// What the person answers to a form. It is not said which call asks, and a connection may
    /// be shared: so answers count, and questions are told, while one call alone is in work.
    fn answer(&self, message: &str, schema: &Value) -> ElicitResult {
        let mut heard = self.heard();
        let alone = if heard.calls.len() == 1 { heard.calls.values().next() } else { None };
        let known = alone.and_then(|call| fitting(call.answers.as_ref()?, schema));
        if let Some(content) = known {
            return ElicitResult::new(ElicitationAction::Accept).with_content(Value::Object(content));
        }
        heard.keep(format!("{message}\nIt takes an object of this form: {}", schema["properties"]));
        ElicitResult::new(ElicitationAction::Decline)
    }
}

impl Heard {
    /// Who answers for the model. It is not said which call asks, which does not matter while one
    /// person pays for all of them, in one conversation.
    fn sampler(&mut self) -> Result<Arc<dyn Sampler>, &'static str> {
        let mut payers = self.calls.values().map(|call| call.sampler.as_ref().map(|sampler| sampler.payer()));
        let first = payers.next().ok_or("for whom is not known: no call is in work")?;
        if payers.any(|payer| payer != first) {
            return Err("for whom is not known: calls for several people are in work");
        }
        let call = self.calls.values_mut().min_by_key(|call| call.samples).ok_or("no call is in work")?;
        let sampler = call.sampler.clone().ok_or("nobody has agreed to it: `clara mcp sampling` does")?;
        call.samples += 1;
        match call.samples <= SAMPLES {
            true => Ok(sampler),
            false => Err("it had words of the model too often in one call"),
        }
    }

    fn keep(&mut self, question: String) {
        let question = match self.calls.len() {
            1 => cut_middle(&visible(&question), QUESTION_CHARS),
            // Whose question it is cannot be known, nor who may read it.
            _ => "it asked while several calls were in work; call it alone to hear what".to_owned(),
        };
        for call in self.calls.values_mut().filter(|call| call.questions.len() < QUESTIONS) {
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
    host: Host,
    number: u64,
}

impl CallGuard {
    /// The name under which the server tells how far it is.
    pub(super) fn is_named(&self, token: ProgressToken) {
        if let Some(call) = self.host.heard().calls.get_mut(&self.number) {
            call.token = Some(token);
        }
    }

    /// What the server wanted to know meanwhile, and was not told.
    pub(super) fn questions(&self) -> Vec<String> {
        let mut heard = self.host.heard();
        heard.calls.get_mut(&self.number).map(|call| std::mem::take(&mut call.questions)).unwrap_or_default()
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.host.heard().calls.remove(&self.number);
    }
}

impl ClientHandler for Host {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.roots = Some(RootsCapabilities::default());
        capabilities.sampling = Some(SamplingCapability::default());
        capabilities.elicitation = Some(ElicitationCapability::default());
        // The newest that servers of today know, and that knows what they ask of us.
        let config = ClientConfig::new(capabilities, Implementation::new("Clara", env!("CARGO_PKG_VERSION")));
        config.with_protocol_version(ProtocolVersion::V_2025_11_25)
    }

    async fn create_message(
        &self,
        asked: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let sampler = self.heard().sampler().map_err(|why| ErrorData::invalid_request(why, None))?;
        let said = asked.messages.into_iter().map(|message| {
            let voice = if message.role == Role::Assistant { Voice::Assistant } else { Voice::User };
            let texts = message.content.into_vec().into_iter().map(|block| match block {
                SamplingMessageContentBlock::Text(text) => text.text,
                _ => "[something that is no text]".to_owned(),
            });
            (voice, texts.collect::<Vec<_>>().join("\n"))
        });
        let system = asked.system_prompt.unwrap_or_default();
        let sampled = sampler.sample(system, said.collect(), asked.max_tokens).await;
        let Sampled { text, model, is_cut } = sampled.map_err(|why| ErrorData::internal_error(why, None))?;
        let ended = if is_cut { "maxTokens" } else { "endTurn" };
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text(text), model).with_stop_reason(ended))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        let roots = self.root.iter().map(|root| Root::new(root.clone()).with_name("working folder"));
        Ok(ListRootsResult::new(roots.collect()))
    }

    async fn create_elicitation(
        &self,
        asked: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(match asked {
            ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } => {
                let schema = serde_json::to_value(requested_schema).unwrap_or_default();
                self.answer(&message, &schema)
            }
            ElicitRequestParams::UrlElicitationParams { message, url, .. } => {
                self.heard().keep(format!("{message}\nIt wants the person to open {url}"));
                ElicitResult::new(ElicitationAction::Decline)
            }
            _ => ElicitResult::new(ElicitationAction::Decline),
        })
    }

    async fn on_progress(&self, said: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let heard = self.heard();
        let named = Some(&said.progress_token);
        if let Some(call) = heard.calls.values().find(|call| call.token.as_ref() == named) {
            let total = said.total.map(|total| format!(" of {total}")).unwrap_or_default();
            let message = said.message.map(|message| format!(": {}", visible(&message))).unwrap_or_default();
            call.progress.send_replace(format!("{}{total}{message}", said.progress));
        }
    }

    async fn on_resource_updated(&self, updated: ResourceUpdatedNotificationParam, _: NotificationContext<RoleClient>) {
        self.note_change(&updated.uri);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::ids::{ConversationId, Place};
    use domain::message::Principal;
    use domain::sampling::{Sampled, Voice};
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
        let host = Host::new(None);
        let call = |user: &str| {
            let person = Principal { user: user.into(), name: user.into(), tenant: "local".into() };
            let conversation = ConversationId::derive(&Place {
                platform: "cli".into(),
                tenant: "local".into(),
                channel: "main".into(),
                thread: String::new(),
            });
            host.begin(Calling { sampler: Some(Arc::new(Payer(person, conversation))), ..with(None) })
        };
        let payer = || host.heard().sampler().map(|sampler| sampler.payer().0.user.clone());
        assert!(payer().is_err(), "nobody calls");
        let (_one, _two) = (call("ann"), call("ann"));
        for _ in 0..2 * SAMPLES {
            assert_eq!(payer().as_deref(), Ok("ann"));
        }
        assert!(payer().unwrap_err().contains("too often"));
        let three = call("bob");
        assert!(payer().unwrap_err().contains("several people"));
        drop(three);
        let _none = host.begin(with(None));
        assert!(payer().unwrap_err().contains("several people"), "who has not agreed pays for nobody");
    }

    #[test]
    fn who_was_not_answered_is_told_what_was_asked() {
        let host = Host::new(None);
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
        let call = host.begin(with(None));
        assert_eq!(host.answer("Who are you?", &schema).action, ElicitationAction::Decline);
        assert!(call.questions()[0].contains("Who are you?"));
        let known = json!({"name": "Ida"}).as_object().cloned();
        let other = host.begin(with(known));
        // One's answers are no other's, nor are its questions.
        assert_eq!(host.answer("Who are you?", &schema).action, ElicitationAction::Decline);
        assert!(!call.questions()[0].contains("Who are you?") && !other.questions().is_empty());
        drop(call);
        assert_eq!(host.answer("Who are you?", &schema).content, Some(json!({"name": "Ida"})));
        assert_eq!(host.heard().calls.len(), 1);
    }
}
