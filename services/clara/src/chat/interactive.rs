//! For people: a conversation at a terminal, answers as they come, and Ctrl-C.

mod keyboard; // Reads lines.
mod screen; // Writes them, and says what she is doing.

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use domain::ids::MessageId;
use domain::message::without_controls;
use domain::turn::{Reply, ReplyKind};
use model::ModelConfig;
use proto::terminal::Saying;
use service_kit::settings::Settings;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::Instant;

use self::keyboard::{Typed, keyboard};
use self::screen::{Doing, Screen};
use super::client::{Client, Own, Seen, Spoken};
use super::live::{Show, Viewer, in_words};
use super::markdown::Markdown;
use super::{HELP, saying};

/// How often the status line moves.
const TICK: Duration = Duration::from_millis(120);

/// What is done after an answer.
enum After {
    GoOn,
    /// The answer was stopped by Ctrl-C: the next one leaves.
    Stopped,
    Leave,
}

pub(super) async fn run(
    mut client: Client,
    settings: &Settings,
    running_model: Option<String>,
    timeout: Duration,
) -> anyhow::Result<ExitCode> {
    let screen = Screen {
        colours: settings.optional("NO_COLOR").is_none() && stdout().is_terminal(),
        name: settings.text("BOT_NAME"),
    };
    let own = ModelConfig::from_settings(settings).map_or("unknown", |config| config.name).to_owned();
    let model = running_model.unwrap_or_else(|| own.clone());
    println!("{} is here (model: {model}). !help shows what you can type.", screen.bold(&screen.name));
    if model != own {
        let words = format!(
            "(She was started with other settings; yours say {own}. `clara down`, then chat again, applies them.)"
        );
        println!("{}", screen.dim(&words));
    }
    let history = settings.data_dir().join("chat_history");
    let (ask, mut typed, printer) = keyboard(history)?;
    // One listener for the whole conversation: it keeps a signal that comes while something else is
    // awaited, and after the first the system's own way of ending is gone.
    let mut interrupts = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    // A note of our own stops; their late notices are not shown.
    let mut stops: Vec<MessageId> = Vec::new();
    let mut warned = false;
    // A line that was asked for and not typed yet: an interrupt from elsewhere leaves it asked for.
    let mut is_asked = false;
    loop {
        if !is_asked {
            ask.send(()).context("read the keyboard")?;
            is_asked = true;
        }
        let line = loop {
            tokio::select! {
                line = typed.recv() => {
                    is_asked = false;
                    break line.unwrap_or(Typed::End);
                }
                _ = interrupts.recv() => break Typed::Interrupt,
                seen = client.next() => {
                    if let Seen::Reply(reply) = seen?
                        && !reply.answers.iter().all(|answered| stops.contains(answered))
                    {
                        // Asked elsewhere in this conversation. A full printer drops it.
                        let words = without_controls(&reply.text);
                        let _ = printer.try_send(format!("{} {words}", screen.dim(&format!("{}:", screen.name))));
                    }
                }
            }
        };
        let text = match line {
            Typed::End => break,
            Typed::Interrupt if warned => break,
            Typed::Interrupt => {
                warned = true;
                println!("Nothing is running. Ctrl-C again, or Ctrl-D, leaves.");
                continue;
            }
            Typed::Line(text) => text,
        };
        warned = false;
        let what = match text.trim() {
            "" => continue,
            "!help" | "/help" => {
                println!("{HELP}");
                continue;
            }
            "!status" => {
                tokio::select! {
                    shown = crate::commands::run_status(settings, false) => drop(shown?),
                    _ = interrupts.recv() => println!("{}", screen.bad("Interrupted.")),
                }
                continue;
            }
            "quit" | "exit" => break,
            own => match tokio::select! {
                done = client.own(settings, own) => done,
                _ = interrupts.recv() => Some(Err("Interrupted; it may have been done.".to_owned())),
            } {
                Some(Ok(Own::Done { text, .. })) => {
                    println!("{}", without_controls(&text));
                    continue;
                }
                Some(Ok(Own::Say(what))) => what,
                Some(Err(why)) => {
                    println!("{}", screen.bad(&without_controls(&why)));
                    continue;
                }
                None => match saying(text) {
                    Ok(what) => what,
                    Err(why) => {
                        println!("{}", screen.bad(&why));
                        continue;
                    }
                },
            },
        };
        let said = tokio::select! {
            said = client.say(what) => said,
            _ = interrupts.recv() => Ok(Spoken::Refused("Interrupted; it may have been heard.".to_owned())),
        };
        match said {
            Ok(Spoken::Refused(because)) => println!("{}", screen.bad(&because)),
            // She may be back for the next one.
            Err(err) => println!("{}", screen.bad(&format!("{err:#}"))),
            Ok(Spoken::Accepted(message)) => {
                match answer(&mut client, &message, timeout, &screen, &mut stops, &mut interrupts).await? {
                    After::GoOn => {}
                    After::Stopped => warned = true,
                    After::Leave => break,
                }
            }
        }
    }
    println!("Goodbye. What was not answered yet will be here when you come back.");
    Ok(ExitCode::SUCCESS)
}

