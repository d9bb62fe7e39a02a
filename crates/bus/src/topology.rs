//! What the bus must be, and whether it is: `nats/streams.toml`, applied.
//!
//! Older servers ignore settings that they do not know without an error, so
//! what the server returns is compared with what was asked.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::{Context, ErrorCode, kv, stream};
use domain::ids::PARTITIONS;
use futures::{StreamExt, TryStreamExt, stream as futures_stream};
use serde::Deserialize;

/// The file itself, so that a binary carries the topology it was built for.
pub(crate) const SPEC: &str = include_str!("../../../nats/streams.toml");

/// Consumers that are created at the same time.
const PARALLEL: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error("nats/streams.toml cannot be read: {0}")]
    Spec(#[from] toml::de::Error),
    #[error("cannot create {what}: {why}")]
    Create { what: String, why: String },
    #[error(
        "cannot create {what}: JetStream may store too little on this nats-server. All of Clara's streams together hold \
         up to {} MB: set `max_file_store` in its jetstream section (and `max_file` of an account that has limits) to \
         more, or give its disk room; without the setting it takes three quarters of what is free", .needed_bytes.div_ceil(1_000_000)
    )]
    NoRoom { what: String, needed_bytes: u64 },
    #[error("{0}")]
    Different(Problem),
    #[error("the bus has {found} partitions and this build has {PARTITIONS}; they can never differ")]
    Partitions { found: String },
}

