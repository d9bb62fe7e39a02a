//! Every setting there is: name, kind, default, help.
//!
//! Names follow the systems that Clara replaces, so that their users can move.

mod tools; // What she may do.

use super::kind::Kind;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    /// Other names that are read, weaker than `name`.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    /// Empty: not set.
    pub default: &'static str,
    pub help: &'static str,
}

impl Setting {
    /// The value as it may be shown.
    pub fn disguise(&self, value: &str) -> String {
        match self.kind {
            Kind::Secret | Kind::Secrets if !value.is_empty() => "***".to_owned(),
            // Passwords travel in URLs.
            Kind::Url(_) => bus::shown_url(value),
            _ => value.to_owned(),
        }
    }
}

pub(super) fn knows(name: &str) -> bool {
    CATALOGUE.iter().any(|setting| setting.name == name || setting.aliases.contains(&name))
}

/// The setting whose name is most alike, if one is alike enough.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    CATALOGUE
        .iter()
        .map(|setting| (strsim::jaro_winkler(setting.name, name), setting.name))
        .filter(|(likeness, _)| *likeness > 0.88)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

const HTTP: Kind = Kind::Url(&["http", "https"]);

const fn setting(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, aliases: &[], kind, default, help }
}

/// All settings, in the order in which they are shown.
pub const CATALOGUE: &[Setting] =
    &joined::<{ FIRST.len() + tools::TOOLS.len() + LAST.len() }>([FIRST, tools::TOOLS, LAST]);

/// One list of several. `N` is how many they are.
const fn joined<const N: usize>(parts: [&'static [Setting]; 3]) -> [Setting; N] {
    let mut all = [FIRST[0]; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[at] = parts[part][index];
            (at, index) = (at + 1, index + 1);
        }
        part += 1;
    }
    all
}

