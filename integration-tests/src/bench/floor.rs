//! What the bus alone costs: publish-ack, hops, compare-and-set.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{Context, stream};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{micros, percentile};

/// Bytes of a message: about what an inbound message has.
const BYTES: usize = 300;
const HOPS: usize = 4;

/// One round of the floor.
#[derive(Debug, Clone, Default)]
pub struct Floor {
    pub publish_p50_us: f64,
    pub publish_p99_us: f64,
    pub hop1_p50_us: f64,
    pub hop4_p50_us: f64,
    pub hop4_p99_us: f64,
    /// Chains of four hops a second, with 32 in flight.
    pub chains_per_s_32: f64,
    pub cas_one_key_per_s: f64,
    pub cas_64_keys_per_s: f64,
}

pub async fn measure(url: &str, samples: usize, time: Duration) -> anyhow::Result<Floor> {
    let context = async_nats::jetstream::new(async_nats::connect(url).await?);
    let publishes = publish_acks(&context, samples).await?;
    let one = Chain::open(url, &context, 1).await?.one_at_a_time(samples).await?;
    let four = Chain::open(url, &context, HOPS).await?.one_at_a_time(samples).await?;
    let chains_per_s_32 = Chain::open(url, &context, HOPS).await?.in_flight(32, time).await?;
    Ok(Floor {
        publish_p50_us: percentile(&publishes, 0.5),
        publish_p99_us: percentile(&publishes, 0.99),
        hop1_p50_us: percentile(&one, 0.5),
        hop4_p50_us: percentile(&four, 0.5),
        hop4_p99_us: percentile(&four, 0.99),
        chains_per_s_32,
        cas_one_key_per_s: compare_and_set(&context, 1, time / 2).await?,
        cas_64_keys_per_s: compare_and_set(&context, 64, time / 2).await?,
    })
}

async fn work_queue(context: &Context, name: &str, subject: &str) -> anyhow::Result<stream::Stream> {
    let _ = context.delete_stream(name).await;
    let config = stream::Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        ..Default::default()
    };
    Ok(context.create_stream(config).await?)
}

async fn publish_acks(context: &Context, samples: usize) -> anyhow::Result<Vec<f64>> {
    work_queue(context, "FLOOR_PUBLISH", "floor.publish").await?;
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let begun = Instant::now();
        context.publish("floor.publish", vec![b'x'; BYTES].into()).await?.await?;
        times.push(micros(begun.elapsed()));
    }
    context.delete_stream("FLOOR_PUBLISH").await?;
    Ok(times)
}

/// Streams in a row: each message is pulled, published on, acknowledged.
struct Chain {
    context: Context,
    hops: usize,
    arrived: mpsc::Receiver<()>,
    workers: JoinSet<()>,
}

impl Chain {
    async fn open(url: &str, context: &Context, hops: usize) -> anyhow::Result<Self> {
        let (arrives, arrived) = mpsc::channel(1024);
        let mut workers = JoinSet::new();
        for hop in 0..hops {
            let stream = work_queue(context, &format!("FLOOR_{hop}"), &format!("floor.hop.{hop}")).await?;
            let config = pull::Config {
                durable_name: Some("worker".into()),
                ack_policy: AckPolicy::Explicit,
                max_ack_pending: 1024,
                ..Default::default()
            };
            let consumer: PullConsumer = stream.create_consumer(config).await?;
            // Each service has a connection of its own.
            let own = async_nats::jetstream::new(async_nats::connect(url).await?);
            let (arrives, last) = (arrives.clone(), hop + 1 == hops);
            workers.spawn(async move {
                let mut messages = consumer.stream().max_messages_per_batch(256).messages().await.unwrap();
                while let Some(Ok(message)) = messages.next().await {
                    let (own, arrives) = (own.clone(), arrives.clone());
                    tokio::spawn(async move {
                        if last {
                            arrives.send(()).await.unwrap();
                        } else {
                            let next = format!("floor.hop.{}", hop + 1);
                            own.publish(next, message.payload.clone()).await.unwrap().await.unwrap();
                        }
                        message.ack().await.unwrap();
                    });
                }
            });
        }
        Ok(Self { context: context.clone(), hops, arrived, workers })
    }

    async fn send(&self) -> anyhow::Result<()> {
        self.context.publish("floor.hop.0", vec![b'x'; BYTES].into()).await?.await?;
        Ok(())
    }

    async fn one_at_a_time(mut self, samples: usize) -> anyhow::Result<Vec<f64>> {
        let mut times = Vec::with_capacity(samples);
        for _ in 0..samples {
            let begun = Instant::now();
            self.send().await?;
            self.arrived.recv().await;
            times.push(micros(begun.elapsed()));
        }
        self.close().await?;
        Ok(times)
    }

    /// Chains a second with so many under way.
    async fn in_flight(mut self, count: usize, time: Duration) -> anyhow::Result<f64> {
        for _ in 0..count {
            self.send().await?;
        }
        let (begun, mut done) = (Instant::now(), 0);
        while begun.elapsed() < time {
            self.arrived.recv().await;
            done += 1;
            let context = self.context.clone();
            tokio::spawn(async move {
                context.publish("floor.hop.0", vec![b'x'; BYTES].into()).await.unwrap().await.unwrap();
            });
        }
        let rate = f64::from(done) / begun.elapsed().as_secs_f64();
        for _ in 0..count {
            self.arrived.recv().await;
        }
        self.close().await?;
        Ok(rate)
    }

    async fn close(mut self) -> anyhow::Result<()> {
        self.workers.shutdown().await;
        for hop in 0..self.hops {
            self.context.delete_stream(format!("FLOOR_{hop}")).await?;
        }
        Ok(())
    }
}

/// Compare-and-set writes a second, one writer a key.
async fn compare_and_set(context: &Context, keys: usize, time: Duration) -> anyhow::Result<f64> {
    let _ = context.delete_stream("FLOOR_CAS").await;
    let config = stream::Config {
        name: "FLOOR_CAS".to_owned(),
        subjects: vec!["floor.cas.*".to_owned()],
        max_messages_per_subject: 1,
        ..Default::default()
    };
    context.create_stream(config).await?;
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for key in 0..keys {
        let context = context.clone();
        writers.spawn(async move {
            let (subject, mut last, mut count) = (format!("floor.cas.{key}"), 0, 0);
            while begun.elapsed() < time {
                let mut headers = HeaderMap::new();
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string().as_str());
                let stored = context.publish_with_headers(subject.clone(), headers, vec![b'x'; BYTES].into()).await;
                last = stored.unwrap().await.unwrap().sequence;
                count += 1;
            }
            count
        });
    }
    let counts = writers.join_all().await;
    let rate = f64::from(counts.iter().sum::<i32>()) / begun.elapsed().as_secs_f64();
    context.delete_stream("FLOOR_CAS").await?;
    Ok(rate)
}
