//! The configuration: environment, `.env` and `clara.toml`, read once.
//!
//! Every setting stands in the [`CATALOGUE`] with its kind, default and help;
//! reading checks all of them and reports every fault at once, each with the
//! variable, its value and the remedy. Secrets are named as such and are never
//! shown. Nothing else in the code reads the environment.

mod catalogue; // Every setting there is.
mod former; // What other systems had.
mod kind; // What a value must look like.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use domain::secret::KnownSecrets;
use secrecy::SecretString;

pub use catalogue::{CATALOGUE, Setting};
pub use kind::Kind;

/// Where a value came from, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Environment,
    DotEnv(PathBuf),
    Toml(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Environment => f.write_str("environment"),
            Origin::DotEnv(path) | Origin::Toml(path) => write!(f, "{}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where the value came from; empty when nobody gave one.
    pub origin: String,
    pub variable: String,
    /// The value as given; `***` for a secret.
    pub value: String,
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}: {}", self.variable, self.value, self.remedy)?;
        if self.origin.is_empty() { Ok(()) } else { write!(f, " [{}]", self.origin) }
    }
}

/// A setting as it stands, for showing.
#[derive(Debug, Clone)]
pub struct Shown {
    pub setting: &'static Setting,
    /// `***` for a secret that is set; empty for one that is not.
    pub value: String,
    pub origin: Origin,
}

/// The configuration as it stands. Checked: every value fits its kind.
#[derive(Clone)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
    unknown: Vec<(String, Option<&'static str>)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.show().iter().map(|shown| (shown.setting.name, shown.value.clone()))).finish()
    }
}

impl Settings {
    /// Reads the configuration; every fault at once.
    pub fn load() -> Result<Self, Vec<Fault>> {
        let (settings, faults) = Self::read();
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    /// Reads the environment, `.env` in the working folder, and `clara.toml`
    /// there or where `CLARA_CONFIG` says. With faults, the settings serve to
    /// find more of them, and nothing else.
    pub fn read() -> (Self, Vec<Fault>) {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut faults = Vec::new();
        let dotenv_path = PathBuf::from(".env");
        let dotenv = read_dotenv(&dotenv_path, &mut faults);
        let named = environment.get("CLARA_CONFIG").or(dotenv.get("CLARA_CONFIG")).map(PathBuf::from);
        let toml = match &named {
            Some(path) => read_toml(path, Missing::IsFault, &mut faults),
            None => read_toml(Path::new("clara.toml"), Missing::IsFine, &mut faults),
        };
        let toml_path = named.unwrap_or_else(|| PathBuf::from("clara.toml"));
        Self::from_layers(
            vec![
                (Origin::Environment, environment),
                (Origin::DotEnv(dotenv_path), dotenv),
                (Origin::Toml(toml_path), toml),
            ],
            faults,
        )
    }

    /// Reads from a map alone: for tests, and for processes that configure others.
    pub fn from_map<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<Fault>> {
        let given = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        // A home is what every process has.
        let values = std::iter::once(("HOME".to_owned(), "/nonexistent".to_owned())).chain(given).collect();
        let (settings, faults) = Self::from_layers(vec![(Origin::Environment, values)], Vec::new());
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    fn from_layers(layers: Vec<(Origin, BTreeMap<String, String>)>, mut faults: Vec<Fault>) -> (Self, Vec<Fault>) {
        let mut values = BTreeMap::new();
        for setting in CATALOGUE {
            // An empty value means "not set", so that a compose file can say `KEY=`.
            let given = layers.iter().find_map(|(origin, layer)| {
                let names = std::iter::once(&setting.name).chain(setting.aliases);
                names
                    .filter_map(|name| layer.get(*name))
                    .find(|value| !value.trim().is_empty())
                    .map(|value| (value.trim().to_owned(), origin.clone()))
            });
            let (value, origin) = given.unwrap_or_else(|| (setting.default.to_owned(), Origin::Default));
            if !value.is_empty()
                && let Err(remedy) = setting.kind.check(&value)
            {
                let (variable, value) = (setting.name.into(), setting.disguise(&value));
                faults.push(Fault { origin: origin.to_string(), variable, value, remedy });
            }
            values.insert(setting.name, (value, origin));
        }
        let unknown = layers
            .iter()
            .flat_map(|(_, layer)| layer.keys())
            .filter(|name| (name.starts_with("CLARA_") || former::is_former(name)) && !catalogue::knows(name))
            .map(|name| (name.clone(), catalogue::nearest(name)))
            .collect();
        let settings = Self { values, unknown };
        faults.extend(settings.cross_check());
        (settings, faults)
    }

    /// What is wrong with settings together, though each alone is well.
    fn cross_check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut missing = |variable: &str, remedy: &str| {
            let (origin, value) = (String::new(), String::new());
            faults.push(Fault { origin, variable: variable.into(), value, remedy: remedy.into() });
        };
        if ["CLARA_DATA_DIR", "XDG_DATA_HOME", "HOME"].iter().all(|name| self.optional(name).is_none()) {
            missing("CLARA_DATA_DIR", "name the data folder: there is no home folder to put it in");
        }
        match (self.optional("NATS_USER"), self.optional("NATS_PASSWORD")) {
            (Some(_), None) => missing("NATS_PASSWORD", "set it: NATS_USER is set"),
            (None, Some(_)) => missing("NATS_USER", "set it: NATS_PASSWORD is set"),
            _ => {}
        }
        faults
    }

    /// Logs a word on every `CLARA_…` variable that nobody reads.
    pub fn warn_unknown(&self) {
        for line in self.unknown() {
            tracing::warn!("{line}");
        }
    }

    /// A line for every `CLARA_…` variable that nobody reads.
    pub fn unknown(&self) -> Vec<String> {
        let line = |(name, nearest): &(String, Option<&str>)| match nearest {
            _ if former::is_former(name) => format!("{name} is known from MyPalClara and has no effect here"),
            Some(nearest) => format!("{name} is not a setting; did you mean {nearest}?"),
            None => format!("{name} is not a setting; `clara config show` lists all"),
        };
        self.unknown.iter().map(line).collect()
    }

    /// Every setting as it stands, in the catalogue's order, secrets hidden.
    pub fn show(&self) -> Vec<Shown> {
        let shown = |setting: &'static Setting| {
            let (value, origin) = self.values.get(setting.name)?;
            Some(Shown { setting, value: setting.disguise(value), origin: origin.clone() })
        };
        CATALOGUE.iter().filter_map(shown).collect()
    }

