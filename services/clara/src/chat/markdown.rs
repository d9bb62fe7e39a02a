//! Rendering markdown as it streams.
//!
//! The line being written is shown plain, so that every word appears at once;
//! when it is complete it is drawn again, rendered. Tables wait for their end,
//! because their columns depend on all rows.

use std::io::{self, Write};

use crossterm::cursor::{MoveToColumn, MoveUp};
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType};
use termimad::MadSkin;
use unicode_width::UnicodeWidthStr;

/// Where rendered text goes, and how wide it is.
pub(crate) struct Markdown<W> {
    out: W,
    skin: MadSkin,
    width: usize,
    /// The line being written, as shown.
    line: String,
    /// Rows of a table that has not ended.
    table: String,
    in_code: bool,
}

impl<W: Write> Markdown<W> {
    pub(crate) fn new(out: W, width: usize, colours: bool) -> Self {
        let skin = if colours { MadSkin::default() } else { MadSkin::no_style() };
        Self { out, skin, width: width.max(20), line: String::new(), table: String::new(), in_code: false }
    }

    /// Takes more text in.
    pub(crate) fn push(&mut self, text: &str) -> io::Result<()> {
        for piece in text.split_inclusive('\n') {
            let (words, ends) = match piece.strip_suffix('\n') {
                Some(words) => (words, true),
                None => (piece, false),
            };
            self.line.push_str(words);
            if ends {
                self.end_line()?;
            } else if !words.is_empty() {
                self.out.write_all(clean(words).as_bytes())?;
            }
        }
        self.out.flush()
    }

    /// Ends the text: what is still plain is rendered.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        self.end_table()?;
        self.in_code = false;
        self.out.flush()
    }

    fn end_line(&mut self) -> io::Result<()> {
        let line = clean(&std::mem::take(&mut self.line));
        self.take_back(&line)?;
        if line.trim_start().starts_with("```") {
            self.end_table()?;
            self.in_code = !self.in_code;
            return Ok(());
        }
        if self.in_code {
            return writeln!(self.out, "    {line}");
        }
        if line.trim_start().starts_with('|') {
            self.table.push_str(&line);
            self.table.push('\n');
            return Ok(());
        }
        self.end_table()?;
        if line.trim().is_empty() {
            return writeln!(self.out);
        }
        self.render(&line)
    }

    fn end_table(&mut self) -> io::Result<()> {
        let table = std::mem::take(&mut self.table);
        if table.is_empty() { Ok(()) } else { self.render(&table) }
    }

    fn render(&mut self, markdown: &str) -> io::Result<()> {
        let text = self.skin.text(markdown, Some(self.width)).to_string();
        write!(self.out, "{}", text.trim_end_matches('\n'))?;
        writeln!(self.out)
    }

    /// Takes the plain line off the screen again.
    fn take_back(&mut self, line: &str) -> io::Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        let rows = line.width().saturating_sub(1) / self.width;
        if rows > 0 {
            queue!(self.out, MoveUp(u16::try_from(rows).unwrap_or(u16::MAX)))?;
        }
        queue!(self.out, MoveToColumn(0), Clear(ClearType::FromCursorDown))
    }
}

/// What a terminal would obey is taken out: the text comes from a model.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stays on a screen of this width, escapes obeyed.
    fn screen(pieces: &[&str], width: usize) -> String {
        let mut out = Vec::new();
        let mut markdown = Markdown::new(&mut out, width, false);
        for piece in pieces {
            markdown.push(piece).unwrap();
        }
        markdown.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        let (mut rows, mut row, mut column) = (vec![Vec::<char>::new()], 0usize, 0usize);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\u{1b}' => {
                    chars.next();
                    let mut number = String::new();
                    let command = loop {
                        match chars.next().unwrap() {
                            digit if digit.is_ascii_digit() => number.push(digit),
                            command => break command,
                        }
                    };
                    let number: usize = number.parse().unwrap_or(1);
                    match command {
                        'A' => row -= number,
                        'G' => column = number - 1,
                        'J' => {
                            rows.truncate(row + 1);
                            rows[row].truncate(column);
                        }
                        other => panic!("unexpected escape {other}"),
                    }
                }
                '\n' => {
                    (row, column) = (row + 1, 0);
                    if rows.len() == row {
                        rows.push(Vec::new());
                    }
                }
                c => {
                    if column == width {
                        (row, column) = (row + 1, 0);
                        if rows.len() == row {
                            rows.push(Vec::new());
                        }
                    }
                    let length = column.max(rows[row].len());
                    rows[row].resize(length, ' ');
                    rows[row].truncate(column);
                    rows[row].push(c);
                    column += 1;
                }
            }
        }
        rows.iter()
            .map(|row| row.iter().collect::<String>().trim_end().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
            .trim_end()
            .to_owned()
    }

    #[test]
    fn words_appear_at_once_and_lines_are_rendered() {
        assert_eq!(screen(&["**bo", "ld** and", " plain\n", "next"], 40), "bold and plain\nnext");
    }

    #[test]
    fn long_lines_are_taken_back_whole() {
        let words = "word ".repeat(20);
        let text = screen(&[words.as_str(), "\nend\n"], 30);
        assert_eq!(text.matches("word").count(), 20, "{text}");
        assert!(text.ends_with("end"), "{text}");
    }

    #[test]
    fn code_is_left_alone_and_escapes_are_taken_out() {
        assert_eq!(
            screen(&["```rust\nlet **x** = 1;\n```\n", "\u{1b}[31mred\u{7}\n"], 40),
            "    let **x** = 1;\n[31mred"
        );
    }

    #[test]
    fn tables_wait_for_their_end() {
        let text = screen(&["|a|b|\n|-|-|\n|1|22", "2|\n", "\nafter\n"], 40);
        assert!(text.contains("222") && text.ends_with("after"), "{text}");
        assert!(!text.contains("|1|"), "{text}");
    }
}
