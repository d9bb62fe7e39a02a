//! The house rules that a test can hold. Prose did not hold elsewhere.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// Lines of a file before its tests, at most.
    const LINES: usize = 500;
    /// Lines of a `main.rs`, at most.
    const MAIN_LINES: usize = 60;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// Every Rust file with its path from the root and its text.
    fn files() -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders: Vec<PathBuf> =
            ["crates", "services", "integration-tests", "tidy"].iter().map(|name| root().join(name)).collect();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(root()).unwrap().display().to_string();
                    found.push((name, std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        assert!(found.len() > 50, "the files were found");
        found
    }

    /// Names every file for which `fault` says something.
    #[track_caller]
    fn check(fault: impl Fn(&str, &str) -> Option<String>) {
        let faults: Vec<String> =
            files().iter().filter_map(|(name, text)| fault(name, text).map(|why| format!("{name}: {why}"))).collect();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }

    fn before_tests(text: &str) -> &str {
        text.split("\n#[cfg(test)]").next().unwrap_or(text)
    }

    #[test]
    fn files_say_what_they_are_for() {
        check(|_, text| (!text.starts_with("//! ")).then(|| "does not open with `//!`".into()));
    }

    #[test]
    fn files_stay_small() {
        check(|name, text| {
            let lines = before_tests(text).lines().count();
            let limit = if name.ends_with("/main.rs") && name.starts_with("services") { MAIN_LINES } else { LINES };
            (lines > limit).then(|| format!("{lines} lines, and {limit} are the limit"))
        });
    }

    /// `docs/attacks.md` names a test for each attack, and each is there.
    #[test]
    fn attacks_are_tried_by_the_tests_that_are_named() {
        let page = std::fs::read_to_string(root().join("docs/attacks.md")).unwrap();
        let all: String = files().into_iter().map(|(_, text)| text).collect();
        let mut rows = Vec::new();
        for row in page.lines().filter(|row| row.starts_with("| S")) {
            let tests: Vec<&str> = row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect();
            assert!(!tests.is_empty(), "{row}");
            for test in tests {
                assert!(all.contains(&format!("fn {test}(")), "{test} is not there: {row}");
            }
            rows.push(row.split_whitespace().nth(1).unwrap().to_owned());
        }
        let wanted: Vec<String> = (10..=22).chain(27..=31).map(|number| format!("S{number}")).collect();
        let missing: Vec<&String> = wanted.iter().filter(|row| !rows.contains(row)).collect();
        assert!(missing.is_empty(), "{missing:?} have no row");
    }

    #[test]
    fn modules_stand_beside_their_folder() {
        check(|name, _| name.ends_with("/mod.rs").then(|| "is a mod.rs".into()));
    }

    #[test]
    fn libraries_stay_in_their_rooms() {
        for (library, rooms) in [
            ("async_nats::", ["crates/bus/"].as_slice()),
            ("sqlx::", &["crates/store/"]),
            ("genai::", &["crates/model/", "crates/embed/"]),
            ("candle_core::", &["crates/embed/"]),
            ("use rmcp::", &["services/tool-runner/src/adapters/", "services/clara/src/mcp_server"]),
            (
                "use reqwest::",
                &[
                    "services/tool-runner/src/web/",
                    "services/tool-runner/src/adapters/rmcp",
                    "services/tool-runner/src/adapters/incus/",
                    "crates/testkit/",
                ],
            ),
            ("\"clara.v1.", &["crates/bus/"]),
        ] {
            check(|name, text| {
                let outside = !rooms.iter().any(|room| name.starts_with(room))
                    && !name.starts_with("tidy/")
                    && before_tests(text).contains(library);
                let test = name.starts_with("integration-tests/");
                (outside && !test).then(|| format!("{library} belongs into {}", rooms.join(" or ")))
            });
        }
    }

    #[test]
    fn domain_is_pure() {
        check(|name, text| {
            let impure = ["async fn", "SystemTime", "Instant::now", "std::fs", "std::net", "tokio"];
            let found = impure.iter().find(|word| before_tests(text).contains(**word));
            found.filter(|_| name.starts_with("crates/domain/")).map(|word| format!("`{word}` is not pure"))
        });
    }

    #[test]
    fn parents_decide_what_a_failed_child_means() {
        check(|_, text| {
            let parent = before_tests(text).contains("spawn_linked(") && !text.contains("handle_supervisor_evt");
            parent.then(|| "spawns linked actors and leaves their end to the default".into())
        });
    }

    #[test]
    fn names_say_what_things_are() {
        check(|name, text| {
            let vague = ["Manager", "Helper", "Util"];
            let types =
                text.lines().filter(|line| ["struct ", "enum ", "trait "].iter().any(|word| line.contains(word)));
            let mut named = types.filter(|line| vague.iter().any(|word| line.contains(word)));
            named.next().filter(|_| !name.starts_with("tidy/")).map(|line| format!("a vague name: {}", line.trim()))
        });
    }

    #[test]
    fn map_names_every_room() {
        let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
        for group in ["crates", "services"] {
            for entry in std::fs::read_dir(root().join(group)).unwrap() {
                let room = format!("{group}/{}", entry.unwrap().file_name().to_string_lossy());
                assert!(map.contains(&room), "ARCHITECTURE.md does not name {room}");
            }
        }
    }

    #[test]
    fn services_do_not_depend_on_each_other() {
        let services: Vec<String> = std::fs::read_dir(root().join("services"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        for service in services.iter().filter(|service| *service != "clara") {
            let manifest = std::fs::read_to_string(root().join("services").join(service).join("Cargo.toml")).unwrap();
            for other in services.iter().filter(|other| *other != service) {
                assert!(!manifest.contains(&format!("\n{other}.workspace")), "{service} depends on {other}");
            }
        }
    }
}