    /// The text of a setting; empty when it has none.
    pub fn text(&self, name: &str) -> String {
        debug_assert!(self.values.contains_key(name), "{name} is not in the catalogue");
        self.values.get(name).map(|(value, _)| value.clone()).unwrap_or_default()
    }

    /// Whether somebody set it, rather than the catalogue.
    pub fn is_given(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|(_, origin)| *origin != Origin::Default)
    }

    pub fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|value| !value.is_empty())
    }

    pub fn secret(&self, name: &str) -> Option<SecretString> {
        self.optional(name).map(SecretString::from)
    }

    /// Everything secret that somebody set, to be kept out of what leaves.
    pub fn secrets(&self) -> KnownSecrets {
        KnownSecrets::new(CATALOGUE.iter().flat_map(|known| known.kind.secrets(&self.text(known.name))))
    }

    /// The number of a setting; was checked when it was read.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_default()
    }

    pub fn flag(&self, name: &str) -> bool {
        kind::is_yes(&self.text(name))
    }

    /// A comma-separated list without empty items.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// `CLARA_DATA_DIR`, else `clara` under the XDG data folder.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(dir) = self.optional("CLARA_DATA_DIR") {
            return dir.into();
        }
        let base = self.optional("XDG_DATA_HOME").map(PathBuf::from);
        base.unwrap_or_else(|| PathBuf::from(self.text("HOME")).join(".local/share")).join("clara")
    }

    /// A copy with other values, for a process that starts services itself.
    pub fn with<'a>(&self, changes: impl IntoIterator<Item = (&'static str, &'a str)>) -> Self {
        let mut changed = self.clone();
        for (name, value) in changes {
            changed.values.insert(name, (value.to_owned(), Origin::Environment));
        }
        changed
    }
}

fn read_dotenv(path: &Path, faults: &mut Vec<Fault>) -> BTreeMap<String, String> {
    let Ok(lines) = dotenvy::from_path_iter(path) else { return BTreeMap::new() };
    lines
        .filter_map(|line| {
            line.map_err(|_| {
                faults.push(Fault {
                    origin: String::new(),
                    variable: path.display().to_string(),
                    value: String::new(),
                    remedy: "a line is not NAME=value; values with spaces or # need quotes".into(),
                });
            })
            .ok()
        })
        .collect()
}

enum Missing {
    IsFault,
    IsFine,
}

/// Tables flatten by underscore: `[openrouter] api_key` is `OPENROUTER_API_KEY`.
fn read_toml(path: &Path, missing: Missing, faults: &mut Vec<Fault>) -> BTreeMap<String, String> {
    let mut fault = |remedy: String| {
        faults.push(Fault {
            origin: String::new(),
            variable: "CLARA_CONFIG".into(),
            value: path.display().to_string(),
            remedy,
        });
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) => {
            if matches!(missing, Missing::IsFault) {
                fault(format!("cannot be read: {err}"));
            }
            return BTreeMap::new();
        }
    };
    match text.parse::<toml::Table>() {
        Ok(table) => {
            let mut values = BTreeMap::new();
            flatten("", &toml::Value::Table(table), &mut values);
            values
        }
        // The message alone: the excerpt it prints could hold a secret.
        Err(err) => {
            let line = err.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            fault(format!("is not valid TOML: {} (line {line})", err.message()));
            BTreeMap::new()
        }
    }
}

