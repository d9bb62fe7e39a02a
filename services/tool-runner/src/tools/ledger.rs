//! Tools of the chaos suite: each run is written into a ledger elsewhere.
//!
//! Present in chaos builds alone. `CLARA_LEDGER` names the address that keeps
//! the ledger: one line `<tool> <call>` a run, answered by one line.

use std::sync::Arc;

use async_trait::async_trait;
use domain::tool::{Effect, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::spec;
use crate::registry::{Builtin, Tool};

/// Longest answer of the ledger, in bytes.
const ANSWER: u64 = 4096;

struct Ledger {
    spec: ToolSpec,
    address: String,
}

/// One tool that may run again, and one that never may.
pub(super) fn all() -> Vec<Arc<dyn Tool>> {
    #[allow(clippy::disallowed_methods, reason = "no setting: it exists in chaos builds alone")]
    let Ok(address) = std::env::var("CLARA_LEDGER") else { return Vec::new() };
    let tool = |name: &str, description: &str, effect: Effect, risk: Risk| {
        let spec = spec(name, description, effect, risk, json!({}), &[]);
        Arc::new(Ledger { spec, address: address.clone() }) as Arc<dyn Tool>
    };
    vec![
        tool("look", "Looks something up.", Effect::ReadOnly, Risk::Safe),
        tool("charge", "Charges a card, once.", Effect::Once, Risk::Safe),
    ]
}

#[async_trait]
impl Builtin for Ledger {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, _: Value) -> Result<String, String> {
        let asked = async {
            let mut stream = TcpStream::connect(&self.address).await?;
            stream.write_all(format!("{} {}\n", request.name, request.call).as_bytes()).await?;
            let mut line = String::new();
            BufReader::new(stream).take(ANSWER).read_line(&mut line).await?;
            Ok::<_, std::io::Error>(line.trim_end().to_owned())
        };
        asked.await.map_err(|err| format!("the ledger does not answer: {err}"))
    }
}
