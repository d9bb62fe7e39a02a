//! Embeddings, as OpenAI documents them. A text's vector counts its words, so that
//! texts with the same words are alike; "dog" and "hound" count as one word.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{KEY, Shared, parse, refusal};

/// A text that holds this is refused.
pub const REFUSED: &str = "unembeddable";
/// Values of a vector.
const WIDTH: usize = 384;
/// Most texts of one request.
const TEXTS: usize = 2048;

pub(super) async fn serve(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("none");
    if given != format!("Bearer {KEY}") {
        let message = format!("Incorrect API key provided: {given}");
        return refusal(401, vec![], json!({"error": {"message": message, "code": "invalid_api_key"}}));
    }
    match parse(&body).and_then(|body| answer(&body)) {
        Ok((model, texts, answer)) => {
            if shared.keeps {
                let texts = texts.into_iter().map(|text| (model.clone(), text));
                shared.embedded.lock().unwrap().extend(texts);
            }
            axum::Json(answer).into_response()
        }
        Err(why) => {
            shared.fault(why.clone());
            refusal(400, vec![], json!({"error": {"message": why, "type": "invalid_request_error"}}))
        }
    }
}

fn answer(body: &Value) -> Result<(String, Vec<String>, Value), String> {
    let model = body["model"].as_str().filter(|model| !model.is_empty()).ok_or("`model` is missing")?;
    let texts = body["input"].as_array().ok_or("`input` must be a list here")?;
    let texts: Option<Vec<String>> = texts.iter().map(|text| text.as_str().map(str::to_owned)).collect();
    let texts = texts.ok_or("`input` must hold texts")?;
    if texts.is_empty() || texts.len() > TEXTS || texts.iter().any(String::is_empty) {
        return Err("`input` must hold 1 to 2048 texts, none of them empty".into());
    }
    if texts.iter().any(|text| text.contains(REFUSED)) {
        return Err(format!("a text holds {REFUSED:?}"));
    }
    let tokens: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    // Backwards: a client must go by the index.
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}))
        .collect();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok((model.to_owned(), texts, json!({"object": "list", "data": data, "model": model, "usage": usage})))
}

/// The vector of a text.
pub fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.01; WIDTH];
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = if word == "hound" { "dog" } else { word };
        // FNV-1a.
        let hash = word
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        vector[(hash % WIDTH as u64) as usize] += 1.0;
    }
    vector
}
