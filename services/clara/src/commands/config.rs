//! Settings, and whether they can work.

use std::process::ExitCode;

use serde_json::json;
use service_kit::run::EXIT_CONFIG;
use service_kit::settings::{Fault, Origin, Settings};

use crate::cli::ConfigCommand;

/// Shows or checks what was read. Showing works with faults too: how else would
/// one see where a wrong value comes from?
pub(crate) fn run(settings: &Settings, faults: &[Fault], what: &ConfigCommand, json: bool) -> ExitCode {
    match what {
        ConfigCommand::Show { set } => show(settings, *set, json),
        ConfigCommand::Check => report(faults, &settings.unknown(), json),
    }
}

fn show(settings: &Settings, only_set: bool, json: bool) -> ExitCode {
    for shown in settings.show() {
        if only_set && shown.origin == Origin::Default {
            continue;
        }
        let (name, origin) = (shown.setting.name, shown.origin.to_string());
        if json {
            println!("{}", json!({"name": name, "value": shown.value, "origin": origin, "help": shown.setting.help}));
        } else {
            println!("{name}={}\n    {} [{origin}]", shown.value, shown.setting.help);
        }
    }
    ExitCode::SUCCESS
}

fn report(faults: &[Fault], warnings: &[String], json: bool) -> ExitCode {
    if json {
        let list: Vec<_> = faults
            .iter()
            .map(|fault| json!({"variable": fault.variable, "value": fault.value, "origin": fault.origin, "remedy": fault.remedy}))
            .collect();
        println!("{}", json!({"ok": faults.is_empty(), "faults": list, "warnings": warnings}));
    } else if faults.is_empty() {
        println!("The configuration can work.");
    }
    if !json {
        for warning in warnings {
            eprintln!("warning: {warning}");
        }
    }
    if faults.is_empty() {
        return ExitCode::SUCCESS;
    }
    if !json {
        for fault in faults {
            eprintln!("{fault}");
        }
    }
    ExitCode::from(EXIT_CONFIG)
}
