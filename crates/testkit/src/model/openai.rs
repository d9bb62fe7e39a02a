//! Chat completions, as OpenAI documents them: streaming, tool calls by deltas.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Act, Asked, Ends, KEY, Shared, image, parse, refusal, stream};

pub(super) async fn serve(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&format!("Bearer {KEY}")) {
        // The vendor quotes the key that it was given.
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned();
        let message = format!("Incorrect API key provided: {given}");
        return refusal(
            401,
            vec![],
            json!({"error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}}),
        );
    }
    let asked = match parse(&body).and_then(check) {
        Ok(asked) => asked,
        Err(why) => {
            shared.fault(why.clone());
            return refusal(400, vec![], json!({"error": {"message": why, "type": "invalid_request_error"}}));
        }
    };
    respond(shared.take(asked, &headers).await)
}

/// Checks a request as the vendor would.
fn check(body: Value) -> Result<Asked, String> {
    let model = body["model"].as_str().filter(|model| !model.is_empty()).ok_or("`model` is missing")?.to_owned();
    if body["stream"] != json!(true) {
        return Err("`stream` must be true here".into());
    }
    if body["stream_options"]["include_usage"] != json!(true) {
        return Err("usage was not asked for".into());
    }
    let messages = body["messages"].as_array().filter(|list| !list.is_empty()).ok_or("`messages` is missing")?;
    let (mut last_user, mut results, mut open) = (String::new(), Vec::new(), Vec::<String>::new());
    let mut images = Vec::new();
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" && !open.is_empty() {
            return Err(format!("tool calls {open:?} must be followed by their results"));
        }
        match role {
            "system" => {}
            "user" => {
                for part in message["content"].as_array().into_iter().flatten().filter(|part| part["type"] != "text") {
                    let url = part["image_url"]["url"].as_str().ok_or(format!("`{}` is no part", part["type"]))?;
                    let inline = url.strip_prefix("data:").and_then(|url| url.split_once(";base64,"));
                    let (media_type, data) = inline.ok_or("an image that is not inline")?;
                    images.push(image(media_type, data)?);
                }
                last_user = text(&message["content"]);
                results.clear();
            }
            "assistant" => {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let arguments = call["function"]["arguments"].as_str().ok_or("arguments must be a string")?;
                    serde_json::from_str::<Value>(arguments).map_err(|_| "arguments must be JSON")?;
                    if call["type"] != "function" || call["function"]["name"].as_str().is_none_or(str::is_empty) {
                        return Err("a tool call must be a function with a name".into());
                    }
                    open.push(call["id"].as_str().ok_or("a tool call without id")?.to_owned());
                }
            }
            "tool" => {
                let id = message["tool_call_id"].as_str().ok_or("a result without tool_call_id")?;
                let place = open.iter().position(|known| known == id).ok_or(format!("no call has the id {id}"))?;
                open.remove(place);
                results.push(text(&message["content"]));
            }
            other => return Err(format!("`{other}` is no role")),
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        if tool["type"] != "function" || tool["function"]["parameters"]["type"] != "object" {
            return Err(format!("a tool is not as it should be: {tool}"));
        }
    }
    Ok(Asked { model, last_user, images, results, headers: BTreeMap::new(), body })
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn respond(act: Act) -> Response {
    let chunk = |delta: Value, finish: Value| {
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "model": "test-model",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        )
    };
    let words = |pieces: &[String]| {
        pieces.iter().map(|piece| chunk(json!({"content": piece}), Value::Null)).collect::<Vec<_>>()
    };
    let begin = || chunk(json!({"role": "assistant", "content": ""}), Value::Null);
    let end = |reason: &str| {
        vec![
            chunk(json!({}), json!(reason)),
            format!(
                "data: {}\n\n",
                json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}})
            ),
            "data: [DONE]\n\n".to_owned(),
        ]
    };
    let mut pieces = vec![begin()];
    match act {
        Act::Say(text) => {
            pieces.extend(words(&text));
            pieces.extend(end("stop"));
            stream(pieces, Ends::Well)
        }
        Act::SayCut(text) => {
            pieces.extend(words(&[text]));
            pieces.extend(end("length"));
            stream(pieces, Ends::Well)
        }
        Act::Call(text, calls) => {
            if !text.is_empty() {
                pieces.extend(words(&[text]));
            }
            for (index, (name, arguments)) in calls.iter().enumerate() {
                let id = format!("call-{index}-{}", uuid::Uuid::now_v7().simple());
                pieces.push(chunk(json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]}), Value::Null));
                // Arguments come in small deltas, as they do.
                let characters: Vec<char> = arguments.chars().collect();
                for part in characters.chunks(3) {
                    let part: String = part.iter().collect();
                    pieces.push(chunk(
                        json!({"tool_calls": [{"index": index, "function": {"arguments": part}}]}),
                        Value::Null,
                    ));
                }
            }
            pieces.extend(end("tool_calls"));
            stream(pieces, Ends::Well)
        }
        Act::Refuse(status, headers, message) => {
            refusal(status, headers, json!({"error": {"message": message, "type": "error"}}))
        }
        Act::Cut(text) => {
            pieces.extend(words(&text));
            stream(pieces, Ends::Well)
        }
        Act::Stall => stream(pieces, Ends::Never),
        Act::Garbage => stream(vec!["data: {\"choices\": [oops\n\n".into(), "\u{0}\u{1}nonsense".into()], Ends::Well),
        Act::ErrorInStream(message) => {
            pieces.push(format!("data: {}\n\n", json!({"error": {"message": message, "type": "server_error"}})));
            stream(pieces, Ends::Well)
        }
        Act::After(..) => unreachable!("`Shared::take` has waited"),
    }
}
