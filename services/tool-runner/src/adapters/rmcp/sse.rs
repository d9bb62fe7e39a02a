//! The HTTP with server-sent events of 2024-11-05, for servers that know nothing newer
//! (<https://modelcontextprotocol.io/specification/2024-11-05/basic/transports>): a stream of
//! events that the server keeps open, whose first one says where messages are posted to.

use std::time::Duration;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, StatusCode, Url};
use rmcp::ErrorData;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use service_kit::task::{self, TaskKind};
use tracing::debug;

/// How long the server may take to say where messages go.
const BEGIN: Duration = Duration::from_secs(10);
/// How long it may take to accept one.
const POST: Duration = Duration::from_secs(30);
/// Longest event, in bytes.
const EVENT_BYTES: usize = 16 * 1024 * 1024;
/// Messages that may wait, each way.
const WAITING: usize = 64;

/// What is said of a call that a server did not take, since it does not know who asks any more.
const UNKNOWN: &str = "it did not take this, since what it was authorised with is over; ask again, and it is authorised \
                       anew if that can be";

/// What rmcp talks through.
pub(super) type Pair = (mpsc::Sender<ClientJsonRpcMessage>, mpsc::Receiver<ServerJsonRpcMessage>);

/// Opens the stream and waits for the place to post to; the error is in words.
pub(super) async fn open(url: &str, headers: HeaderMap) -> Result<Pair, String> {
    let url = Url::parse(url).map_err(|_| "its address is none".to_owned())?;
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).default_headers(headers).build();
    let client = client.map_err(|err| err.without_url().to_string())?;
    let (tell, told) = mpsc::channel(WAITING);
    let (post, posts) = mpsc::channel(WAITING);
    let begun = async {
        let answer = client.get(url.clone()).header(ACCEPT, "text/event-stream").send().await;
        let answer = answer.map_err(|err| err.without_url().to_string())?;
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !answer.status().is_success() || !kind.starts_with("text/event-stream") {
            return Err("it offers no events".to_owned());
        }
        let mut events = Events { answer, buffer: Vec::new(), searched: 0 };
        let first = events.next().await.ok_or("its events ended at once")?;
        // What is posted, and with which headers, is for nobody else to read.
        let place = url.join(first.data.trim()).ok().filter(|place| place.origin() == url.origin());
        match place {
            Some(place) if first.name == "endpoint" => Ok((events, place)),
            _ => Err("it does not say where messages go".to_owned()),
        }
    };
    let (events, place) = tokio::time::timeout(BEGIN, begun).await.map_err(|_| "it says nothing".to_owned())??;
    task::spawn(TaskKind::Watch, "mcp-sse", run(client, place, events, posts, tell));
    Ok((post, told))
}

/// Goes on until either side ends; then so does the other.
async fn run(
    client: Client,
    place: Url,
    mut events: Events,
    mut posts: mpsc::Receiver<ClientJsonRpcMessage>,
    mut tell: mpsc::Sender<ServerJsonRpcMessage>,
) {
    loop {
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else { return };
                match serde_json::from_str(&event.data) {
                    Ok(message) if event.name == "message" => {
                        if tell.send(message).await.is_err() {
                            return;
                        }
                    }
                    _ => debug!(event = event.name, "skipped an event that is no message"),
                }
            }
            message = posts.next() => {
                let Some(message) = message else { return };
                let Ok(body) = serde_json::to_string(&message) else { continue };
                let posted = client.post(place.clone()).header(CONTENT_TYPE, "application/json").body(body).timeout(POST);
                match posted.send().await {
                    Ok(answer) if answer.status().is_success() => {}
                    Ok(answer) if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                        // It was not taken, which is not the same as that nobody knows.
                        if let ClientJsonRpcMessage::Request(request) = message {
                            let why = ErrorData::invalid_request(UNKNOWN, None);
                            // Whoever asked may have gone.
                            let _ = tell.send(ServerJsonRpcMessage::error(why, Some(request.id))).await;
                        }
                        return;
                    }
                    // Whoever waits for an answer hears that the way is gone.
                    _ => return,
                }
            }
        }
    }
}

struct Event {
    name: String,
    data: String,
}

/// Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), as far
/// as this protocol uses them.
struct Events {
    answer: reqwest::Response,
    buffer: Vec<u8>,
    /// The part of it that is known to hold no end.
    searched: usize,
}

impl Events {
    /// `None` when the stream has ended, broke, or holds an event that is too long.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let from = self.searched.saturating_sub(3);
            if let Some((at, length)) = end(&self.buffer[from..]) {
                let end = from + at;
                let event = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + length);
                self.searched = 0;
                match read(&event) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            if self.buffer.len() > EVENT_BYTES {
                return None;
            }
            self.searched = self.buffer.len();
            self.buffer.extend_from_slice(&self.answer.chunk().await.ok()??);
        }
    }
}

/// Where the first event ends, and how long the end is.
fn end(buffer: &[u8]) -> Option<(usize, usize)> {
    let of = |mark: &[u8]| buffer.windows(mark.len()).position(|part| part == mark).map(|at| (at, mark.len()));
    [of(b"\n\n"), of(b"\r\n\r\n")].into_iter().flatten().min()
}

/// An event with something in it; a comment is none.
fn read(text: &str) -> Option<Event> {
    let (mut name, mut data) = (String::new(), Vec::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value.to_owned(),
            "data" => data.push(value),
            _ => {}
        }
    }
    let name = if name.is_empty() { "message".to_owned() } else { name };
    (!data.is_empty()).then(|| Event { name, data: data.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_are_written() {
        let text = b": hello\n\nevent: endpoint\r\ndata: /message?x=1\r\n\r\ndata: {\"a\":\ndata: 1}\n\nrest";
        let (mut rest, mut read_events) = (&text[..], Vec::new());
        while let Some((at, length)) = end(rest) {
            read_events.extend(read(&String::from_utf8_lossy(&rest[..at])));
            rest = &rest[at + length..];
        }
        let names: Vec<(&str, &str)> =
            read_events.iter().map(|event| (event.name.as_str(), event.data.as_str())).collect();
        assert_eq!(names, [("endpoint", "/message?x=1"), ("message", "{\"a\":\n1}")]);
        assert_eq!(rest, b"rest");
    }
}