/// A stream or consumer that is not as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: `{setting}` is {found}, and must be {wanted}")]
pub struct Problem {
    pub what: String,
    pub setting: &'static str,
    pub found: String,
    pub wanted: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Spec {
    pub(crate) stream: Vec<StreamSpec>,
    pub(crate) bucket: Vec<BucketSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamSpec {
    pub(crate) name: String,
    pub(crate) subjects: Vec<String>,
    retention: Retention,
    #[serde(default)]
    discard: Discard,
    #[serde(default)]
    max_age_s: u64,
    max_bytes: i64,
    /// Messages that one subject keeps; all, unless it says otherwise.
    #[serde(default = "all")]
    max_per_subject: i64,
    duplicate_window_s: u64,
    #[serde(default)]
    pub(crate) consumer: Vec<ConsumerSpec>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Retention {
    Limits,
    WorkQueue,
}

/// What gives way in a full stream.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Discard {
    /// The new message: it is refused, visibly. What was accepted stays.
    #[default]
    New,
    /// The oldest one: in records of what is long done.
    Old,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsumerSpec {
    name: String,
    filter: String,
    ack_wait_s: u64,
    max_ack_pending: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketSpec {
    name: String,
    max_bytes: i64,
    #[serde(default)]
    max_age_s: u64,
}

/// No limit, in the server's words.
fn all() -> i64 {
    -1
}

impl Spec {
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Every consumer with its stream, `{partition}` written out.
    fn consumers(&self) -> Vec<(&str, ConsumerSpec)> {
        let mut all = Vec::new();
        for stream in &self.stream {
            for consumer in &stream.consumer {
                let numbers = if consumer.name.contains("{partition}") { 0..PARTITIONS } else { 0..1 };
                all.extend(numbers.map(|number| {
                    let fill = |text: &str| text.replace("{partition}", &number.to_string());
                    (
                        stream.name.as_str(),
                        ConsumerSpec { name: fill(&consumer.name), filter: fill(&consumer.filter), ..consumer.clone() },
                    )
                }));
            }
        }
        all
    }

    /// What every stream and bucket may hold together, in bytes: what the server has to have.
    fn bytes(&self) -> u64 {
        let streams = self.stream.iter().map(|stream| stream.max_bytes);
        streams.chain(self.bucket.iter().map(|bucket| bucket.max_bytes)).map(i64::unsigned_abs).sum()
    }

    /// Why a stream or a bucket could not be made, with what to do if that is known.
    fn failed(&self, what: &str, err: &(dyn std::error::Error + 'static)) -> TopologyError {
        let no_room = |err: &(dyn std::error::Error + 'static)| {
            let kind = err.downcast_ref::<CreateStreamError>().map(CreateStreamError::kind);
            matches!(kind, Some(CreateStreamErrorKind::JetStream(err)) if err.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED)
        };
        if std::iter::successors(Some(err), |err| err.source()).any(no_room) {
            return TopologyError::NoRoom { what: what.to_owned(), needed_bytes: self.bytes() };
        }
        create(what, err)
    }
}

impl StreamSpec {
    fn config(&self, replicas: usize) -> stream::Config {
        stream::Config {
            name: self.name.clone(),
            subjects: self.subjects.clone(),
            retention: match self.retention {
                Retention::Limits => stream::RetentionPolicy::Limits,
                Retention::WorkQueue => stream::RetentionPolicy::WorkQueue,
            },
            discard: match self.discard {
                Discard::New => stream::DiscardPolicy::New,
                Discard::Old => stream::DiscardPolicy::Old,
            },
            max_age: Duration::from_secs(self.max_age_s),
            max_messages_per_subject: self.max_per_subject,
            max_bytes: self.max_bytes,
            duplicate_window: Duration::from_secs(self.duplicate_window_s),
            storage: stream::StorageType::File,
            num_replicas: replicas,
            allow_direct: true,
            ..stream::Config::default()
        }
    }

    fn compare(&self, found: &stream::Config, replicas: usize) -> Vec<Problem> {
        let wanted = self.config(replicas);
        let mut problems = Vec::new();
        let mut check = |setting, found: String, wanted: String| {
            if found != wanted {
                problems.push(Problem { what: format!("stream {}", self.name), setting, found, wanted });
            }
        };
        check("subjects", format!("{:?}", found.subjects), format!("{:?}", wanted.subjects));
        check("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention));
        check("discard", format!("{:?}", found.discard), format!("{:?}", wanted.discard));
        check("max_age", format!("{:?}", found.max_age), format!("{:?}", wanted.max_age));
        let per_subject = |config: &stream::Config| config.max_messages_per_subject.to_string();
        check("max_per_subject", per_subject(found), per_subject(&wanted));
        check("duplicate_window", format!("{:?}", found.duplicate_window), format!("{:?}", wanted.duplicate_window));
        check("storage", format!("{:?}", found.storage), format!("{:?}", wanted.storage));
        problems
    }
}

impl ConsumerSpec {
    fn config(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(self.name.clone()),
            filter_subject: self.filter.clone(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(self.ack_wait_s),
            max_ack_pending: self.max_ack_pending,
            ..pull::Config::default()
        }
    }

    fn compare(&self, found: &async_nats::jetstream::consumer::Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |setting, found: String, wanted: String| {
            if found != wanted {
                problems.push(Problem { what: format!("consumer {}", self.name), setting, found, wanted });
            }
        };
        check("filter", found.filter_subject.clone(), self.filter.clone());
        check("ack_wait", format!("{:?}", found.ack_wait), format!("{:?}", Duration::from_secs(self.ack_wait_s)));
        check("max_ack_pending", found.max_ack_pending.to_string(), self.max_ack_pending.to_string());
        problems
    }
}

/// Creates what is missing, changes what may be changed, and refuses what then
/// still differs. A bus that was made by this very file is left alone.
pub(crate) async fn ensure(context: &Context, replicas: usize) -> Result<(), TopologyError> {
    let spec = Spec::parse(SPEC)?;
    let stamp = blake3::hash(format!("{replicas}\n{SPEC}").as_bytes()).to_hex().to_string();
    let meta = match context.get_key_value("CLARA_META").await {
        Ok(meta) => meta,
        Err(_) => create_buckets(context, &spec, replicas).await?,
    };
    let partitions = PARTITIONS.to_string();
    let found = meta.get("partitions").await.map_err(|err| create("CLARA_META", err))?;
    match found.as_deref().map(String::from_utf8_lossy) {
        None => {
            // Another service may be first; then what it wrote is compared.
            if meta.create("partitions", partitions.clone().into()).await.is_err() {
                return Box::pin(ensure(context, replicas)).await;
            }
        }
        Some(found) if found == partitions => {}
        Some(found) => return Err(TopologyError::Partitions { found: found.into_owned() }),
    }
    let made_by = meta.get("topology").await.map_err(|err| create("CLARA_META", err))?;
    if made_by.as_deref() == Some(stamp.as_bytes()) && is_whole(context, &spec).await {
        return Ok(());
    }
    create_buckets(context, &spec, replicas).await?;
    for stream in &spec.stream {
        let what = || format!("stream {}", stream.name);
        let made = context.create_or_update_stream(stream.config(replicas)).await;
        let info = made.map_err(|err| spec.failed(&what(), &err))?;
        if let Some(problem) = stream.compare(&info.config, replicas).into_iter().next() {
            return Err(TopologyError::Different(problem));
        }
    }
    futures_stream::iter(spec.consumers())
        .map(|(stream, consumer)| async move {
            let made = context.create_consumer_on_stream(consumer.config(), stream).await;
            let made = made.map_err(|err| create(&format!("consumer {}", consumer.name), err))?;
            match consumer.compare(&made.cached_info().config).into_iter().next() {
                None => Ok(()),
                Some(problem) => Err(TopologyError::Different(problem)),
            }
        })
        .buffer_unordered(PARALLEL)
        .try_collect::<Vec<()>>()
        .await?;
    meta.put("topology", stamp.into()).await.map_err(|err| create("CLARA_META", err))?;
    Ok(())
}

/// Whether every stream is there with as many consumers as it needs.
async fn is_whole(context: &Context, spec: &Spec) -> bool {
    let consumers = spec.consumers();
    let checks = spec.stream.iter().map(|stream| {
        let needed = consumers.iter().filter(|(of, _)| *of == stream.name).count();
        async move {
            let found = context.get_stream(&stream.name).await;
            found.is_ok_and(|found| found.cached_info().state.consumer_count >= needed)
        }
    });
    futures::future::join_all(checks).await.into_iter().all(|whole| whole)
}

async fn create_buckets(context: &Context, spec: &Spec, replicas: usize) -> Result<kv::Store, TopologyError> {
    let mut meta = None;
    for bucket in &spec.bucket {
        let config = kv::Config {
            bucket: bucket.name.clone(),
            history: 1,
            max_bytes: bucket.max_bytes,
            max_age: Duration::from_secs(bucket.max_age_s),
            num_replicas: replicas,
            ..kv::Config::default()
        };
        let made = context.create_or_update_key_value(config).await;
        let made = made.map_err(|err| spec.failed(&format!("bucket {}", bucket.name), &err))?;
        if bucket.name == "CLARA_META" {
            meta = Some(made);
        }
    }
    meta.ok_or_else(|| create("CLARA_META", "nats/streams.toml does not name it"))
}

fn create(what: &str, why: impl std::fmt::Display) -> TopologyError {
    TopologyError::Create { what: what.to_owned(), why: why.to_string() }
}

/// Compares everything with the file, for `clara doctor`. Changes nothing.
pub(crate) async fn inspect(context: &Context, replicas: usize) -> Result<Vec<Problem>, TopologyError> {
    let spec = Spec::parse(SPEC)?;
    let mut problems = Vec::new();
    let missing =
        |what: String| Problem { what, setting: "existence", found: "missing".into(), wanted: "present".into() };
    for stream in &spec.stream {
        match context.get_stream(&stream.name).await {
            Ok(found) => problems.extend(stream.compare(&found.cached_info().config, replicas)),
            Err(_) => problems.push(missing(format!("stream {}", stream.name))),
        }
    }
    for (stream, consumer) in spec.consumers() {
        match context.get_consumer_from_stream::<pull::Config, _, _>(&consumer.name, stream).await {
            Ok(found) => problems.extend(consumer.compare(&found.cached_info().config)),
            Err(_) => problems.push(missing(format!("consumer {}", consumer.name))),
        }
    }
    Ok(problems)
}

/// How full a stream is that refuses what is new when it is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub stream: String,
    pub used_bytes: u64,
    pub limit_bytes: u64,
}

impl Room {
    pub fn percent(&self) -> u64 {
        self.used_bytes.saturating_mul(100) / self.limit_bytes.max(1)
    }
}

/// The room in every stream and bucket that would refuse something.
pub(crate) async fn rooms(context: &Context) -> Result<Vec<Room>, TopologyError> {
    let spec = Spec::parse(SPEC)?;
    let streams = spec.stream.iter().filter(|stream| matches!(stream.discard, Discard::New));
    let buckets = spec.bucket.iter().map(|bucket| format!("KV_{}", bucket.name));
    let mut rooms = Vec::new();
    for name in streams.map(|stream| stream.name.clone()).chain(buckets) {
        let found = context.get_stream(&name).await.map_err(|err| create(&name, err))?;
        let info = found.cached_info();
        if let Ok(limit_bytes) = u64::try_from(info.config.max_bytes) {
            rooms.push(Room { used_bytes: info.state.bytes, limit_bytes, stream: name });
        }
    }
    Ok(rooms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_its_consumer() {
        let spec = Spec::parse(SPEC).unwrap();
        let routers: Vec<_> = spec.consumers().into_iter().filter(|(stream, _)| *stream == "CLARA_INBOUND").collect();
        assert_eq!(routers.len(), usize::from(PARTITIONS));
        assert!(routers.iter().all(|(_, consumer)| consumer.max_ack_pending == 1));
        assert_eq!(routers[7].1.filter, "clara.v1.inbound.7.*");
    }
}
