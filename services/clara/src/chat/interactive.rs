//! For people: line editing, streaming, a line that says what she is doing.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;
use crossterm::cursor::MoveToColumn;
use crossterm::execute;
use crossterm::style::Stylize;
use crossterm::terminal::{self, Clear, ClearType};
use domain::ids::MessageId;
use domain::message::without_controls;
use domain::turn::{Reply, ReplyKind};
use model::ModelConfig;
use proto::terminal::Saying;
use reedline::{DefaultPrompt, DefaultPromptSegment, ExternalPrinter, FileBackedHistory, Reedline, Signal};
use service_kit::settings::Settings;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::{Client, Own, Seen, Spoken};
use super::live::{Show, Viewer, in_words};
use super::markdown::Markdown;
use super::{HELP, saying};

/// Lines of history that are kept.
const HISTORY: usize = 2000;
/// How often the status line moves.
const TICK: Duration = Duration::from_millis(120);
const SPINNER: [char; 8] = ['⣾', '⣽', '⣻', '⢿', '⡿', '⣟', '⣯', '⣷'];

/// What the keyboard gave.
enum Typed {
    Line(String),
    Interrupt,
    End,
}

/// What is done after an answer.
enum After {
    GoOn,
    /// The answer was stopped by Ctrl-C: the next one leaves.
    Stopped,
    Leave,
}

struct Screen {
    colours: bool,
    name: String,
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
    // A note of our own stops; their late notices are not shown.
    let mut stops: Vec<MessageId> = Vec::new();
    let mut warned = false;
    loop {
        ask.send(()).context("read the keyboard")?;
        let line = loop {
            tokio::select! {
                line = typed.recv() => break line.unwrap_or(Typed::End),
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
                crate::commands::run_status(settings, false).await?;
                continue;
            }
            "quit" | "exit" => break,
            own => match client.own(settings, own).await {
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
        match client.say(what).await? {
            Spoken::Refused(because) => println!("{}", screen.bad(&because)),
            Spoken::Accepted(message) => match answer(&mut client, &message, timeout, &screen, &mut stops).await? {
                After::GoOn => {}
                After::Stopped => warned = true,
                After::Leave => break,
            },
        }
    }
    println!("Goodbye. What was not answered yet will be here when you come back.");
    Ok(ExitCode::SUCCESS)
}

type Keyboard = (SyncSender<()>, mpsc::Receiver<Typed>, SyncSender<String>);

/// Reads lines on a thread of its own: an editor blocks. One line is read for
/// every token sent; the last sender prints above the line being edited.
fn keyboard(history: std::path::PathBuf) -> anyhow::Result<Keyboard> {
    let (ask, asked) = sync_channel::<()>(1);
    let (tell, typed) = mpsc::channel(1);
    let printer = ExternalPrinter::new(64);
    let print = printer.sender();
    let history = FileBackedHistory::with_file(HISTORY, history).context("open the chat's history")?;
    std::thread::Builder::new()
        .name("keyboard".into())
        .spawn(move || {
            let mut editor = Reedline::create().with_history(Box::new(history)).with_external_printer(printer);
            let prompt = DefaultPrompt::new(DefaultPromptSegment::Basic("you".into()), DefaultPromptSegment::Empty);
            while asked.recv().is_ok() {
                let line = match editor.read_line(&prompt) {
                    Ok(Signal::Success(line)) => {
                        // At once: the thread may not live to its end. A history
                        // that cannot be written is no reason to stop talking.
                        let _ = editor.sync_history();
                        Typed::Line(line)
                    }
                    Ok(Signal::CtrlC) => Typed::Interrupt,
                    Ok(_) | Err(_) => Typed::End,
                };
                if tell.blocking_send(line).is_err() {
                    return;
                }
            }
        })
        .context("start the keyboard's thread")?;
    Ok((ask, typed, print))
}

/// Shows the answer to a message as it comes. Ctrl-C stops it, twice leaves.
async fn answer(
    client: &mut Client,
    message: &MessageId,
    timeout: Duration,
    screen: &Screen,
    stops: &mut Vec<MessageId>,
) -> anyhow::Result<After> {
    let turn = client.turn_of(message);
    let mut viewer = Viewer::new(turn);
    let mut markdown = screen.markdown();
    let mut doing = Doing::new(screen.colours);
    let mut tick = tokio::time::interval(TICK);
    let deadline = Instant::now() + timeout;
    // One listener for the whole answer: it keeps a signal that comes while
    // something else is awaited.
    let mut interrupted = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let mut interrupts = 0;
    loop {
        let seen = tokio::select! {
            seen = client.next() => seen?,
            _ = tick.tick() => {
                doing.draw()?;
                continue;
            }
            _ = interrupted.recv() => {
                interrupts += 1;
                if interrupts > 1 {
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
                return Ok(if interrupts > 0 { After::Stopped } else { After::GoOn });
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

impl Screen {
    fn markdown(&self) -> Markdown<std::io::Stdout> {
        let width = terminal::size().map_or(80, |(columns, _)| usize::from(columns));
        Markdown::new(stdout(), width, self.colours)
    }

    fn bold(&self, text: &str) -> String {
        if self.colours { text.bold().to_string() } else { text.to_owned() }
    }

    fn dim(&self, text: &str) -> String {
        if self.colours { text.dim().to_string() } else { text.to_owned() }
    }

    fn bad(&self, text: &str) -> String {
        if self.colours { text.red().to_string() } else { text.to_owned() }
    }
}

/// The line that says what she is doing, and for how long.
struct Doing {
    words: String,
    since: Instant,
    frame: usize,
    shown: bool,
    speaking: bool,
    colours: bool,
}

impl Doing {
    fn new(colours: bool) -> Self {
        Self { words: "reading".into(), since: Instant::now(), frame: 0, shown: false, speaking: false, colours }
    }

    fn says(&mut self, words: &str) {
        self.words = words.to_owned();
        self.since = Instant::now();
        self.speaking = false;
    }

    /// Text is being written: the line goes.
    fn quiet(&mut self) -> std::io::Result<()> {
        self.speaking = true;
        self.clear()
    }

    fn draw(&mut self) -> std::io::Result<()> {
        if self.speaking {
            return Ok(());
        }
        self.frame += 1;
        let line =
            format!("{} {} … {} s", SPINNER[self.frame % SPINNER.len()], self.words, self.since.elapsed().as_secs());
        let width = terminal::size().map_or(80, |(columns, _)| usize::from(columns));
        let line: String = line.chars().take(width.saturating_sub(1)).collect();
        execute!(stdout(), MoveToColumn(0), Clear(ClearType::CurrentLine))?;
        write!(stdout(), "{}", if self.colours { line.dim().to_string() } else { line })?;
        self.shown = true;
        stdout().flush()
    }

    fn clear(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.shown) {
            execute!(stdout(), MoveToColumn(0), Clear(ClearType::CurrentLine))?;
        }
        Ok(())
    }
}
