//! A model from a folder, served as an OpenAI-compatible endpoint would serve it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use embed::{Bert, Embedder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves until the program ends; gives the address, up to and with `/v1`.
pub async fn serve(folder: &Path) -> anyhow::Result<String> {
    let model = Arc::new(Bert::open(folder)?);
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on a free port")?;
    let address = listener.local_addr()?;
    let routes = Router::new().route("/v1/embeddings", post(embed)).with_state(model);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(format!("http://{address}/v1"))
}

async fn embed(State(model): State<Arc<Bert>>, Json(body): Json<Value>) -> Result<Json<Value>, (StatusCode, String)> {
    let texts = body["input"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let made = model.embed(texts).await.map_err(|err| (StatusCode::INTERNAL_SERVER_ERROR, err.to_string()))?;
    let data: Vec<Value> =
        made.iter().zip(0..).map(|(made, index)| json!({"index": index, "embedding": made.text})).collect();
    let usage = json!({"prompt_tokens": 0, "total_tokens": 0});
    Ok(Json(json!({"object": "list", "model": body["model"], "data": data, "usage": usage})))
}
