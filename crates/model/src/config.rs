//! Which provider serves the models, and which model serves which tier.

use std::time::Duration;

use domain::secret::KnownSecrets;
use domain::tier::Tier;
use secrecy::SecretString;
use service_kit::settings::{Fault, Settings};

/// Where a vendor is reached.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Ends with a slash.
    pub base_url: String,
    pub key: Option<SecretString>,
    pub headers: Vec<(String, SecretString)>,
}

#[derive(Debug, Clone)]
pub enum Provider {
    /// Fixed rules, no network. `word_pause` makes streaming visible.
    Offline {
        word_pause: Duration,
    },
    Anthropic(Endpoint),
    OpenAi(Endpoint),
}

/// The models as configured.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// As in `LLM_PROVIDER`.
    pub name: &'static str,
    pub provider: Provider,
    models: [String; 3],
    pub default_tier: Tier,
    pub auto_tier: bool,
    /// Context window in tokens.
    pub window: usize,
    pub max_tokens: u32,
    pub timeout: Duration,
    pub retries: u32,
    /// Whether calls of tools are written as XML, rather than in the vendor's own form.
    pub xml_calls: bool,
    /// What no model's words may hold.
    pub secrets: KnownSecrets,
}

/// The providers with their prefix, in the order in which a key chooses one.
const PROVIDERS: &[(&str, &str)] =
    &[("openrouter", "OPENROUTER"), ("anthropic", "ANTHROPIC"), ("nanogpt", "NANOGPT"), ("openai", "CUSTOM_OPENAI")];

impl ModelConfig {
    /// Reads the configuration; a fault names the variable and the remedy.
    pub fn from_settings(settings: &Settings) -> Result<Self, Fault> {
        let named = settings.optional("LLM_PROVIDER");
        let chosen = match named.as_deref() {
            Some(name) => PROVIDERS.iter().find(|(known, _)| *known == name),
            None => PROVIDERS.iter().find(|(name, prefix)| is_configured(settings, name, prefix)),
        };
        let (name, provider, models) = match chosen {
            None => {
                let word_pause = Duration::from_millis(settings.number("CLARA_OFFLINE_WORD_MS"));
                let offline = || "offline".to_owned();
                ("offline", Provider::Offline { word_pause }, [offline(), offline(), offline()])
            }
            Some((name, prefix)) => {
                let endpoint = endpoint(settings, name, prefix)?;
                let provider =
                    if *name == "anthropic" { Provider::Anthropic(endpoint) } else { Provider::OpenAi(endpoint) };
                (*name, provider, ["LOW", "MID", "HIGH"].map(|tier| model_name(settings, prefix, tier)))
            }
        };
        let window = match usize::try_from(settings.number("CLARA_MODEL_WINDOW")).unwrap_or(0) {
            0 if models.iter().all(|model| model.contains("claude")) => 200_000,
            0 => 128_000,
            window => window,
        };
        Ok(Self {
            name,
            provider,
            models,
            default_tier: Tier::parse(&settings.text("MODEL_TIER")).unwrap_or(Tier::Mid),
            auto_tier: settings.flag("AUTO_TIER_SELECTION"),
            window,
            max_tokens: u32::try_from(settings.number("CLARA_MODEL_MAX_TOKENS")).unwrap_or(u32::MAX),
            timeout: Duration::from_secs(settings.number("CLARA_MODEL_TIMEOUT_SECONDS")),
            retries: u32::try_from(settings.number("CLARA_MODEL_RETRIES")).unwrap_or(0),
            xml_calls: settings.text("TOOL_CALL_MODE") == "xml",
            secrets: settings.secrets(),
        })
    }

    /// The model that serves a tier.
    pub fn model(&self, tier: Tier) -> &str {
        match tier {
            Tier::Low => &self.models[0],
            Tier::Mid => &self.models[1],
            Tier::High => &self.models[2],
        }
    }
}

fn is_configured(settings: &Settings, name: &str, prefix: &str) -> bool {
    // A custom endpoint such as Ollama needs an address and no key.
    let variable = if name == "openai" { "CUSTOM_OPENAI_BASE_URL".to_owned() } else { format!("{prefix}_API_KEY") };
    settings.optional(&variable).is_some()
}

