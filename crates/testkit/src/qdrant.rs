//! A Qdrant that speaks the true gRPC interface over a socket, and compares every
//! vector with every other. It can be away for a while.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use ::qdrant_client::qdrant::collections_server::{Collections, CollectionsServer};
use ::qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use ::qdrant_client::qdrant::points_server::{Points, PointsServer};
use ::qdrant_client::qdrant::qdrant_server::{Qdrant, QdrantServer};
use ::qdrant_client::qdrant::*;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// The key that it takes.
pub const KEY: &str = "qdrant-canary-0123456789";

type Answer<T> = Result<Response<T>, Status>;

#[derive(Default)]
struct Collection {
    width: u64,
    points: HashMap<String, Stored>,
}

struct Stored {
    id: PointId,
    vector: Vec<f32>,
    payload: HashMap<String, Value>,
}

#[derive(Clone, Default)]
struct Shared {
    collections: Arc<Mutex<BTreeMap<String, Collection>>>,
    is_away: Arc<Mutex<bool>>,
}

pub struct FakeQdrant {
    address: SocketAddr,
    shared: Shared,
    server: tokio::task::JoinHandle<()>,
}

impl FakeQdrant {
    pub async fn start() -> Self {
        let shared = Shared::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let checked = shared.clone();
        let check = move |request: Request<()>| checked.check(request);
        let server = Server::builder()
            .add_service(QdrantServer::with_interceptor(shared.clone(), check.clone()))
            .add_service(PointsServer::with_interceptor(shared.clone(), check.clone()))
            .add_service(CollectionsServer::with_interceptor(shared.clone(), check))
            .serve_with_incoming(TcpIncoming::from(listener));
        Self { address, shared, server: tokio::spawn(async move { server.await.unwrap() }) }
    }

    /// The settings that make Clara use it.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [("QDRANT_URL", self.url()), ("QDRANT_API_KEY", KEY.into()), ("QDRANT_TIMEOUT", "5".into())]
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts points with these payloads into a collection of somebody else's.
    pub fn put(&self, collection: &str, points: &[(&str, serde_json::Value)]) {
        let mut collections = self.shared.collections.lock().unwrap();
        let collection = collections.entry(collection.to_owned()).or_default();
        collection.width = 3;
        for (id, payload) in points {
            let number = id.parse::<u64>().map(PointId::from);
            let id = number.unwrap_or_else(|_| PointId::from((*id).to_owned()));
            let payload = payload.as_object().unwrap();
            let payload = payload.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
            collection.points.insert(key(&id), Stored { id, vector: vec![1.0, 0.0, 0.0], payload });
        }
    }

    /// Answers nobody until it is back.
    pub fn is_away(&self, away: bool) {
        *self.shared.is_away.lock().unwrap() = away;
    }

    /// What every point says of itself, by collection.
    pub fn payloads(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let collections = self.shared.collections.lock().unwrap();
        let points = collections.iter().flat_map(|(name, of)| of.points.values().map(move |point| (name, point)));
        let text = |value: &Value| match &value.kind {
            Some(value::Kind::StringValue(text)) => text.clone(),
            other => format!("{other:?}"),
        };
        points
            .map(|(name, point)| {
                (name.clone(), point.payload.iter().map(|(key, value)| (key.clone(), text(value))).collect())
            })
            .collect()
    }

    /// Loses everything, as a server with a new disk.
    pub fn lose_everything(&self) {
        self.shared.collections.lock().unwrap().clear();
    }
}

impl Drop for FakeQdrant {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn check(&self, request: Request<()>) -> Result<Request<()>, Status> {
        if *self.is_away.lock().unwrap() {
            return Err(Status::unavailable("away"));
        }
        match request.metadata().get("api-key").map(|key| key.as_bytes()) {
            Some(key) if key == KEY.as_bytes() => Ok(request),
            _ => Err(Status::unauthenticated("Must provide an API key")),
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Collection>> {
        self.collections.lock().unwrap()
    }

    /// Does something with a collection that is there.
    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Collection) -> Result<T, Status>) -> Result<T, Status> {
        let mut all = self.all();
        let missing = || Status::not_found(format!("Not found: Collection `{name}` doesn't exist!"));
        act(all.get_mut(name).ok_or_else(missing)?)
    }
}

fn key(id: &PointId) -> String {
    format!("{:?}", id.point_id_options)
}

