//! Takes a page apart in a process of its own, with limits: what parses HTML recurses as deep
//! as a page nests, and takes as long as a page wants, so a page could end or hold up whoever
//! reads it. Here it ends a reader.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Fetched;
use super::page::readable;

/// The argument with which this program is a reader.
pub(crate) const ARGUMENT: &str = "read-page";
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// Its processor's time, in seconds, and its memory, in bytes.
const CPU_SECONDS: u64 = 10;
const MEMORY_BYTES: u64 = 1 << 30;
/// Longest input and output, in bytes.
const INPUT_BYTES: u64 = 5 << 20;
const OUTPUT_BYTES: u64 = 32 << 20;

#[derive(Serialize, Deserialize)]
struct Head {
    kind: String,
    charset: String,
}

/// This program as it runs: on Linux also after another was put in its place.
fn program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe()
}

/// The title and text of a page, if it has any; the error is for the model.
pub(crate) async fn taken_apart(page: Fetched) -> Result<Option<(String, String)>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("the page cannot be taken apart: {why}");
    let head = serde_json::to_string(&Head { kind: page.kind, charset: page.charset });
    let head = head.map_err(|err| failed(&err))?;
    let mut reader = Command::new(program().map_err(|err| failed(&err))?);
    reader.arg(ARGUMENT).env_clear().kill_on_drop(true);
    reader.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut reader = reader.spawn().map_err(|err| failed(&err))?;
    let (Some(mut input), Some(output)) = (reader.stdin.take(), reader.stdout.take()) else {
        return Err(failed(&"its pipes are gone"));
    };
    let told = async {
        // A reader that ended reads no more; what it gave says so.
        let _ = input.write_all(format!("{head}\n").as_bytes()).await;
        let _ = input.write_all(&page.body).await;
        drop(input);
    };
    let heard = async {
        let mut given = Vec::new();
        output.take(OUTPUT_BYTES).read_to_end(&mut given).await.map(|_| given)
    };
    let both = async {
        let ((), given) = tokio::join!(told, heard);
        (given, reader.wait().await)
    };
    let (given, ended) = tokio::time::timeout(PATIENCE, both).await.map_err(|_| failed(&"it takes too long"))?;
    match (given, ended) {
        (Ok(given), Ok(status)) if status.success() => serde_json::from_slice(&given).map_err(|err| failed(&err)),
        _ => Err(failed(&"it is too deep or too large")),
    }
}

/// Reads a page from standard input, as the process does that takes pages apart.
pub(crate) fn read_page() -> ExitCode {
    let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    let limited = limit(Resource::Cpu, CPU_SECONDS).and_then(|()| limit(Resource::As, MEMORY_BYTES));
    let mut input = Vec::new();
    if limited.is_err() || std::io::stdin().take(INPUT_BYTES).read_to_end(&mut input).is_err() {
        return ExitCode::FAILURE;
    }
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return ExitCode::FAILURE };
    let Ok(Head { kind, charset }) = serde_json::from_slice(&input[..end]) else { return ExitCode::FAILURE };
    let page = Fetched { url: String::new(), kind, charset, body: input.split_off(end + 1), is_cut: false };
    let written = serde_json::to_vec(&readable(&page)).map(|read| std::io::stdout().write_all(&read));
    match written {
        Ok(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
