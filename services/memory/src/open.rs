//! From settings to the databases and models that are used.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use domain::tier::Tier;
use embed::{Bert, EmbedError, Embedder, Endpoint};
use model::{ModelConfig, Provider};
use secrecy::SecretString;
use service_kit::settings::Settings;
use spending::Budgets;
use store::{Database, StoreError};

use crate::adapters::falkordb::FalkorGraph;
use crate::adapters::pgvector::PgVectors;
use crate::adapters::qdrant::QdrantVectors;
use crate::learning::Learning;
use crate::mirrors::{GraphStore, MirrorError, VectorStore};
use crate::reader::{PATIENCE, Reader};

/// Where embeddings are made when there is a key and no address.
const OPENAI: &str = "https://api.openai.com/v1";

/// The database of the memories.
pub(crate) async fn database(settings: &Settings) -> Result<Database, StoreError> {
    match settings.optional("DATABASE_URL") {
        Some(url) if url.starts_with("postgres") => Database::postgres(&url).await,
        Some(url) => Database::sqlite(Path::new(url.trim_start_matches("sqlite://"))).await,
        None => Database::sqlite(&settings.data_dir().join("memory.sqlite")).await,
    }
}

/// Who makes vectors.
enum EmbeddedBy {
    Folder(String),
    Endpoint { base_url: String, key: Option<SecretString> },
}

fn embedded_by(settings: &Settings) -> Option<EmbeddedBy> {
    if let Some(folder) = settings.optional("CLARA_EMBEDDING_FOLDER") {
        return Some(EmbeddedBy::Folder(folder));
    }
    let (base_url, key) = (settings.optional("CLARA_EMBEDDING_BASE_URL"), settings.secret("OPENAI_API_KEY"));
    let base_url = base_url.or_else(|| key.is_some().then(|| OPENAI.to_owned()))?;
    Some(EmbeddedBy::Endpoint { base_url, key })
}

/// Whether anybody makes vectors.
pub(crate) fn embeds(settings: &Settings) -> bool {
    embedded_by(settings).is_some()
}

/// The model that makes vectors: from a folder, or at an endpoint.
pub(crate) fn embedder(settings: &Settings) -> Result<Option<Arc<dyn Embedder>>, EmbedError> {
    Ok(match embedded_by(settings) {
        None => None,
        Some(EmbeddedBy::Folder(folder)) => Some(Arc::new(Bert::open(Path::new(&folder))?)),
        Some(EmbeddedBy::Endpoint { base_url, key }) => {
            Some(Arc::new(Endpoint::new(&base_url, key, settings.text("CLARA_EMBEDDING_MODEL"))?))
        }
    })
}

/// The store that compares this model's vectors, if it is not this process.
pub(crate) fn vectors(settings: &Settings, model: &str) -> Result<Option<Arc<dyn VectorStore>>, MirrorError> {
    if let Some(url) = settings.optional("QDRANT_URL") {
        let patience = Duration::from_secs(settings.number("QDRANT_TIMEOUT"));
        let key = settings.secret("QDRANT_API_KEY");
        return Ok(Some(Arc::new(QdrantVectors::new(&url, key.as_ref(), patience, model)?)));
    }
    let Some(url) = settings.optional("ROOK_DATABASE_URL") else { return Ok(None) };
    Ok(Some(Arc::new(PgVectors::new(url, model))))
}

/// The store that walks relations, if it is not the database.
pub(crate) fn graph(settings: &Settings) -> Result<Option<Arc<dyn GraphStore>>, MirrorError> {
    if !settings.flag("ENABLE_GRAPH_MEMORY") {
        return Ok(None);
    }
    let password = settings.secret("FALKORDB_PASSWORD");
    let (host, port) = (settings.text("FALKORDB_HOST"), settings.number("FALKORDB_PORT"));
    let graph = FalkorGraph::new(&host, port, password.as_ref(), settings.text("FALKORDB_GRAPH_NAME"))?;
    Ok(Some(Arc::new(graph)))
}

/// By what is learnt, and the model that is asked for it.
pub(crate) async fn learning(settings: &Settings, bus: &Bus) -> anyhow::Result<(Learning, Option<Reader>)> {
    match settings.text("CLARA_LEARNING").as_str() {
        "off" => return Ok((Learning::Off, None)),
        "rules" => return Ok((Learning::Rules, None)),
        _ => {}
    }
    // A model that cannot be used is no reason not to remember: the orchestrator says what is wrong with it.
    let Ok(config) = ModelConfig::from_settings(settings) else { return Ok((Learning::Rules, None)) };
    if matches!(config.provider, Provider::Offline { .. }) {
        return Ok((Learning::Rules, None));
    }
    let name = settings.optional("ROOK_MODEL").unwrap_or_else(|| config.model(Tier::Low).to_owned());
    let model = model::open(&config, Arc::new(model::NoImages)).map_err(|err| anyhow::anyhow!("{err}"))?;
    let budgets = Budgets::open(settings, bus, PATIENCE).await?;
    Ok((Learning::Model, Some(Reader { model, name, budgets })))
}
