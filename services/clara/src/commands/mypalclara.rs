//! Brings in what a MyPalClara knows of people.

use std::process::ExitCode;

use anyhow::bail;
use memory::import::{self, Imported, Source};
use serde_json::json;
use service_kit::settings::Settings;

use crate::cli::MyPalClara;

pub(super) async fn run(settings: &Settings, from: MyPalClara, json: bool) -> anyhow::Result<ExitCode> {
    let MyPalClara { database, qdrant, pgvector, collection, apply } = from;
    if database.is_none() && qdrant.is_none() && pgvector.is_none() {
        bail!("say where it keeps what it knows: --database, and --qdrant or --pgvector");
    }
    let qdrant = qdrant.map(|url| (url, settings.secret("QDRANT_API_KEY")));
    let source = Source { database, qdrant, pgvector, collection };
    let told = |progress: &str| {
        if !json {
            eprintln!("{progress}");
        }
    };
    let imported = import::mypalclara(settings, &source, apply, told).await?;
    let Imported { memories, messages, reminders, linked_accounts, changes, known, left_out } = &imported;
    if json {
        let line = json!({
            "applied": apply, "memories": memories, "messages": messages, "reminders": reminders,
            "linked_accounts": linked_accounts, "changes": changes, "known": known, "left_out": left_out,
        });
        println!("{line}");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{memories} memories with {changes} changes, {messages} messages, {reminders} reminders, {linked_accounts} linked accounts"
    );
    if *known > 0 {
        println!("{known} were here already");
    }
    for (what, count) in left_out {
        println!("left out: {what} ({count})");
    }
    if !apply {
        println!("Nothing was stored: say --apply to bring it in. It can be run again; nothing comes twice.");
    }
    Ok(ExitCode::SUCCESS)
}
