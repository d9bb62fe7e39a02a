//! For scripts: one message a line, replies on standard output.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use domain::ids::MessageId;
use domain::message::{TEXT_BYTES, without_controls};
use domain::turn::{Reply, ReplyKind};
use proto::live::Activity;
use proto::terminal::Saying;
use serde_json::{Value, json};
use service_kit::settings::Settings;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::client::{Client, Own, Seen, Spoken};
use super::live::{Show, Viewer};
use super::{HELP, saying};
use crate::written;

/// Exit status after Ctrl-C: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

enum Line {
    Text(String),
    /// What is wrong with it.
    Bad(String),
}

/// How a message ended for the script.
enum Ended {
    Well,
    Badly,
    Interrupted,
}

pub(super) async fn run(
    mut client: Client,
    settings: &Settings,
    timeout: Duration,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut input = BufReader::new(tokio::io::stdin());
    // One listener for the whole run: after the first the system's own way of ending is gone.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut failed = false;
    let mut number = 0;
    loop {
        let line = tokio::select! {
            line = read_line(&mut input) => line?,
            _ = interrupts.recv() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let Some(line) = line else { break };
        number += 1;
        let what = match line {
            Line::Text(text) => match text.trim() {
                "" => continue,
                "!help" | "/help" => {
                    match json {
                        true => emit(true, json!({"event": "help", "text": HELP}))?,
                        false => println!("{HELP}"),
                    }
                    continue;
                }
                "!status" => {
                    crate::commands::run_status(settings, json).await?;
                    continue;
                }
                own => match tokio::select! {
                    done = client.own(settings, own) => done,
                    _ = interrupts.recv() => return Ok(ExitCode::from(INTERRUPTED)),
                } {
                    Some(Ok(Own::Say(what))) => what,
                    Some(Ok(Own::Done { event, text })) => {
                        match json {
                            true => emit(true, json!({"event": event, "text": text}))?,
                            false => println!("{text}"),
                        }
                        continue;
                    }
                    Some(Err(why)) => {
                        failed = true;
                        refuse(json, None, &format!("line {number}: {why}"))?;
                        continue;
                    }
                    None => match saying(text) {
                        Ok(what) => what,
                        Err(why) => {
                            failed = true;
                            refuse(json, None, &format!("line {number}: {why}"))?;
                            continue;
                        }
                    },
                },
            },
            Line::Bad(why) => {
                failed = true;
                refuse(json, None, &format!("line {number}: {why}"))?;
                continue;
            }
        };
        let said = tokio::select! {
            said = client.say(what) => said,
            _ = interrupts.recv() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let because = match said {
            Ok(Spoken::Accepted(message)) => Ok(message),
            Ok(Spoken::Refused(because)) => Err(because),
            // The lines that follow may be heard.
            Err(err) => Err(format!("{err:#}")),
        };
        let message = match because {
            Ok(message) => message,
            Err(because) => {
                failed = true;
                refuse(json, None, &format!("line {number}: {because}"))?;
                continue;
            }
        };
        emit(json, json!({"event": "accepted", "message": message.as_str()}))?;
        match answer(&mut client, &message, timeout, json, &mut interrupts).await? {
            Ended::Well => {}
            Ended::Badly => failed = true,
            Ended::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Waits for the reply that names a message; Ctrl-C stops its turn, twice leaves.
async fn answer(
    client: &mut Client,
    message: &MessageId,
    timeout: Duration,
    json: bool,
    interrupts: &mut Signal,
) -> anyhow::Result<Ended> {
    let mut viewer = Viewer::new(client.turn_of(message));
    let deadline = Instant::now() + timeout;
    let mut interrupted = false;
    loop {
        let seen = tokio::select! {
            seen = client.next() => seen?,
            _ = interrupts.recv() => {
                if std::mem::replace(&mut interrupted, true) {
                    return Ok(Ended::Interrupted);
                }
                client.say(Saying::Stop).await?;
                continue;
            }
            () = tokio::time::sleep_until(deadline) => {
                refuse(json, Some(message), &format!("no reply within {} seconds; it will still come: `clara turn list`", timeout.as_secs()))?;
                return Ok(Ended::Badly);
            }
        };
        match seen {
            Seen::Delta(delta) => {
                let mut show = viewer.take(delta);
                if show == Show::Gap {
                    let snapshot = client.snapshot(client.turn_of(message)).await;
                    show = snapshot.map_or(Show::Nothing, |snapshot| viewer.repair(&snapshot));
                }
                if let Some(event) = event(message, &show) {
                    emit(json, event)?;
                }
            }
            Seen::Reply(reply) if reply.answers.contains(message) => {
                print_reply(json, &reply)?;
                return Ok(match reply.kind {
                    _ if interrupted => Ended::Interrupted,
                    ReplyKind::Answered | ReplyKind::Notice | ReplyKind::Stopped | ReplyKind::Question => Ended::Well,
                    ReplyKind::Failed | ReplyKind::Refused => Ended::Badly,
                });
            }
            Seen::Reply(_) => {}
        }
    }
}

fn event(message: &MessageId, show: &Show) -> Option<Value> {
    let message = message.as_str();
    Some(match show {
        Show::Nothing | Show::Gap => return None,
        Show::Text(text) => json!({"event": "text", "message": message, "text": text}),
        Show::Restart => json!({"event": "restart", "message": message}),
        Show::Status(activity) => {
            let (name, detail) = match activity {
                Activity::Thinking => ("thinking", ""),
                Activity::ToolStarted { tool } => ("tool_start", tool.as_str()),
                Activity::ToolFinished { tool } => ("tool_result", tool.as_str()),
                Activity::Retrying { detail } => ("retrying", detail.as_str()),
                Activity::Resuming => ("resuming", ""),
                Activity::ToolProgressed { text } => ("tool_progress", text.as_str()),
            };
            json!({"event": "status", "message": message, "activity": name, "detail": detail})
        }
    })
}

fn print_reply(as_json: bool, reply: &Reply) -> anyhow::Result<()> {
    let kind = format!("{:?}", reply.kind).to_lowercase();
    if as_json {
        return emit(
            true,
            json!({
                "event": "reply", "kind": kind, "text": reply.text, "turn": reply.turn.to_string(),
                "answers": reply.answers.iter().map(MessageId::as_str).collect::<Vec<_>>(),
                "notices": reply.notices, "tier": reply.tier.as_str(), "tool_calls": reply.tool_calls,
                "asks": reply.asks.map(|asks| format!("{asks:?}").to_lowercase()),
                "usage": {"input_tokens": reply.usage.input_tokens, "output_tokens": reply.usage.output_tokens},
            }),
        );
    }
    for notice in &reply.notices {
        eprintln!("({notice})");
    }
    let mut out = std::io::stdout().lock();
    // A file gets the text as it is; a terminal must not obey it.
    let shown = match out.is_terminal() {
        true => writeln!(out, "{}", without_controls(&reply.text)),
        false => writeln!(out, "{}", reply.text),
    };
    Ok(written(shown.and_then(|()| out.flush()))?)
}

fn refuse(as_json: bool, message: Option<&MessageId>, why: &str) -> anyhow::Result<()> {
    if as_json {
        return emit(true, json!({"event": "error", "message": message.map(MessageId::as_str), "error": why}));
    }
    eprintln!("clara: {why}");
    Ok(())
}

/// Prints one event of the JSON form.
fn emit(as_json: bool, event: Value) -> anyhow::Result<()> {
    if as_json {
        let mut out = std::io::stdout().lock();
        written(writeln!(out, "{event}").and_then(|()| out.flush()))?;
    }
    Ok(())
}

/// Reads one line, however long it is, and keeps no more than may be sent.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Line>> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut length = 0;
    loop {
        let chunk = input.fill_buf().await?;
        if chunk.is_empty() {
            if length == 0 {
                return Ok(None);
            }
            break;
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(chunk.len());
        let room = (TEXT_BYTES + 1).saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..taken.min(room)]);
        length += taken + usize::from(end.is_some());
        let used = taken + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            length -= 1;
            break;
        }
    }
    if length > TEXT_BYTES {
        return Ok(Some(Line::Bad(format!("the message has {length} bytes; the limit is {TEXT_BYTES}"))));
    }
    Ok(Some(match String::from_utf8(bytes) {
        Ok(text) => Line::Text(text),
        Err(_) => Line::Bad("it is not valid UTF-8".to_owned()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8]) -> Vec<String> {
        let mut input = BufReader::with_capacity(7, input);
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).await.unwrap() {
            lines.push(match line {
                Line::Text(text) => text,
                Line::Bad(why) => format!("bad: {why}"),
            });
        }
        lines
    }

    #[tokio::test]
    async fn lines_are_read_whatever_they_hold() {
        assert_eq!(lines(b"one\n\ntwo three four five\nlast").await, ["one", "", "two three four five", "last"]);
        assert_eq!(lines(b"").await, Vec::<String>::new());
        assert_eq!(lines(b"ok\n\xff\xfe\nok\n").await, ["ok", "bad: it is not valid UTF-8", "ok"]);
        let mut long = vec![b'x'; 1 << 20];
        long.extend_from_slice(b"\nafter\n");
        assert_eq!(lines(&long).await, ["bad: the message has 1048576 bytes; the limit is 65536", "after"]);
    }
}
