//! The fake vendor and the tool server of the suite, each with its ledger.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::model::{Act, Asked, FakeModel};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a message makes the model do. The text of a message is `<key> <kind>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Say,
    /// Answers after a second.
    Slow,
    /// Calls a tool that may run again, then answers.
    Look,
    /// Calls a tool that never may run again, then answers.
    Charge,
    /// Says to come back in so many seconds, once, or always if it is long.
    RateLimited(u32),
    /// Breaks three times, then answers.
    Broken,
    /// Says nothing for longer than anybody waits, once.
    TimedOut,
    /// Drops the connection after so many pieces, once.
    Cut(usize),
    /// Begins and stalls, once.
    Stalled,
    /// Calls a tool with arguments that are no JSON, then answers.
    Malformed,
    /// Calls a tool that does not exist, then answers.
    UnknownTool,
    /// Calls 200 tools at once, then answers.
    ManyCalls,
}

impl Kind {
    pub fn text(self, key: &str) -> String {
        format!("{key} {self:?}")
    }

    /// Whether the vendor answers it at once, so that every call more is one
    /// that was billed again.
    pub fn is_sound(self) -> bool {
        matches!(self, Kind::Say | Kind::Slow | Kind::Look | Kind::Charge)
    }
}

/// Longer than any wait that the suite configures.
const LONG: Duration = Duration::from_secs(600);

/// The vendor. Its ledger counts what it generated, by message and step: that
/// is what is billed.
pub struct Vendor {
    pub model: FakeModel,
    billed: Arc<Mutex<HashMap<(String, usize), u32>>>,
}

impl Vendor {
    pub async fn start() -> Self {
        let billed = Arc::new(Mutex::new(HashMap::new()));
        let tries = Mutex::new(HashMap::<(String, usize), u32>::new());
        let ledger = Arc::clone(&billed);
        let script = move |asked: &Asked, _: usize| {
            let (said, answered) = said(asked);
            let (key, kind) = said.split_once(' ').unwrap_or((&said, ""));
            let place = (key.to_owned(), usize::from(answered));
            let tried = {
                let mut tries = tries.lock().unwrap();
                let tried = tries.entry(place.clone()).or_default();
                *tried += 1;
                *tried - 1
            };
            let act = act(key, kind, place.1, tried);
            if !matches!(act, Act::Refuse(..)) {
                *ledger.lock().unwrap().entry(place).or_default() += 1;
            }
            act
        };
        Self { model: FakeModel::start_forgetful(script).await, billed }
    }

    /// How often each step of each message was generated.
    pub fn billed(&self) -> HashMap<(String, usize), u32> {
        self.billed.lock().unwrap().clone()
    }
}

/// What the person said last, and whether tools have answered since. The last
/// step's instruction is no message of theirs.
fn said(asked: &Asked) -> (String, bool) {
    let mut answered = false;
    for message in asked.body["messages"].as_array().into_iter().flatten().rev() {
        answered |= message["role"] == "tool";
        let text = message["content"].as_str().unwrap_or_default();
        if message["role"] == "user" && text.starts_with(|first: char| first.is_ascii_lowercase()) {
            return (text.to_owned(), answered);
        }
    }
    (asked.last_user.clone(), answered)
}

fn act(key: &str, kind: &str, step: usize, tried: u32) -> Act {
    let answer = Act::Say(vec!["re: ".into(), key.into()]);
    let first = step == 0;
    let number = || kind.trim_end_matches(')').rsplit('(').next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
    match kind.split('(').next().unwrap_or_default() {
        "Slow" => Act::After(Duration::from_secs(1), Box::new(answer)),
        "Look" if first => Act::call("look", "{}"),
        "Charge" if first => Act::call("charge", "{}"),
        "RateLimited" if tried == 0 || number() > 60 => {
            Act::Refuse(429, vec![("retry-after", number().to_string())], "slow down".into())
        }
        "Broken" if tried < 3 => Act::Refuse(500, vec![], "broken".into()),
        "TimedOut" if tried == 0 => Act::After(LONG, Box::new(answer)),
        "Cut" if tried == 0 => {
            Act::Cut(["re: ", key, " and", " then"].into_iter().take(number()).map(str::to_owned).collect())
        }
        "Stalled" if tried == 0 => Act::Stall,
        "Malformed" if first => Act::call("look", "{\"x\": "),
        "UnknownTool" if first => Act::call("no_such_tool", "{}"),
        "ManyCalls" if first => Act::Call(String::new(), vec![("look".into(), "{}".into()); 200]),
        _ => answer,
    }
}

/// The server that the tools `look` and `charge` call, one line a run.
pub struct ToolServer {
    pub address: std::net::SocketAddr,
    runs: Arc<Mutex<Vec<(String, String)>>>,
    task: JoinHandle<()>,
}

impl ToolServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let runs = Arc::new(Mutex::new(Vec::new()));
        let ledger = Arc::clone(&runs);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let ledger = Arc::clone(&ledger);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.is_ok()
                        && let Some((tool, call)) = line.trim_end().split_once(' ')
                    {
                        ledger.lock().unwrap().push((tool.to_owned(), call.to_owned()));
                        // Whoever asked may be dead by now.
                        let _ = stream.write_all(b"done\n").await;
                    }
                });
            }
        });
        Self { address, runs, task }
    }

    /// Every run: the tool and the call.
    pub fn runs(&self) -> Vec<(String, String)> {
        self.runs.lock().unwrap().clone()
    }
}

impl Drop for ToolServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