fn matches(filter: Option<&Filter>, point: &Stored) -> bool {
    let one = |condition: &Condition| match &condition.condition_one_of {
        Some(condition::ConditionOneOf::HasId(ids)) => ids.has_id.contains(&point.id),
        Some(condition::ConditionOneOf::Field(field)) => {
            let wanted = field.r#match.as_ref().and_then(|wanted| wanted.match_value.as_ref());
            let held = point.payload.get(&field.key).and_then(|value| value.kind.as_ref());
            match (wanted, held) {
                (Some(r#match::MatchValue::Keyword(wanted)), Some(value::Kind::StringValue(held))) => wanted == held,
                _ => false,
            }
        }
        other => panic!("no such condition here: {other:?}"),
    };
    filter.is_none_or(|filter| filter.must.iter().all(one))
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let dot = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(one, other)| one * other).sum::<f32>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt().max(f32::MIN_POSITIVE)
}

fn dense(vectors: Option<Vectors>) -> Result<Vec<f32>, Status> {
    match vectors.and_then(|vectors| vectors.vectors_options) {
        Some(vectors::VectorsOptions::Vector(Vector { vector: Some(vector::Vector::Dense(dense)), .. })) => {
            Ok(dense.data)
        }
        _ => Err(Status::invalid_argument("a dense vector is expected here")),
    }
}

/// A service of which some calls are served, and all others are refused.
macro_rules! service {
    ($service:ident { $($served:item)* } refused { $($name:ident($request:ty) -> $response:ty;)* }) => {
        #[tonic::async_trait]
        impl $service for Shared {
            $($served)*
            $(async fn $name(&self, _: Request<$request>) -> Answer<$response> {
                Err(Status::unimplemented(stringify!($name)))
            })*
        }
    };
}

fn done() -> Answer<PointsOperationResponse> {
    Ok(Response::new(PointsOperationResponse { result: Some(UpdateResult::default()), ..Default::default() }))
}

fn changed() -> Answer<CollectionOperationResponse> {
    Ok(Response::new(CollectionOperationResponse { result: true, time: 0.0 }))
}

#[tonic::async_trait]
impl Qdrant for Shared {
    async fn health_check(&self, _: Request<HealthCheckRequest>) -> Answer<HealthCheckReply> {
        Ok(Response::new(HealthCheckReply { title: "fake".into(), version: "1.20.0".into(), commit: None }))
    }
}

service! {
    Points {
        async fn upsert(&self, request: Request<UpsertPoints>) -> Answer<PointsOperationResponse> {
            let UpsertPoints { collection_name, points, .. } = request.into_inner();
            self.with(&collection_name, |collection| {
                for PointStruct { id, payload, vectors } in points {
                    let (id, vector) = (id.ok_or_else(|| Status::invalid_argument("no id"))?, dense(vectors)?);
                    if vector.len() as u64 != collection.width {
                        return Err(Status::invalid_argument("Wrong input: Vector dimension error"));
                    }
                    collection.points.insert(key(&id), Stored { id, vector, payload });
                }
                Ok(())
            })?;
            done()
        }

        async fn query(&self, request: Request<QueryPoints>) -> Answer<QueryResponse> {
            let QueryPoints { collection_name, query, filter, limit, .. } = request.into_inner();
            let nearest = match query.and_then(|query| query.variant) {
                Some(query::Variant::Nearest(VectorInput { variant: Some(vector_input::Variant::Dense(dense)) })) => dense,
                _ => return Err(Status::unimplemented("only the nearest to a dense vector")),
            };
            let result = self.with(&collection_name, |collection| {
                if nearest.data.len() as u64 != collection.width {
                    return Err(Status::invalid_argument("Wrong input: Vector dimension error"));
                }
                let fitting = collection.points.values().filter(|point| matches(filter.as_ref(), point));
                let mut scored: Vec<ScoredPoint> = fitting
                    .map(|point| ScoredPoint {
                        id: Some(point.id.clone()),
                        payload: point.payload.clone(),
                        score: cosine(&nearest.data, &point.vector),
                        ..Default::default()
                    })
                    .collect();
                scored.sort_by(|one, other| other.score.total_cmp(&one.score));
                scored.truncate(usize::try_from(limit.unwrap_or(10)).unwrap());
                Ok(scored)
            })?;
            Ok(Response::new(QueryResponse { result, ..Default::default() }))
        }

        async fn delete(&self, request: Request<DeletePoints>) -> Answer<PointsOperationResponse> {
            let DeletePoints { collection_name, points, .. } = request.into_inner();
            let Some(PointsSelectorOneOf::Points(list)) = points.and_then(|points| points.points_selector_one_of) else {
                return Err(Status::unimplemented("only points by their ids"));
            };
            self.with(&collection_name, |collection| {
                list.ids.iter().for_each(|id| drop(collection.points.remove(&key(id))));
                Ok(())
            })?;
            done()
        }

        async fn count(&self, request: Request<CountPoints>) -> Answer<CountResponse> {
            let CountPoints { collection_name, filter, .. } = request.into_inner();
            let count = self.with(&collection_name, |collection| {
                Ok(collection.points.values().filter(|point| matches(filter.as_ref(), point)).count() as u64)
            })?;
            Ok(Response::new(CountResponse { result: Some(CountResult { count }), ..Default::default() }))
        }

        async fn scroll(&self, request: Request<ScrollPoints>) -> Answer<ScrollResponse> {
            let ScrollPoints { collection_name, offset, limit, .. } = request.into_inner();
            let limit = usize::try_from(limit.unwrap_or(10)).unwrap();
            let (result, next_page_offset) = self.with(&collection_name, |collection| {
                let mut points: Vec<&Stored> = collection.points.values().collect();
                points.sort_by_key(|point| key(&point.id));
                let from = offset.as_ref().map_or(0, |offset| {
                    points.iter().position(|point| point.id == *offset).unwrap_or(points.len())
                });
                let shown = points.iter().skip(from).take(limit).map(|point| RetrievedPoint {
                    id: Some(point.id.clone()),
                    payload: point.payload.clone(),
                    ..Default::default()
                });
                Ok((shown.collect(), points.get(from + limit).map(|point| point.id.clone())))
            })?;
            Ok(Response::new(ScrollResponse { result, next_page_offset, ..Default::default() }))
        }

        async fn create_field_index(&self, _: Request<CreateFieldIndexCollection>) -> Answer<PointsOperationResponse> {
            done()
        }
    }
    refused {
        search(SearchPoints) -> SearchResponse;
        get(GetPoints) -> GetResponse;
        update_vectors(UpdatePointVectors) -> PointsOperationResponse;
        delete_vectors(DeletePointVectors) -> PointsOperationResponse;
        set_payload(SetPayloadPoints) -> PointsOperationResponse;
        overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
        delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
        clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
        delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
        create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse;
        delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse;
        search_batch(SearchBatchPoints) -> SearchBatchResponse;
        search_groups(SearchPointGroups) -> SearchGroupsResponse;
        recommend(RecommendPoints) -> RecommendResponse;
        recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
        recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
        discover(DiscoverPoints) -> DiscoverResponse;
        discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
        update_batch(UpdateBatchPoints) -> UpdateBatchResponse;
        query_batch(QueryBatchPoints) -> QueryBatchResponse;
        query_groups(QueryPointGroups) -> QueryGroupsResponse;
        facet(FacetCounts) -> FacetResponse;
        search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
        search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
    }
}

service! {
    Collections {
        async fn create(&self, request: Request<CreateCollection>) -> Answer<CollectionOperationResponse> {
            let CreateCollection { collection_name, vectors_config, .. } = request.into_inner();
            let width = match vectors_config.and_then(|config| config.config) {
                Some(vectors_config::Config::Params(params)) => params.size,
                _ => return Err(Status::unimplemented("only one vector a point")),
            };
            let mut all = self.all();
            if all.contains_key(&collection_name) {
                return Err(Status::already_exists(format!("Collection `{collection_name}` already exists!")));
            }
            all.insert(collection_name, Collection { width, ..Collection::default() });
            changed()
        }

        async fn delete(&self, request: Request<DeleteCollection>) -> Answer<CollectionOperationResponse> {
            self.all().remove(&request.into_inner().collection_name);
            changed()
        }

        async fn collection_exists(&self, request: Request<CollectionExistsRequest>) -> Answer<CollectionExistsResponse> {
            let exists = self.all().contains_key(&request.into_inner().collection_name);
            let result = Some(CollectionExists { exists });
            Ok(Response::new(CollectionExistsResponse { result, time: 0.0 }))
        }
    }
    refused {
        get(GetCollectionInfoRequest) -> GetCollectionInfoResponse;
        list(ListCollectionsRequest) -> ListCollectionsResponse;
        update(UpdateCollection) -> CollectionOperationResponse;
        update_aliases(ChangeAliases) -> CollectionOperationResponse;
        list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse;
        list_aliases(ListAliasesRequest) -> ListAliasesResponse;
        collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse;
        update_collection_cluster_setup(UpdateCollectionClusterSetupRequest) -> UpdateCollectionClusterSetupResponse;
        create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse;
        delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse;
        list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse;
    }
}
