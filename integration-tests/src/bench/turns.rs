//! What a turn costs: its latency, how many a second, the
//! first token, and more orchestrators.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::live::DeltaKind;
use testkit::model::{Act, FakeModel};
use testkit::sandbox::{Plan, Sandbox};
use tokio::task::JoinSet;

use super::{micros, percentile};
use crate::chaos::people::{People, Person};

/// How long anybody waits for one reply.
const REPLY: Duration = Duration::from_secs(60);
/// Pieces of the streamed answer.
const PIECES: usize = 200;

/// Services without a model's time: the offline model, which answers at once.
pub fn plan(server: &str) -> Plan {
    let plan = Sandbox::plan().server(server).set("CLARA_LOG", "warn").set("CLARA_MAX_TURNS", 1024);
    // Quotas are for people, and these are not.
    plan.set("CLARA_QUOTA_USER_PER_MINUTE", 1_000_000).set("CLARA_QUOTA_CONVERSATION_PER_MINUTE", 1_000_000)
}

pub async fn people(sandbox: &Sandbox) -> People {
    People::gather(sandbox.bus().await, &sandbox.nats.url()).await
}

/// One message and its reply, from the person's side.
pub async fn turn(person: &Person, text: &str) -> Option<Duration> {
    let begun = Instant::now();
    let id = person.tells(&uuid::Uuid::now_v7().to_string(), text.to_owned()).await?;
    person.people.answered(&id, REPLY).await.then(|| begun.elapsed())
}

#[derive(Debug, Clone, Default)]
pub struct Latency {
    pub p50_us: f64,
    pub p99_us: f64,
    pub failures: usize,
}

/// One turn at a time.
pub async fn latency(sandbox: &Sandbox, samples: usize) -> Latency {
    let people = people(sandbox).await;
    let person = people.person(0);
    for _ in 0..20 {
        turn(&person, "say x").await;
    }
    let (mut times, mut failures) = (Vec::new(), 0);
    for _ in 0..samples {
        match turn(&person, "say x").await {
            Some(time) => times.push(micros(time)),
            None => failures += 1,
        }
        // The end of the turn passes before the next one begins.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    Latency { p50_us: percentile(&times, 0.5), p99_us: percentile(&times, 0.99), failures }
}

/// Turns a second with so many conversations that each wait for their reply.
pub async fn throughput(sandbox: &Sandbox, in_flight: usize, time: Duration) -> (f64, usize) {
    let people = people(sandbox).await;
    let (warm, begun) = (time / 4, Instant::now());
    let mut talking = JoinSet::new();
    for number in 0..in_flight {
        let person = people.person(number);
        talking.spawn(async move {
            let (mut done, mut failed) = (0, 0);
            while begun.elapsed() < warm + time {
                let answered = turn(&person, "say x").await.is_some();
                failed += usize::from(!answered);
                let at = begun.elapsed();
                done += usize::from(answered && at > warm && at <= warm + time);
            }
            (done, failed)
        });
    }
    let counts = talking.join_all().await;
    let done: usize = counts.iter().map(|(done, _)| done).sum();
    (done as f64 / time.as_secs_f64(), counts.iter().map(|(_, failed)| failed).sum())
}

#[derive(Debug, Clone, Default)]
pub struct Streaming {
    /// From the model's first byte to the first piece that a viewer sees.
    pub first_added_p50_us: f64,
    pub chunk_added_us: f64,
    /// Final texts that are not what the model said.
    pub texts_wrong: usize,
    /// Pieces of the text that no delta carried; the final text has them.
    pub deltas_missed: usize,
}

/// A vendor over HTTP, and what Clara adds to its stream: to the first token of a
/// short answer, and to each piece of a long one that comes all at once.
pub async fn streaming(server: &str, samples: usize) -> anyhow::Result<Streaming> {
    let first = stream_of(server, samples, 2).await?;
    let long = stream_of(server, samples, PIECES).await?;
    Ok(Streaming {
        texts_wrong: first.texts_wrong + long.texts_wrong,
        deltas_missed: first.deltas_missed + long.deltas_missed,
        first_added_p50_us: first.first_added_p50_us,
        ..long
    })
}

async fn stream_of(server: &str, samples: usize, count: usize) -> anyhow::Result<Streaming> {
    let asked_at = Arc::new(Mutex::new(Instant::now()));
    let at = Arc::clone(&asked_at);
    let pieces: Vec<String> = (0..count).map(|n| format!("w{n} ")).collect();
    let text = pieces.concat();
    let model = FakeModel::start_forgetful(move |_, _| {
        *at.lock().unwrap() = Instant::now();
        Act::Say(pieces.clone())
    })
    .await;
    let sandbox = plan(server).with(model.as_openai()).start().await;
    let people = people(&sandbox).await;
    let person = people.person(0);
    let mut deltas = sandbox.bus().await.watch_deltas("cli", &person.conversation).await?;
    let (mut first, mut whole, mut wrong, mut missed) = (Vec::new(), Vec::new(), 0, 0);
    for sample in 0..samples + 5 {
        let id = person.tells(&format!("s{sample}"), "hello".to_owned()).await;
        let (mut begun, mut shown) = (None, String::new());
        while shown.len() < text.len() {
            let Ok(Some(delta)) = tokio::time::timeout(Duration::from_secs(5), deltas.next()).await else { break };
            if let DeltaKind::Text { tail, .. } = delta.kind {
                let now = Instant::now();
                begun.get_or_insert(now);
                shown.push_str(&tail);
            }
        }
        let ended = Instant::now();
        missed += usize::from(shown != text);
        let answered = match &id {
            Some(id) => people.answered(id, REPLY).await,
            None => false,
        };
        wrong += usize::from(!answered);
        // The first ones open connections.
        if let (Some(begun), true) = (begun, sample >= 5) {
            first.push(micros(begun - *asked_at.lock().unwrap()));
            whole.push(micros(ended - begun) / count as f64);
        }
    }
    let final_texts = final_texts(&sandbox).await?;
    wrong += final_texts.iter().filter(|said| said.trim_end() != text.trim_end()).count();
    let floor = direct(&model.url(), samples, count).await?;
    Ok(Streaming {
        first_added_p50_us: percentile(&first, 0.5) - percentile(&floor.0, 0.5),
        chunk_added_us: (percentile(&whole, 0.5) - percentile(&floor.1, 0.5)).max(0.0),
        texts_wrong: wrong,
        deltas_missed: missed,
    })
}

/// Every final text that terminals were shown.
async fn final_texts(sandbox: &Sandbox) -> anyhow::Result<Vec<String>> {
    use proto::Wire;
    let context = async_nats::jetstream::new(async_nats::connect(sandbox.nats.url()).await?);
    let stream = context.get_stream("CLARA_TERMINAL").await?;
    let mut texts = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await?;
        texts.push(domain::turn::Reply::from_wire(&message.payload)?.text);
    }
    Ok(texts)
}

