//! Taking memories along: as lines of JSON, out and in, and learning from a text.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use domain::memory::{FACTS, FactCommand, from_line, to_line};
use serde_json::json;

use super::{LONG, Memories, PATIENCE};

/// Largest file that is read, in bytes.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

impl Memories {
    pub(super) async fn export(&self) -> anyhow::Result<ExitCode> {
        let mut before = None;
        loop {
            let page = FactCommand::List { limit: FACTS as u32, before: before.take(), project: String::new() };
            let answer = self.ask(page, PATIENCE).await?;
            let Some(last) = answer.facts.last() else { return Ok(ExitCode::SUCCESS) };
            before = Some(last.id.clone());
            let mut out = std::io::stdout().lock();
            for fact in &answer.facts {
                crate::written(writeln!(out, "{}", to_line(fact)))?;
            }
        }
    }

    pub(super) async fn import(&self, file: &Path) -> anyhow::Result<ExitCode> {
        let text = read(file)?;
        let mut facts = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fact = from_line(line).map_err(anyhow::Error::msg).with_context(|| {
                format!("line {} is no memory as `memory export` prints it; nothing was stored", number + 1)
            })?;
            facts.push(fact);
        }
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        // The oldest first, as they came to be.
        facts.reverse();
        for some in facts.chunks(FACTS / 2) {
            let answer = self.ask(FactCommand::Import { facts: some.to_vec() }, LONG).await?;
            for count in answer.counts {
                *counts.entry(count.name).or_default() += count.value;
            }
        }
        self.verdicts(&counts);
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn bootstrap(&self, file: &Path, apply: bool) -> anyhow::Result<ExitCode> {
        let answer = self.ask(FactCommand::Learn { text: read(file)?, apply }, LONG).await?;
        answer.facts.iter().for_each(|fact| self.show(fact));
        self.verdicts(&answer.counts.into_iter().map(|count| (count.name, count.value)).collect());
        if !apply && !self.json {
            println!("Nothing was stored: say --apply to remember it.");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What the gate said of all that came.
    fn verdicts(&self, counts: &BTreeMap<String, u64>) {
        let of = |name: &str| counts.get(name).copied().unwrap_or(0);
        let (new, known, merged, replaced) = (of("add"), of("known"), of("merge"), of("supersede"));
        let (outdated, left_out) = (of("outdated"), of("left out"));
        if self.json {
            let verdicts = json!({
                "new": new, "known": known, "merged": merged, "replaced": replaced, "outdated": outdated, "left_out": left_out,
            });
            println!("{verdicts}");
            return;
        }
        println!("{new} new, {known} known, {merged} merged, {replaced} in place of what is no longer true");
        if outdated > 0 {
            println!("{outdated} left out: what is remembered is newer and says otherwise");
        }
        if left_out > 0 {
            println!("{left_out} left out: {FACTS} are the most at once; split the text");
        }
    }
}

/// The text of a file, or of the standard input.
fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?),
    };
    source.take(FILE_BYTES + 1).read_to_string(&mut text).with_context(|| format!("read {}", file.display()))?;
    if text.len() as u64 > FILE_BYTES {
        bail!("{} is larger than {} MB", file.display(), FILE_BYTES / 1024 / 1024);
    }
    Ok(text)
}