/// Shows the answer to a message as it comes. Ctrl-C stops it, twice leaves.
async fn answer(
    client: &mut Client,
    message: &MessageId,
    timeout: Duration,
    screen: &Screen,
    stops: &mut Vec<MessageId>,
    interrupts: &mut SignalStream,
) -> anyhow::Result<After> {
    let turn = client.turn_of(message);
    let mut viewer = Viewer::new(turn);
    let mut markdown = screen.markdown();
    let mut doing = Doing::new(screen.colours);
    let mut tick = tokio::time::interval(TICK);
    let deadline = Instant::now() + timeout;
    let mut interrupted = 0;
    loop {
        let seen = tokio::select! {
            seen = client.next() => seen?,
            _ = tick.tick() => {
                doing.draw()?;
                continue;
            }
            _ = interrupts.recv() => {
                interrupted += 1;
                if interrupted > 1 {
                    doing.clear()?;
                    return Ok(After::Leave);
                }
                doing.says("stopping (Ctrl-C again leaves)");
                if let Spoken::Accepted(stop) = client.say(Saying::Stop).await? {
                    stops.push(stop);
                }
                continue;
            }
            () = tokio::time::sleep_until(deadline) => {
                doing.clear()?;
                println!("{}", screen.bad("This takes very long. The answer will still come; `clara turn list` shows it."));
                return Ok(After::GoOn);
            }
        };
        match seen {
            Seen::Delta(delta) => {
                let mut show = viewer.take(delta);
                if show == Show::Gap {
                    show = client.snapshot(turn).await.map_or(Show::Nothing, |snapshot| viewer.repair(&snapshot));
                }
                match show {
                    Show::Nothing | Show::Gap => {}
                    Show::Text(text) => {
                        doing.quiet()?;
                        markdown.push(&text)?;
                    }
                    Show::Restart => {
                        markdown.finish()?;
                        doing.says("starting the answer anew");
                    }
                    Show::Status(activity) => {
                        markdown.finish()?;
                        doing.says(&in_words(&activity));
                    }
                }
            }
            Seen::Reply(reply) if reply.answers.contains(message) => {
                doing.clear()?;
                finish(screen, &mut markdown, &viewer, &reply)?;
                return Ok(if interrupted > 0 { After::Stopped } else { After::GoOn });
            }
            Seen::Reply(_) => {}
        }
    }
}

/// Shows what of the reply was not shown while it streamed.
fn finish(
    screen: &Screen,
    markdown: &mut Markdown<std::io::Stdout>,
    viewer: &Viewer,
    reply: &Reply,
) -> anyhow::Result<()> {
    match reply.text.strip_prefix(viewer.text()) {
        Some(rest) if reply.kind == ReplyKind::Answered => markdown.push(rest)?,
        _ => {
            markdown.finish()?;
            match reply.kind {
                ReplyKind::Answered => markdown.push(&reply.text)?,
                ReplyKind::Failed | ReplyKind::Refused => println!("{}", screen.bad(&without_controls(&reply.text))),
                ReplyKind::Stopped | ReplyKind::Notice | ReplyKind::Question => {
                    println!("{}", screen.dim(&without_controls(&reply.text)))
                }
            }
        }
    }
    markdown.finish()?;
    for notice in &reply.notices {
        println!("{}", screen.dim(&format!("({notice})")));
    }
    Ok(())
}