fn model_name(settings: &Settings, prefix: &str, tier: &str) -> String {
    let of_tier = settings.optional(&format!("{prefix}_MODEL_{tier}"));
    let of_all = settings.optional(&format!("{prefix}_MODEL"));
    // `ANTHROPIC_MODEL`, which has no default, replaces the defaults of its tiers.
    if prefix == "ANTHROPIC" { of_all.or(of_tier) } else { of_tier.or(of_all) }.unwrap_or_default()
}

fn endpoint(settings: &Settings, name: &str, prefix: &str) -> Result<Endpoint, Fault> {
    let missing = |variable: String, remedy: &str| Fault {
        origin: String::new(),
        variable,
        value: String::new(),
        remedy: remedy.to_owned(),
    };
    let key = settings.secret(&format!("{prefix}_API_KEY"));
    if key.is_none() && name != "openai" {
        let remedy = format!("set the key of {name}, or choose LLM_PROVIDER=offline to try Clara without one");
        return Err(missing(format!("{prefix}_API_KEY"), &remedy));
    }
    let url = settings.optional(&format!("{prefix}_BASE_URL")).ok_or_else(|| {
        missing(format!("{prefix}_BASE_URL"), "name the endpoint, such as http://localhost:11434/v1 for Ollama")
    })?;
    let mut base_url = url.trim_end_matches('/').to_owned();
    if name == "anthropic" && !base_url.ends_with("/v1") {
        base_url.push_str("/v1");
    }
    base_url.push('/');
    let mut headers = Vec::new();
    let mut header = |name: &str, variable: &str| {
        headers.extend(settings.secret(variable).map(|value| (name.to_owned(), value)));
    };
    match name {
        "openrouter" => {
            header("HTTP-Referer", "OPENROUTER_SITE");
            header("X-Title", "OPENROUTER_TITLE");
        }
        "openai" => {
            header("CF-Access-Client-Id", "CF_ACCESS_CLIENT_ID");
            header("CF-Access-Client-Secret", "CF_ACCESS_CLIENT_SECRET");
        }
        _ => {}
    }
    Ok(Endpoint { base_url, key, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<ModelConfig, Fault> {
        ModelConfig::from_settings(&Settings::from_map(values).unwrap())
    }

    #[test]
    fn without_a_key_the_offline_model_answers() {
        let config = config([]).unwrap();
        assert_eq!((config.name, config.model(Tier::High)), ("offline", "offline"));
    }

    #[test]
    fn first_key_chooses_and_the_name_overrides() {
        assert_eq!(config([("ANTHROPIC_API_KEY", "k")]).unwrap().name, "anthropic");
        assert_eq!(config([("ANTHROPIC_API_KEY", "k"), ("OPENROUTER_API_KEY", "k")]).unwrap().name, "openrouter");
        assert_eq!(config([("ANTHROPIC_API_KEY", "k"), ("LLM_PROVIDER", "offline")]).unwrap().name, "offline");
        assert_eq!(config([("CUSTOM_OPENAI_BASE_URL", "http://localhost:11434/v1")]).unwrap().name, "openai");
    }

    #[test]
    fn missing_key_names_variable_and_remedy() {
        let fault = config([("LLM_PROVIDER", "nanogpt")]).unwrap_err();
        assert_eq!(fault.variable, "NANOGPT_API_KEY");
        assert!(fault.remedy.contains("offline"));
    }

    #[test]
    fn tiers_have_models_of_their_own() {
        let custom =
            config([("OPENROUTER_API_KEY", "k"), ("OPENROUTER_MODEL", "a"), ("OPENROUTER_MODEL_HIGH", "b")]).unwrap();
        assert_eq!([Tier::Low, Tier::Mid, Tier::High].map(|tier| custom.model(tier)), ["a", "a", "b"]);
        let anthropic = config([("ANTHROPIC_API_KEY", "k")]).unwrap();
        assert_eq!(anthropic.model(Tier::Low), "claude-haiku-4-5");
        assert_eq!(anthropic.window, 200_000);
        let one = config([("ANTHROPIC_API_KEY", "k"), ("ANTHROPIC_MODEL", "m")]).unwrap();
        assert_eq!(one.model(Tier::High), "m");
    }
}