fn flatten(prefix: &str, value: &toml::Value, values: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let name = key.to_uppercase().replace('-', "_");
                flatten(&if prefix.is_empty() { name } else { format!("{prefix}_{name}") }, value, values);
            }
        }
        toml::Value::String(text) => drop(values.insert(prefix.to_owned(), text.clone())),
        toml::Value::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
            values.insert(prefix.to_owned(), items.join(","));
        }
        other => drop(values.insert(prefix.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_come_at_once_and_name_the_remedy() {
        let faults = Settings::from_map([
            ("GATEWAY_MAX_TOOL_ITERATIONS", "many"),
            ("LLM_PROVIDER", "oracle"),
            ("AUTO_TIER_SELECTION", "perhaps"),
            ("CLARA_HEALTH_ADDRESS", "nowhere"),
            ("DEFAULT_TIMEZONE", "Europe/Nowhere"),
            ("CLARA_LOG", "a=b=c"),
            ("BOT_PERSONALITY_FILE", "/nonexistent/persona"),
            ("NATS_USER", "clara"),
        ])
        .unwrap_err();
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 8, "{text:?}");
        assert!(
            text.iter().any(|line| line.contains("LLM_PROVIDER=\"oracle\"") && line.contains("anthropic")),
            "{text:?}"
        );
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let given =
            [("CLARA_DATA_DIRR", "/x"), ("CLARA_ZZZ", "1"), ("PATH", "/bin"), ("HOME", "/h"), ("TOOL_MODEL", "m")];
        let settings = Settings::from_map(given).unwrap();
        let lines = settings.unknown();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().any(|line| line.contains("TOOL_MODEL is known from MyPalClara")), "{lines:?}");
        assert!(lines[0].contains("did you mean CLARA_DATA_DIR?"), "{lines:?}");
    }

    #[test]
    fn secrets_are_known_wherever_they_stand_in_a_value() {
        let settings = Settings::from_map([
            ("CLARA_MCP_TOKENS", "ann=canary-of-ann-12345678, bob=canary-of-bob-12345678"),
            ("DATABASE_URL", "postgres://clara:canary-password@db.example.org:5432/clara"),
            ("NATS_TOKEN", "canary-token"),
        ]);
        let known = settings.unwrap().secrets();
        for canary in ["canary-of-ann-12345678", "canary-of-bob-12345678", "canary-password", "canary-token"] {
            assert!(known.are_in(&format!("look: {canary}.")), "{canary}");
        }
        assert!(!known.are_in("clara at db.example.org"));
    }

    #[test]
    fn secrets_are_never_shown() {
        let settings = Settings::from_map([("ANTHROPIC_API_KEY", "sk-canary"), ("NATS_TOKEN", "canary")]).unwrap();
        assert!(!format!("{settings:?}").contains("canary"));
        assert!(settings.show().iter().all(|shown| !shown.value.contains("canary")));
        assert!(settings.secret("NATS_TOKEN").is_some());
    }

    #[test]
    fn stronger_layers_win_and_empty_means_unset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clara.toml");
        std::fs::write(&path, "llm_provider = \"anthropic\"\n[anthropic]\napi_key = \"k\"\nmodel_low = \"small\"\n")
            .unwrap();
        let mut faults = Vec::new();
        let toml = read_toml(&path, Missing::IsFault, &mut faults);
        let environment = BTreeMap::from([
            ("ANTHROPIC_MODEL_LOW".to_owned(), "tiny".to_owned()),
            ("LLM_PROVIDER".to_owned(), String::new()),
            ("HOME".to_owned(), "/nonexistent".to_owned()),
        ]);
        let layers = vec![(Origin::Environment, environment), (Origin::Toml(path.clone()), toml)];
        let (settings, faults) = Settings::from_layers(layers, faults);
        assert_eq!(faults, []);
        assert_eq!(settings.text("ANTHROPIC_MODEL_LOW"), "tiny");
        assert_eq!(settings.text("LLM_PROVIDER"), "anthropic");
        let shown = settings.show();
        let provider = shown.iter().find(|shown| shown.setting.name == "LLM_PROVIDER").unwrap();
        assert_eq!(provider.origin, Origin::Toml(path));
    }

    #[test]
    fn broken_toml_names_the_line_and_not_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clara.toml");
        std::fs::write(&path, "ok = 1\nanthropic_api_key = sk-canary\n").unwrap();
        let mut faults = Vec::new();
        read_toml(&path, Missing::IsFault, &mut faults);
        let text = faults[0].to_string();
        assert!(text.contains("line 2") && !text.contains("canary"), "{text}");
    }
}
