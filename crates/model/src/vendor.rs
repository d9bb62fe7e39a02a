//! Anthropic and OpenAI-compatible endpoints, through genai.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64;
use domain::attachment::Image;
use domain::chat::{Answer, ChatMessage, Ending, ToolCall, Usage};
use domain::decide::Tools;
use domain::journal::Fault;
use futures::StreamExt;
use genai::adapter::AdapterKind;
use genai::chat::{
    self, ChatOptions, ChatStreamEvent, ContentPart, MessageContent, StopReason, StreamEnd, ToolChoice, ToolResponse,
};
use genai::resolver::{AuthData, Endpoint as Address};
use genai::{Client, Headers, ModelIden, ServiceTarget};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use crate::config::Endpoint;
use crate::faults::{Failure, classify};
use crate::retry::Attempt;
use crate::{ChatRequest, Images, Progress};

/// Longest answer that is taken in, in bytes, whatever the vendor sends.
const ANSWER_BYTES: usize = 1 << 20;
/// Longest wait for the first byte of an answer's headers.
const HEADERS: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Anthropic,
    OpenAi,
}

pub(crate) struct Vendor {
    client: Client,
    wire: Wire,
    endpoint: Endpoint,
    silence: Duration,
    images: Arc<dyn Images>,
}

/// What the images of a request hold, in base64.
type Shown = HashMap<Image, Arc<str>>;

impl Vendor {
    pub(crate) fn new(
        wire: Wire,
        endpoint: Endpoint,
        silence: Duration,
        images: Arc<dyn Images>,
    ) -> Result<Self, genai::Error> {
        Ok(Self { client: Client::new()?, wire, endpoint, silence, images })
    }

    async fn images(&self, request: &ChatRequest) -> Result<Shown, Failure> {
        let mut shown = Shown::new();
        for image in request.messages.iter().flat_map(ChatMessage::images) {
            if !shown.contains_key(image)
                && let Some(bytes) = self.images.read(image).await.map_err(Failure::transient)?
            {
                shown.insert(image.clone(), BASE64.encode(&bytes).into());
            }
        }
        Ok(shown)
    }

    fn target(&self, model: &str) -> ServiceTarget {
        let kind = match self.wire {
            Wire::Anthropic => AdapterKind::Anthropic,
            Wire::OpenAi => AdapterKind::OpenAI,
        };
        let key = self.endpoint.key.as_ref().map_or("none", |key| key.expose_secret());
        ServiceTarget {
            endpoint: Address::from_owned(self.endpoint.base_url.clone()),
            auth: AuthData::from_single(key.to_owned()),
            model: ModelIden::new(kind, model.to_owned()),
        }
    }

    fn options(&self, request: &ChatRequest) -> ChatOptions {
        let headers: Vec<(String, String)> = self
            .endpoint
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
            .collect();
        let mut options = ChatOptions::default()
            .with_max_tokens(request.max_tokens)
            .with_capture_usage(true)
            .with_capture_content(true)
            .with_capture_tool_calls(true)
            .with_capture_reasoning_content(true)
            .with_stream_header_timeout(HEADERS.max(self.silence))
            .with_stream_read_timeout(self.silence)
            .with_extra_headers(Headers::from(headers));
        if request.tool_use == Tools::Withheld && !request.tools.is_empty() {
            options = options.with_tool_choice(ToolChoice::None);
        }
        options
    }
}

#[async_trait]
impl Attempt for Vendor {
    async fn attempt(&self, request: &ChatRequest, progress: &mpsc::Sender<Progress>) -> Result<Answer, Failure> {
        let shown = self.images(request).await?;
        match self.stream(request, &shown, progress).await {
            // A model that does not see, or an image that is none: without it, the
            // conversation goes on.
            Err(refused) if !shown.is_empty() && refused.fault == Fault::Rejected => {
                warn!(detail = refused.detail, "the vendor refused a request with images; asking without them");
                let why = "this model does not take these images; asking without them".to_owned();
                let _ = progress.send(Progress::Retrying { why }).await;
                self.stream(request, &Shown::new(), progress).await
            }
            answered => answered,
        }
    }
}