/// The same stream without Clara: from the request to its first piece, and the
/// time of each piece after it.
async fn direct(url: &str, samples: usize, count: usize) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.trim_start_matches("http://");
    let body = r#"{"model":"test-model","stream":true,"stream_options":{"include_usage":true},"max_tokens":16,"messages":[{"role":"user","content":"hello"}]}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        testkit::model::KEY,
        body.len()
    );
    let (mut first, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..samples {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let begun = Instant::now();
        stream.write_all(head.as_bytes()).await?;
        let mut buffer = vec![0; 1 << 16];
        let mut said = Vec::new();
        // Headers come first; the first token is what counts.
        while !said.windows(3).any(|window| window == b"w0 ") {
            let read = stream.read(&mut buffer).await?;
            anyhow::ensure!(read > 0, "the vendor said nothing");
            said.extend_from_slice(&buffer[..read]);
        }
        let at_first = Instant::now();
        while stream.read(&mut buffer).await? > 0 {}
        first.push(micros(at_first - begun));
        whole.push(micros(at_first.elapsed()) / count as f64);
    }
    Ok((first, whole))
}

/// Turns a second of 1, 2 and 4 orchestrators, each with 32 turns of a model
/// that takes two seconds.
pub async fn scale(server: &str, time: Duration) -> Vec<(usize, f64, usize)> {
    let mut rates = Vec::new();
    for orchestrators in [1, 2, 4] {
        let plan = plan(server).set("CLARA_OFFLINE_WORD_MS", 2000).set("CLARA_MAX_TURNS", 32);
        let mut sandbox = plan.start().await;
        for replica in 1..orchestrators {
            sandbox.start_service("orchestrator", replica);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Enough people that every orchestrator is always busy.
        let (rate, failures) = throughput(&sandbox, 48 * orchestrators, time).await;
        rates.push((orchestrators, rate, failures));
    }
    rates
}
