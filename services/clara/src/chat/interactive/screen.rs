//! The screen: colours, and the line that says what she is doing.

use std::io::{Write, stdout};

use crossterm::cursor::MoveToColumn;
use crossterm::execute;
use crossterm::style::Stylize;
use crossterm::terminal::{self, Clear, ClearType};
use tokio::time::Instant;

use crate::chat::markdown::Markdown;

const SPINNER: [char; 8] = ['⣾', '⣽', '⣻', '⢿', '⡿', '⣟', '⣯', '⣷'];

pub(super) struct Screen {
    pub(super) colours: bool,
    pub(super) name: String,
}

impl Screen {
    pub(super) fn markdown(&self) -> Markdown<std::io::Stdout> {
        let width = terminal::size().map_or(80, |(columns, _)| usize::from(columns));
        Markdown::new(stdout(), width, self.colours)
    }

    pub(super) fn bold(&self, text: &str) -> String {
        if self.colours { text.bold().to_string() } else { text.to_owned() }
    }

    pub(super) fn dim(&self, text: &str) -> String {
        if self.colours { text.dim().to_string() } else { text.to_owned() }
    }

    pub(super) fn bad(&self, text: &str) -> String {
        if self.colours { text.red().to_string() } else { text.to_owned() }
    }
}

/// The line that says what she is doing, and for how long.
pub(super) struct Doing {
    words: String,
    since: Instant,
    frame: usize,
    shown: bool,
    speaking: bool,
    colours: bool,
}

impl Doing {
    pub(super) fn new(colours: bool) -> Self {
        Self { words: "reading".into(), since: Instant::now(), frame: 0, shown: false, speaking: false, colours }
    }

    pub(super) fn says(&mut self, words: &str) {
        self.words = words.to_owned();
        self.since = Instant::now();
        self.speaking = false;
    }

    /// Text is being written: the line goes.
    pub(super) fn quiet(&mut self) -> std::io::Result<()> {
        self.speaking = true;
        self.clear()
    }

    pub(super) fn draw(&mut self) -> std::io::Result<()> {
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

    pub(super) fn clear(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.shown) {
            execute!(stdout(), MoveToColumn(0), Clear(ClearType::CurrentLine))?;
        }
        Ok(())
    }
}