impl Vendor {
    /// One answer as it comes.
    async fn stream(
        &self,
        request: &ChatRequest,
        shown: &Shown,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Answer, Failure> {
        let key = self.endpoint.key.as_ref().map(|key| key.expose_secret());
        let failed = |err: &genai::Error| classify(err, key);
        let options = self.options(request);
        let wanted = vendor_request(request, shown);
        let asked = self.client.exec_chat_stream(self.target(&request.model), wanted, Some(&options));
        let mut stream = asked.await.map_err(|err| failed(&err))?.stream;
        let mut received = 0;
        let mut heard = Instant::now();
        loop {
            // A vendor may send heartbeats for ever; silence is about content.
            let next = tokio::time::timeout_at(heard + self.silence, stream.next()).await;
            let event = next.map_err(|_| Failure::transient(format!("silent for {:?}", self.silence)))?;
            match event {
                None => return Err(Failure::transient("the stream ended before the answer did")),
                Some(Err(err)) => return Err(failed(&err)),
                Some(Ok(ChatStreamEvent::Chunk(chunk))) => {
                    heard = Instant::now();
                    received += chunk.content.len();
                    // Nobody may be listening any more; the answer still counts.
                    let _ = progress.send(Progress::Text(chunk.content)).await;
                }
                Some(Ok(ChatStreamEvent::ToolCallChunk(chunk))) => {
                    heard = Instant::now();
                    received += chunk.tool_call.size().min(64);
                }
                Some(Ok(ChatStreamEvent::ReasoningChunk(chunk))) => {
                    heard = Instant::now();
                    received += chunk.content.len();
                }
                Some(Ok(ChatStreamEvent::End(end))) => return answer(end),
                Some(Ok(
                    ChatStreamEvent::Start | ChatStreamEvent::ThoughtSignatureChunk(_) | ChatStreamEvent::Heartbeat,
                )) => {}
            }
            if received > ANSWER_BYTES {
                return Err(Failure::transient(format!("the answer is longer than {ANSWER_BYTES} bytes")));
            }
        }
    }
}

fn vendor_request(request: &ChatRequest, shown: &Shown) -> chat::ChatRequest {
    let mut out = chat::ChatRequest::default().with_system(request.system.as_ref());
    let both_results = |a: &ChatMessage, b: &ChatMessage| {
        matches!((a, b), (ChatMessage::ToolResult { .. }, ChatMessage::ToolResult { .. }))
    };
    for group in request.messages.chunk_by(both_results) {
        out = out.append_message(vendor_message(group, shown));
    }
    if request.tools.is_empty() {
        return out;
    }
    out.with_tools(
        request
            .tools
            .iter()
            .map(|tool| {
                let schema =
                    serde_json::from_str(&tool.schema).unwrap_or_else(|_| serde_json::json!({"type": "object"}));
                chat::Tool::new(tool.name.clone()).with_description(tool.description.clone()).with_schema(schema)
            })
            .collect::<Vec<_>>(),
    )
}

/// One message, or the results of one step together: Anthropic wants all of them
/// in the message after the calls.
fn vendor_message(group: &[ChatMessage], shown: &Shown) -> chat::ChatMessage {
    let results = group.iter().filter_map(|message| match message {
        ChatMessage::ToolResult { vendor_id, text } => Some(ToolResponse::new(vendor_id.clone(), text.clone())),
        ChatMessage::User { .. } | ChatMessage::Assistant { .. } => None,
    });
    match &group[0] {
        ChatMessage::ToolResult { .. } => results.collect::<Vec<_>>().into(),
        ChatMessage::User { text, images } if images.is_empty() => chat::ChatMessage::user(text.clone()),
        ChatMessage::User { text, images } => {
            let parts = images.iter().map(|image| match (shown.get(image), image.kind.image()) {
                (Some(bytes), Some(media_type)) => ContentPart::from_binary_base64(media_type, Arc::clone(bytes), None),
                _ => ContentPart::from_text("[an image that cannot be shown to you]"),
            });
            let text = std::iter::once(ContentPart::from_text(text.clone()));
            chat::ChatMessage::user(MessageContent::from_parts(text.chain(parts).collect::<Vec<_>>()))
        }
        ChatMessage::Assistant { text, calls, signatures } => {
            let mut parts: Vec<ContentPart> =
                signatures.iter().filter_map(|part| serde_json::from_str(part).ok()).collect();
            if !text.is_empty() {
                parts.push(ContentPart::from_text(text.clone()));
            }
            parts.extend(calls.iter().map(|call| {
                // Vendors refuse arguments that are not an object; what was
                // wrong with them stands in the result.
                let arguments = serde_json::from_str(&call.arguments).ok().filter(Value::is_object);
                ContentPart::ToolCall(chat::ToolCall {
                    call_id: call.vendor_id.clone(),
                    fn_name: call.name.clone(),
                    fn_arguments: arguments.unwrap_or_else(|| serde_json::json!({})),
                    thought_signatures: None,
                })
            }));
            chat::ChatMessage::assistant(MessageContent::from_parts(parts))
        }
    }
}

fn answer(end: StreamEnd) -> Result<Answer, Failure> {
    let usage = end.captured_usage.unwrap_or_default();
    let tokens = |count: Option<i32>| u64::try_from(count.unwrap_or(0)).unwrap_or(0);
    let ending = match end.captured_stop_reason {
        Some(StopReason::MaxTokens(_)) => Ending::Cut,
        Some(StopReason::ContentFilter(_)) => Ending::Filtered,
        _ => Ending::Complete,
    };
    let mut answer = Answer {
        ending,
        usage: Usage {
            input_tokens: tokens(usage.prompt_tokens),
            output_tokens: tokens(usage.completion_tokens),
            cached_tokens: tokens(usage.prompt_tokens_details.and_then(|details| details.cached_tokens)),
        },
        ..Answer::default()
    };
    for part in end.captured_content.map(MessageContent::into_parts).unwrap_or_default() {
        match part {
            ContentPart::Text(text) => answer.text.push_str(&text),
            ContentPart::ToolCall(call) => answer.calls.push(ToolCall {
                vendor_id: call.call_id,
                name: call.fn_name,
                arguments: match call.fn_arguments {
                    // What could not be read as JSON comes as its own text; no
                    // arguments at all are an empty object.
                    Value::String(text) if text.trim().is_empty() => "{}".to_owned(),
                    Value::String(text) => text,
                    Value::Null => "{}".to_owned(),
                    other => other.to_string(),
                },
            }),
            // Proofs of reasoning go back to the vendor as they came.
            part @ (ContentPart::ThoughtSignature(_) | ContentPart::ReasoningContent(_) | ContentPart::Custom(_)) => {
                answer.signatures.extend(serde_json::to_string(&part).ok());
            }
            ContentPart::Binary(_) | ContentPart::ToolResponse(_) => {}
        }
    }
    if answer.text.trim().is_empty() && answer.calls.is_empty() {
        return Err(Failure::transient("the answer is empty"));
    }
    Ok(answer)
}
