//! Settings, and whether they can work.

use std::process::ExitCode;

use model::ModelConfig;
use serde_json::json;
use service_kit::run::EXIT_CONFIG;
use service_kit::settings::{Fault, Origin, Settings};

use crate::cli::ConfigCommand;

pub(super) fn run(settings: &Settings, what: &ConfigCommand, json: bool) -> ExitCode {
    match what {
        ConfigCommand::Show { set } => show(settings, *set, json),
        ConfigCommand::Check => check(settings, json),
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

fn check(settings: &Settings, json: bool) -> ExitCode {
    let models = ModelConfig::from_settings(settings);
    if let Err(fault) = models {
        return report(&[fault], json);
    }
    for line in settings.unknown() {
        eprintln!("warning: {line}");
    }
    report(&[], json)
}

/// Answers `config check` when the configuration could not even be read.
pub(crate) fn show_faults(what: &ConfigCommand, json: bool, faults: &[Fault]) -> ExitCode {
    if let ConfigCommand::Show { .. } = what {
        eprintln!("the configuration cannot work; nothing is shown until it does:");
    }
    report(faults, json)
}

fn report(faults: &[Fault], json: bool) -> ExitCode {
    if json {
        let list: Vec<_> = faults
            .iter()
            .map(|fault| json!({"variable": fault.variable, "value": fault.value, "remedy": fault.remedy}))
            .collect();
        println!("{}", json!({"ok": faults.is_empty(), "faults": list}));
    } else if faults.is_empty() {
        println!("The configuration can work.");
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
