//! Anthropic's Messages API as documented: named events, blocks, input deltas.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Act, Asked, Ends, KEY, Shared, image, parse, refusal, stream};

pub(super) async fn serve(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let error = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    if header("x-api-key") != KEY {
        return refusal(
            401,
            vec![],
            error("authentication_error", &format!("invalid x-api-key {}", header("x-api-key"))),
        );
    }
    let checked = match header("anthropic-version").as_str() {
        "2023-06-01" => parse(&body).and_then(check),
        other => Err(format!("anthropic-version: `{other}`")),
    };
    let asked = match checked {
        Ok(asked) => asked,
        Err(why) => {
            shared.fault(why.clone());
            return refusal(400, vec![], error("invalid_request_error", &why));
        }
    };
    respond(shared.take(asked, &headers).await)
}

/// Checks a request as the vendor would.
fn check(body: Value) -> Result<Asked, String> {
    let model = body["model"].as_str().filter(|model| !model.is_empty()).ok_or("model: field required")?.to_owned();
    body["max_tokens"].as_u64().filter(|tokens| *tokens > 0).ok_or("max_tokens: field required")?;
    if body["stream"] != json!(true) {
        return Err("stream must be true here".into());
    }
    let messages = body["messages"].as_array().filter(|list| !list.is_empty()).ok_or("messages: field required")?;
    let (mut last_user, mut results, mut open) = (String::new(), Vec::new(), Vec::<String>::new());
    let mut images = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let blocks = match &message["content"] {
            Value::String(text) => vec![json!({"type": "text", "text": text})],
            Value::Array(blocks) => blocks.clone(),
            _ => return Err(format!("messages.{index}.content: field required")),
        };
        if blocks.is_empty() {
            return Err(format!("messages.{index}: must have non-empty content"));
        }
        let mut answered = Vec::new();
        let mut said = String::new();
        let role = message["role"].as_str().unwrap_or_default();
        if index == 0 && role != "user" {
            return Err("messages: first message must use the user role".into());
        }
        for block in &blocks {
            match (role, block["type"].as_str().unwrap_or_default()) {
                (_, "text") => {
                    let text = block["text"].as_str().unwrap_or_default();
                    if text.is_empty() {
                        return Err(format!("messages.{index}: text content blocks must be non-empty"));
                    }
                    said.push_str(text);
                }
                ("assistant", "tool_use") => {
                    if !block["input"].is_object() {
                        return Err("tool_use.input: should be an object".into());
                    }
                    open.push(block["id"].as_str().ok_or("tool_use.id: field required")?.to_owned());
                }
                ("assistant", "thinking") if block["signature"].is_string() => {}
                ("user", "tool_result") => {
                    let id = block["tool_use_id"].as_str().ok_or("tool_result.tool_use_id: field required")?;
                    let place =
                        open.iter().position(|known| known == id).ok_or(format!("unexpected tool_use_id {id}"))?;
                    answered.push(open.remove(place));
                    results.push(text(&block["content"]));
                }
                ("user", "image") if block["source"]["type"] == "base64" => {
                    let source = |field: &str| block["source"][field].as_str().unwrap_or_default();
                    images.push(image(source("media_type"), source("data"))?);
                }
                (role, kind) => return Err(format!("messages.{index}: unexpected {kind} of {role}")),
            }
        }
        if role == "user" && !open.is_empty() {
            return Err(format!("tool_use ids were found without tool_result blocks immediately after: {open:?}"));
        }
        if role == "user" && !said.is_empty() {
            last_user = said;
            if answered.is_empty() {
                results.clear();
            }
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        if tool["name"].as_str().is_none_or(str::is_empty) || tool["input_schema"]["type"] != "object" {
            return Err(format!("tools: {tool}"));
        }
    }
    Ok(Asked { model, last_user, images, results, headers: BTreeMap::new(), body })
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn event(name: &str, mut data: Value) -> String {
    data["type"] = json!(name);
    format!("event: {name}\ndata: {data}\n\n")
}

fn respond(act: Act) -> Response {
    let start = event(
        "message_start",
        json!({"message": {"id": "m", "type": "message", "role": "assistant", "model": "claude",
        "content": [], "stop_reason": null, "usage": {"input_tokens": 11, "output_tokens": 1}}}),
    );
    let mut pieces = vec![start, event("ping", json!({}))];
    let say = |index: usize, texts: &[String]| {
        let mut block =
            vec![event("content_block_start", json!({"index": index, "content_block": {"type": "text", "text": ""}}))];
        block.extend(texts.iter().map(|text| {
            event("content_block_delta", json!({"index": index, "delta": {"type": "text_delta", "text": text}}))
        }));
        block.push(event("content_block_stop", json!({"index": index})));
        block
    };
    let end = |reason: &str| {
        vec![
            event(
                "message_delta",
                json!({"delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 7}}),
            ),
            event("message_stop", json!({})),
        ]
    };
    match act {
        Act::Say(texts) => {
            pieces.extend(say(0, &texts));
            pieces.extend(end("end_turn"));
            stream(pieces, Ends::Well)
        }
        Act::SayCut(text) => {
            pieces.extend(say(0, &[text]));
            pieces.extend(end("max_tokens"));
            stream(pieces, Ends::Well)
        }
        Act::Call(text, calls) => {
            let mut index = 0;
            if !text.is_empty() {
                pieces.extend(say(0, &[text]));
                index = 1;
            }
            for (offset, (name, arguments)) in calls.iter().enumerate() {
                let index = index + offset;
                let id = format!("toolu_{}", uuid::Uuid::now_v7().simple());
                pieces.push(event(
                    "content_block_start",
                    json!({"index": index, "content_block": {"type": "tool_use", "id": id, "name": name, "input": {}}}),
                ));
                pieces.push(event(
                    "content_block_delta",
                    json!({"index": index, "delta": {"type": "input_json_delta", "partial_json": ""}}),
                ));
                let characters: Vec<char> = arguments.chars().collect();
                for part in characters.chunks(3) {
                    let part: String = part.iter().collect();
                    pieces.push(event(
                        "content_block_delta",
                        json!({"index": index, "delta": {"type": "input_json_delta", "partial_json": part}}),
                    ));
                }
                pieces.push(event("content_block_stop", json!({"index": index})));
            }
            pieces.extend(end("tool_use"));
            stream(pieces, Ends::Well)
        }
        Act::Refuse(status, headers, message) => {
            let kind = if status == 429 { "rate_limit_error" } else { "api_error" };
            refusal(status, headers, json!({"type": "error", "error": {"type": kind, "message": message}}))
        }
        Act::Cut(texts) => {
            let block = say(0, &texts);
            pieces.extend(block[..block.len() - 1].to_vec());
            stream(pieces, Ends::Well)
        }
        Act::Stall => stream(pieces, Ends::Never),
        Act::Garbage => stream(vec!["event: message_start\ndata: {oops\n\n".into()], Ends::Well),
        Act::ErrorInStream(message) => {
            pieces.push(event("error", json!({"error": {"type": "overloaded_error", "message": message}})));
            stream(pieces, Ends::Well)
        }
        Act::After(..) => unreachable!("`Shared::take` has waited"),
    }
}
