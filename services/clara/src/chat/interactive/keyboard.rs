//! The keyboard: lines that people edit, with a history.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Context;
use reedline::{DefaultPrompt, DefaultPromptSegment, ExternalPrinter, FileBackedHistory, Reedline, Signal};
use tokio::sync::mpsc;

/// Lines of history that are kept.
const HISTORY: usize = 2000;

/// What the keyboard gave.
pub(super) enum Typed {
    Line(String),
    Interrupt,
    End,
}

pub(super) type Keyboard = (SyncSender<()>, mpsc::Receiver<Typed>, SyncSender<String>);

/// Reads lines on a thread of its own: an editor blocks. One line is read for
/// every token sent; the last sender prints above the line being edited.
pub(super) fn keyboard(history: PathBuf) -> anyhow::Result<Keyboard> {
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
