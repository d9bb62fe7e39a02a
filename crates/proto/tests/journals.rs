//! Journals that older builds wrote are read for ever: folded, decided on, and
//! every question in them rebuilt as it was put.
//!
//! `fixtures/journals/<version>/` holds what that version recorded (see
//! `integration-tests/tests/all/time_travel.rs`). A file is never changed.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::path::{Path, PathBuf};

use domain::decide::{Next, TurnLimits, decide};
use domain::journal::{Record, TurnState};
use domain::replay::{Asked, questions};
use expect_test::expect_file;
use proto::Wire;

fn read(file: &Path) -> Vec<Record> {
    let bytes = std::fs::read(file).unwrap();
    let (mut records, mut rest) = (Vec::new(), &bytes[..]);
    while !rest.is_empty() {
        let (length, after) = rest.split_at(4);
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        records.push(Record::from_wire(&after[..length]).unwrap());
        rest = &after[length..];
    }
    records
}

fn recorded() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/journals");
    let versions = std::fs::read_dir(root).unwrap().map(|version| version.unwrap().path());
    let files = versions.flat_map(|version| std::fs::read_dir(version).unwrap().map(|file| file.unwrap().path()));
    let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "journal")).collect();
    files.sort();
    files
}

#[test]
fn every_recorded_journal_still_means_what_it_meant() {
    let files = recorded();
    assert!(files.len() >= 4, "the journals of 0.1.0 are there");
    for file in files {
        let records = read(&file);
        let state = TurnState::fold(&records);
        let asked = questions(&records);
        assert!(asked.iter().all(Asked::is_exact), "{}: a question is not rebuilt as it was put", file.display());
        let limits = TurnLimits { steps: 75, calls_per_step: 32, idle_claims: 5 };
        assert!(matches!(decide(&state, &limits), Next::Deliver(_)), "{}", file.display());
        let reply = state.reply.clone().unwrap();
        let calls: Vec<String> =
            state.calls().map(|call| format!("{} → {:?}", call.name, call.outcome.as_ref().unwrap().kind)).collect();
        let meaning = format!(
            "reply: {:?}\ntext: {}\nanswers: {}\nsteps: {}\ncalls: {}\nhashes: {}\n",
            reply.kind,
            reply.text,
            reply.answers.len(),
            state.steps.len(),
            calls.join(", "),
            asked.iter().map(|asked| asked.rebuilt_hash.as_str()).collect::<Vec<_>>().join(" ")
        );
        expect_file![file.with_extension("txt")].assert_eq(&meaning);
    }
}