const FIRST: &[Setting] = &[
    // Where Clara lives.
    setting(
        "CLARA_CONFIG",
        Kind::Path,
        "",
        "Path of the configuration file; clara.toml in the working folder if not set",
    ),
    setting(
        "CLARA_DATA_DIR",
        Kind::Path,
        "",
        "Folder for everything that lasts; `clara` under the XDG data folder if not set",
    ),
    setting("XDG_DATA_HOME", Kind::Path, "", "The XDG data folder; ~/.local/share if not set"),
    setting("HOME", Kind::Path, "", "Home folder of the account"),
    setting(
        "CLARA_LOG",
        Kind::LogFilter,
        "info,async_nats=warn,genai=off",
        "Log filter, as of the Rust crate tracing-subscriber; a level without a name, such as debug, is for Clara's own words",
    ),
    setting(
        "CLARA_HEALTH_ADDRESS",
        Kind::Address,
        "127.0.0.1:0",
        "Where /livez and /readyz are served; port 0 takes a free one",
    ),
    setting(
        "CLARA_SHUTDOWN_GRACE_SECONDS",
        Kind::Number { min: 0, max: 600 },
        "20",
        "How long a stop waits for what is in work",
    ),
    setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        HTTP,
        "",
        "OTLP/HTTP collector for traces, such as http://localhost:4318; off if not set",
    ),
    // The bus.
    setting(
        "NATS_URL",
        Kind::Url(&["nats", "tls"]),
        "nats://127.0.0.1:4222",
        "The nats-server of `serve` and of the service binaries",
    ),
    setting(
        "NATS_MONITORING_URL",
        Kind::Url(&["http"]),
        "",
        "Monitoring endpoint of that nats-server, such as http://localhost:8222: `doctor` asks it how durable it is",
    ),
    setting("NATS_TOKEN", Kind::Secret, "", "Token for the nats-server"),
    setting("NATS_USER", Kind::Text, "", "User for the nats-server"),
    setting("NATS_PASSWORD", Kind::Secret, "", "Password for the nats-server"),
    setting("NATS_CREDENTIALS_FILE", Kind::File, "", "Path of a .creds file for the nats-server"),
    setting(
        "CLARA_NATS_WAIT_SECONDS",
        Kind::Number { min: 0, max: 600 },
        "10",
        "How long start-up waits for the nats-server",
    ),
    setting(
        "CLARA_NATS_SERVER",
        Kind::Path,
        "",
        "The nats-server program that `up` and `chat` start; found on the PATH if not set",
    ),
    setting(
        "CLARA_INBOUND_KEEP_SECONDS",
        Kind::Number { min: 1, max: 259_200 },
        "3600",
        "How long handled messages stay on the bus, to know a repeated one by",
    ),
    setting(
        "CLARA_STREAM_REPLICAS",
        Kind::Number { min: 1, max: 5 },
        "1",
        "Replicas of every stream: 3 on a cluster of three",
    ),
    // Models.
    setting(
        "LLM_PROVIDER",
        Kind::Choice(&["openrouter", "anthropic", "nanogpt", "openai", "offline"]),
        "",
        "Who serves the models; if not set, the first provider with a key, else offline",
    ),
    setting("OPENROUTER_API_KEY", Kind::Secret, "", "Key for OpenRouter"),
    setting("OPENROUTER_BASE_URL", HTTP, "https://openrouter.ai/api/v1", "OpenRouter's API"),
    setting(
        "OPENROUTER_MODEL",
        Kind::Text,
        "anthropic/claude-sonnet-4",
        "OpenRouter model for tiers without one of their own",
    ),
    setting("OPENROUTER_MODEL_HIGH", Kind::Text, "", "OpenRouter model of the high tier"),
    setting("OPENROUTER_MODEL_MID", Kind::Text, "", "OpenRouter model of the mid tier"),
    setting("OPENROUTER_MODEL_LOW", Kind::Text, "", "OpenRouter model of the low tier"),
    setting("OPENROUTER_SITE", Kind::Text, "", "Sent to OpenRouter as HTTP-Referer"),
    setting("OPENROUTER_TITLE", Kind::Text, "Clara", "Sent to OpenRouter as X-Title"),
    setting("ANTHROPIC_API_KEY", Kind::Secret, "", "Key for Anthropic"),
    setting("ANTHROPIC_BASE_URL", HTTP, "https://api.anthropic.com", "Anthropic's API, or a proxy for it"),
    setting("ANTHROPIC_MODEL", Kind::Text, "", "Anthropic model for tiers without one of their own"),
    setting("ANTHROPIC_MODEL_HIGH", Kind::Text, "claude-opus-4-5", "Anthropic model of the high tier"),
    setting("ANTHROPIC_MODEL_MID", Kind::Text, "claude-sonnet-4-5", "Anthropic model of the mid tier"),
    setting("ANTHROPIC_MODEL_LOW", Kind::Text, "claude-haiku-4-5", "Anthropic model of the low tier"),
    setting("NANOGPT_API_KEY", Kind::Secret, "", "Key for NanoGPT"),
    setting("NANOGPT_BASE_URL", HTTP, "https://nano-gpt.com/api/v1", "NanoGPT's API"),
    setting(
        "NANOGPT_MODEL",
        Kind::Text,
        "moonshotai/Kimi-K2-Instruct-0905",
        "NanoGPT model for tiers without one of their own",
    ),
    setting("NANOGPT_MODEL_HIGH", Kind::Text, "", "NanoGPT model of the high tier"),
    setting("NANOGPT_MODEL_MID", Kind::Text, "", "NanoGPT model of the mid tier"),
    setting("NANOGPT_MODEL_LOW", Kind::Text, "", "NanoGPT model of the low tier"),
    setting("CUSTOM_OPENAI_API_KEY", Kind::Secret, "", "Key for the custom endpoint; some need none"),
    setting(
        "CUSTOM_OPENAI_BASE_URL",
        HTTP,
        "",
        "Any OpenAI-compatible endpoint, up to and with /v1 (Ollama, LiteLLM, vLLM)",
    ),
    setting(
        "CUSTOM_OPENAI_MODEL",
        Kind::Text,
        "gpt-4o",
        "Model at the custom endpoint for tiers without one of their own",
    ),
    setting("CUSTOM_OPENAI_MODEL_HIGH", Kind::Text, "", "Model at the custom endpoint of the high tier"),
    setting("CUSTOM_OPENAI_MODEL_MID", Kind::Text, "", "Model at the custom endpoint of the mid tier"),
    setting("CUSTOM_OPENAI_MODEL_LOW", Kind::Text, "", "Model at the custom endpoint of the low tier"),
    setting("CF_ACCESS_CLIENT_ID", Kind::Text, "", "Cloudflare Access client for the custom endpoint"),
    setting("CF_ACCESS_CLIENT_SECRET", Kind::Secret, "", "Cloudflare Access secret for the custom endpoint"),
    setting("MODEL_TIER", Kind::Choice(&["high", "mid", "low"]), "mid", "Tier of messages that name none"),
    setting("AUTO_TIER_SELECTION", Kind::Flag, "false", "Let the low model choose the tier of each message"),
    setting(
        "CLARA_MODEL_WINDOW",
        Kind::Number { min: 0, max: 10_000_000 },
        "0",
        "The models' context window in tokens; 0: 200000 for Claude, 128000 for others",
    ),
    setting(
        "CLARA_MODEL_MAX_TOKENS",
        Kind::Number { min: 16, max: 1_000_000 },
        "4096",
        "Longest answer of a model, in tokens",
    ),
    setting(
        "CLARA_MODEL_TIMEOUT_SECONDS",
        Kind::Number { min: 1, max: 3600 },
        "120",
        "Longest silence of a model before the call is given up",
    ),
    setting(
        "CLARA_MODEL_RETRIES",
        Kind::Number { min: 0, max: 10 },
        "3",
        "How often a failed model call is tried again",
    ),
    setting(
        "CLARA_OFFLINE_WORD_MS",
        Kind::Number { min: 0, max: 10_000 },
        "15",
        "Pause of the offline model between words, so that streaming shows",
    ),
    // The conversation.
    setting("BOT_NAME", Kind::Text, "Clara", "What she is called"),
    setting("BOT_PERSONALITY", Kind::Text, "", "The persona itself, when no file is set"),
    setting("BOT_PERSONALITY_FILE", Kind::File, "", "File with the persona; the built-in one if not set"),
    setting("DEFAULT_TIMEZONE", Kind::TimeZone, "America/New_York", "Time zone of people who have not said theirs"),
    setting(
        "MEMORY_FETCH_TIMEOUT",
        Kind::Number { min: 1, max: 60 },
        "10",
        "Seconds after which an answer goes on without memories",
    ),
    setting("CLARA_HISTORY_MESSAGES", Kind::Number { min: 0, max: 500 }, "30", "History messages in a prompt, at most"),
    setting(
        "TOOL_CALL_MODE",
        Kind::Choice(&["native", "langchain", "xml"]),
        "native",
        "How models call tools: in the vendor's form (langchain too), or as XML for models that know none",
    ),
    setting(
        "GATEWAY_MAX_TOOL_ITERATIONS",
        Kind::Number { min: 1, max: 1000 },
        "75",
        "Model calls of a turn that may ask for tools",
    ),
    setting(
        "GATEWAY_MAX_TOOL_RESULT_CHARS",
        Kind::Number { min: 100, max: 1_000_000 },
        "50000",
        "Longest tool result that a model reads, in characters; what a tool says when it failed is cut at 100,000",
    ),
    setting(
        "CLARA_MAX_PARALLEL_TOOL_CALLS",
        Kind::Number { min: 1, max: 256 },
        "32",
        "Tool calls of one answer that are run",
    ),
    setting(
        "CLARA_TOOL_TIMEOUT_SECONDS",
        Kind::Number { min: 1, max: 3600 },
        "60",
        "How long a turn waits for a call that says nothing, at least; 15 seconds more than the tool's own time if that is longer",
    ),
    setting(
        "CLARA_TURN_SECONDS",
        Kind::Number { min: 1, max: 86_400 },
        "1800",
        "How long a turn may go on using tools; then it answers with what it has",
    ),
    setting(
        "CLARA_MAX_TURNS",
        Kind::Number { min: 1, max: 20_000 },
        "256",
        "Turns that one orchestrator runs at the same time",
    ),
    setting(
        "CLARA_QUEUE_MODE_DIRECT",
        Kind::Choice(&["followup", "collect", "steer", "interrupt"]),
        "followup",
        "What becomes of a message that arrives while a turn runs, in direct conversations",
    ),
    setting(
        "CLARA_QUEUE_MODE_GROUP",
        Kind::Choice(&["followup", "collect", "steer", "interrupt"]),
        "collect",
        "The same in groups; `!queue <mode>` chooses for one conversation",
    ),
    setting(
        "MESSAGE_DEBOUNCE_SECONDS",
        Kind::Number { min: 0, max: 60 },
        "2",
        "How long a group must be silent before a turn begins; 0: not at all",
    ),
    setting(
        "CLARA_QUOTA_USER_PER_MINUTE",
        Kind::Number { min: 1, max: 1_000_000 },
        "600",
        "Messages that one person may send in a minute, for each adapter; more is refused with a word",
    ),
    setting(
        "CLARA_QUOTA_CONVERSATION_PER_MINUTE",
        Kind::Number { min: 1, max: 1_000_000 },
        "600",
        "Messages that one conversation may take in a minute, for each adapter",
    ),
    setting(
        "CLARA_SWEEP_SECONDS",
        Kind::Number { min: 1, max: 3600 },
        "15",
        "How often the router looks for turns that stand in no queue any more",
    ),
    setting(
        "CLARA_MAX_WAITING_MESSAGES",
        Kind::Number { min: 0, max: 500 },
        "64",
        "Messages of one conversation that may wait",
    ),
    Setting {
        name: "CLARA_STOP_PHRASES",
        aliases: &["DISCORD_STOP_PHRASES"],
        kind: Kind::Text,
        default: domain::message::STOP_PHRASES,
        help: "Messages that stop the running turn, separated by commas",
    },
];

