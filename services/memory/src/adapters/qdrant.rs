//! Vectors in Qdrant, by its gRPC interface: <https://qdrant.tech/documentation/concepts/>.
//!
//! The only user of qdrant-client. A collection of its own, which is made when the
//! first vector comes: its width is not known before.

use std::time::Duration;

use async_trait::async_trait;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::{
    Condition, CountPointsBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, DeletePointsBuilder,
    Distance, FieldType, Filter, PointId, PointStruct, PointsIdsList, QueryPointsBuilder, ScrollPointsBuilder,
    UpsertPointsBuilder, Value, VectorParamsBuilder,
};
use qdrant_client::{Qdrant, QdrantError};
use secrecy::{ExposeSecret, SecretString};
use tonic::Code;
use uuid::Uuid;

use crate::mirrors::{Mirror, MirrorError, Point, VectorStore};
use crate::scope::Scope;

/// What people know it by.
const NAME: &str = "Qdrant";
/// The collection; MyPalClara's own is another, and is left alone.
const COLLECTION: &str = "clara_vectors";
/// Points of a page.
const PAGE: u32 = 500;
/// Longest wait for a page of an import.
const IMPORT: Duration = Duration::from_secs(60);
/// Longest part of the server's own words that is told, in characters.
const WORDS: usize = 300;

pub(crate) struct QdrantVectors {
    client: Qdrant,
    target: String,
}

impl QdrantVectors {
    /// `url` is of the gRPC interface (port 6334); the port of the REST interface
    /// stands for it, since that is what people have in their settings.
    pub(crate) fn new(
        url: &str,
        key: Option<&SecretString>,
        patience: Duration,
        model: &str,
    ) -> Result<Self, MirrorError> {
        let url = match url.trim_end_matches('/').strip_suffix(":6333") {
            Some(host) => format!("{host}:6334"),
            None => url.to_owned(),
        };
        let mut config = Qdrant::from_url(&url).timeout(patience).connect_timeout(patience).skip_compatibility_check();
        config.api_key = key.map(|key| key.expose_secret().to_owned());
        let client = config.build().map_err(failed)?;
        Ok(Self { client, target: format!("{} {COLLECTION} {model}", bus::shown_url(&url)) })
    }

    /// Makes the collection for vectors of a width; another replica may be faster.
    async fn make(&self, width: usize) -> Result<(), MirrorError> {
        let vectors = VectorParamsBuilder::new(width as u64, Distance::Cosine);
        let made =
            self.client.create_collection(CreateCollectionBuilder::new(COLLECTION).vectors_config(vectors)).await;
        if let Err(err) = made
            && !self.exists().await?
        {
            return Err(failed(err));
        }
        let index = CreateFieldIndexCollectionBuilder::new(COLLECTION, "scope", FieldType::Keyword).wait(true);
        self.client.create_field_index(index).await.map(|_| ()).map_err(failed)
    }
}

#[async_trait]
impl Mirror<Point> for QdrantVectors {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn exists(&self) -> Result<bool, MirrorError> {
        self.client.collection_exists(COLLECTION).await.map_err(failed)
    }

    async fn reset(&self) -> Result<(), MirrorError> {
        if self.exists().await? {
            self.client.delete_collection(COLLECTION).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn put(&self, points: &[Point]) -> Result<(), MirrorError> {
        if !self.exists().await? {
            self.make(points.first().map_or(0, |point| point.vector.len())).await?;
        }
        let points: Vec<PointStruct> = points.iter().map(point_struct).collect();
        let put = UpsertPointsBuilder::new(COLLECTION, points).wait(true);
        self.client.upsert_points(put).await.map(|_| ()).map_err(failed)
    }

    async fn remove(&self, ids: &[String]) -> Result<(), MirrorError> {
        if !self.exists().await? {
            return Ok(());
        }
        let ids: Vec<_> = ids.iter().map(|id| point_id(id).into()).collect();
        let remove = DeletePointsBuilder::new(COLLECTION).points(PointsIdsList { ids }).wait(true);
        self.client.delete_points(remove).await.map(|_| ()).map_err(failed)
    }

    async fn holding(&self, ids: &[String]) -> Result<u64, MirrorError> {
        if !self.exists().await? {
            return Ok(0);
        }
        let filter = Filter::must([Condition::has_id(ids.iter().map(|id| point_id(id)))]);
        let count = CountPointsBuilder::new(COLLECTION).filter(filter).exact(true);
        let counted = self.client.count(count).await.map_err(failed)?;
        Ok(counted.result.map_or(0, |result| result.count))
    }
}

#[async_trait]
impl VectorStore for QdrantVectors {
    async fn nearest(&self, scope: &Scope, vector: &[f32], limit: usize) -> Result<Vec<(String, f32)>, MirrorError> {
        let filter = Filter::must([Condition::matches("scope", scope.to_string())]);
        let query = QueryPointsBuilder::new(COLLECTION)
            .query(vector.to_vec())
            .filter(filter)
            .limit(limit as u64)
            .with_payload(true);
        let found = match self.client.query(query).await {
            Ok(found) => found.result,
            // Nothing was put there yet, or it was lost: then it will be filled.
            Err(QdrantError::ResponseError { status }) if status.code() == Code::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(failed(err)),
        };
        let hits = found.into_iter().filter_map(|point| {
            let id = point.payload.get("id").and_then(Value::as_str)?.clone();
            Some((id, point.score))
        });
        Ok(hits.collect())
    }
}

/// What every point of a collection says of itself, by its id: for an import.
pub(crate) async fn payloads(
    url: &str,
    key: Option<&SecretString>,
    collection: &str,
) -> Result<Vec<(String, serde_json::Value)>, MirrorError> {
    let client = QdrantVectors::new(url, key, IMPORT, "")?.client;
    let (mut all, mut offset) = (Vec::new(), None::<PointId>);
    loop {
        let mut page = ScrollPointsBuilder::new(collection).limit(PAGE).with_payload(true).with_vectors(false);
        if let Some(offset) = offset.take() {
            page = page.offset(offset);
        }
        let page = client.scroll(page).await.map_err(failed)?;
        for point in page.result {
            let id = match point.id.and_then(|id| id.point_id_options) {
                Some(PointIdOptions::Uuid(id)) => id,
                Some(PointIdOptions::Num(id)) => id.to_string(),
                None => continue,
            };
            let payload = point.payload.into_iter().map(|(name, value)| (name, value.into_json()));
            all.push((id, payload.collect()));
        }
        offset = page.next_page_offset;
        if offset.is_none() {
            return Ok(all);
        }
    }
}

/// Qdrant knows points by numbers and UUIDs alone.
fn point_id(id: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).to_string()
}

fn point_struct(point: &Point) -> PointStruct {
    let payload: [(&str, Value); 2] = [("id", point.id.clone().into()), ("scope", point.scope.to_string().into())];
    PointStruct::new(point_id(&point.id), point.vector.clone(), payload)
}

/// The server's words, without what it was sent.
fn failed(err: QdrantError) -> MirrorError {
    let why = match err {
        QdrantError::ResponseError { status } | QdrantError::ResourceExhaustedError { status, .. } => {
            format!("{}: {}", status.code(), status.message())
        }
        other => other.to_string(),
    };
    MirrorError { store: NAME, why: why.chars().take(WORDS).collect() }
}