const LAST: &[Setting] = &[
    // Storage.
    setting("CLARA_FILES_DIR", Kind::Path, "", "Folder of people's own files; `files` in the data folder if not set"),
    setting(
        "CLARA_MAX_FILE_SIZE",
        Kind::Number { min: 1, max: 1 << 40 },
        "52428800",
        "Largest file that tools write, in bytes",
    ),
    setting("DEFAULT_PROJECT", Kind::Text, "Default Project", "The project of conversations that belong to no other"),
    setting(
        "DATABASE_URL",
        Kind::Url(&["postgres", "postgresql", "sqlite"]),
        "",
        "PostgreSQL database of the memory service and the tool runner, which several replicas need; SQLite in the data folder if not set",
    ),
    setting(
        "CLARA_EMBEDDING_FOLDER",
        Kind::Path,
        "",
        "Folder of a BERT-type embedding model (config.json, tokenizer.json, model.safetensors); without it and \
         without an endpoint, what was said is found by its words alone",
    ),
    Setting {
        name: "CLARA_EMBEDDING_BASE_URL",
        aliases: &["OPENAI_BASE_URL"],
        kind: HTTP,
        default: "",
        help: "An OpenAI-compatible embeddings endpoint, up to and with /v1, where no folder is set; OpenAI's if there \
               is a key for it",
    },
    setting("OPENAI_API_KEY", Kind::Secret, "", "Key for the embeddings endpoint; local servers need none"),
    setting("CLARA_EMBEDDING_MODEL", Kind::Text, "text-embedding-3-small", "The model that the endpoint is asked for"),
    setting(
        "QDRANT_URL",
        HTTP,
        "",
        "A Qdrant server that compares vectors, such as http://localhost:6334; the memory service does so if not set",
    ),
    setting("QDRANT_API_KEY", Kind::Secret, "", "Key for Qdrant"),
    setting("QDRANT_TIMEOUT", Kind::Number { min: 1, max: 300 }, "15", "Longest wait for Qdrant, in seconds"),
    setting(
        "ROOK_DATABASE_URL",
        Kind::Url(&["postgres", "postgresql"]),
        "",
        "A PostgreSQL database with pgvector that compares vectors, where there is no Qdrant",
    ),
    setting(
        "ENABLE_GRAPH_MEMORY",
        Kind::Flag,
        "false",
        "Keep relations in FalkorDB too, and walk them there; they are in the database either way",
    ),
    setting("FALKORDB_HOST", Kind::Text, "localhost", "Where FalkorDB is"),
    setting("FALKORDB_PORT", Kind::Number { min: 1, max: 65_535 }, "6379", "Its port"),
    setting("FALKORDB_PASSWORD", Kind::Secret, "", "Password for FalkorDB"),
    setting("FALKORDB_GRAPH_NAME", Kind::Text, "clara_memory", "The graph in FalkorDB; it is filled from the database"),
    setting(
        "CLARA_LEARNING",
        Kind::Choice(&["model", "rules", "off"]),
        "model",
        "How memories are found in what people say: by the model of the low tier (by rules where it is the offline one), \
         by rules alone, or not at all",
    ),
    setting("ROOK_MODEL", Kind::Text, "", "The model that is asked for memories; the one of the low tier if not set"),
    // The terminal.
    setting("CLI_USER_ID", Kind::Text, "cli-user", "Who the person at the terminal is"),
    setting("USER", Kind::Text, "you", "Account name, shown as the person's name"),
    setting("NO_COLOR", Kind::Text, "", "When set, the terminal shows no colours"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference is written from the catalogue: `UPDATE_EXPECT=1 cargo test`.
    #[test]
    fn reference_is_up_to_date() {
        let mut page = String::from(
            "# Settings\n\nRead from the environment, then `.env`, then `clara.toml` (tables flatten: `[openrouter] api_key` is `OPENROUTER_API_KEY`).\nAn empty value means not set.\n\n| variable | default | meaning |\n|---|---|---|\n",
        );
        for setting in CATALOGUE {
            let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
            let names: Vec<String> =
                std::iter::once(&setting.name).chain(setting.aliases).map(|name| format!("`{name}`")).collect();
            page.push_str(&format!("| {} | {default} | {} |\n", names.join(", "), setting.help));
        }
        expect_test::expect_file!["../../../../docs/settings.md"].assert_eq(&page);
    }

    #[test]
    fn defaults_fit_their_kinds_and_names_are_unique() {
        let mut names = std::collections::BTreeSet::new();
        for setting in CATALOGUE {
            assert!(setting.default.is_empty() || setting.kind.check(setting.default).is_ok(), "{}", setting.name);
            assert!(names.insert(setting.name), "{}", setting.name);
        }
    }
}
