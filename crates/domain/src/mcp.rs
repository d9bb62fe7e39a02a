//! MCP servers as people see them: what runs, whose it is, what it offers.

use std::collections::BTreeMap;

use crate::message::Principal;

/// Longest name of a server, in bytes.
pub const NAME_BYTES: usize = 32;
/// Servers of one person, and of all together, at most.
pub const SERVERS: usize = 100;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// A process of its own: the program and its arguments, never a shell. In a value of
    /// the environment `${NAME}` stands for the runner's own variable of that name.
    Stdio { command: Vec<String>, env: BTreeMap<String, String> },
    /// Streamable HTTP. `${NAME}` in a header's value, or after the host of the URL, as above.
    Http { url: String, headers: BTreeMap<String, String> },
}

impl Launch {
    /// With more arguments and variables for a process, or more headers for a URL. The error says
    /// which of them it has no use for.
    pub fn with(
        mut self,
        arguments: Vec<String>,
        variables: BTreeMap<String, String>,
        more_headers: BTreeMap<String, String>,
    ) -> Result<Self, &'static str> {
        match &mut self {
            Self::Stdio { command, env } => {
                if !more_headers.is_empty() {
                    return Err("headers are for servers that are reached by a URL; give variables");
                }
                if command.starts_with(&["docker".to_owned(), "run".to_owned()]) {
                    // A container sees only the variables that it is given by name.
                    let named = variables.keys().flat_map(|name| ["-e".to_owned(), name.clone()]);
                    command.splice(2..2, named.collect::<Vec<_>>());
                }
                command.extend(arguments);
                env.extend(variables);
            }
            Self::Http { headers, .. } => {
                if !variables.is_empty() || !arguments.is_empty() {
                    return Err("variables and arguments are for servers that run here; give headers");
                }
                headers.extend(more_headers);
            }
        }
        Ok(self)
    }
}

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Starts when it is called.
    Stopped,
    Running,
    /// Could not be started, or ended; it is tried again after a while.
    Failed,
    /// Wants to know who asks, and nobody has authorised it.
    PendingAuth,
    Disabled,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Failed => "error",
            Self::PendingAuth => "pending_auth",
            Self::Disabled => "disabled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stopped, Self::Running, Self::Failed, Self::PendingAuth, Self::Disabled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServer {
    pub name: String,
    /// Whose it is; empty: everybody's.
    pub owner: String,
    /// What it was installed from.
    pub source: String,
    pub launch: Launch,
    pub status: Status,
    pub tools: u32,
    /// Why it failed last; empty if it did not.
    pub last_error: String,
    pub installed_by: String,
    /// Whether it starts anew when its files change.
    pub is_reloaded: bool,
    /// Whether it may have words of the model.
    pub may_sample: bool,
    pub installed_at_ms: i64,
}

/// A tool that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpTool {
    /// As models call it: `<server>__<tool>`.
    pub name: String,
    pub description: String,
    /// JSON Schema of its arguments, as JSON text.
    pub schema: String,
    /// Whether it may be called: one that changed since it was approved may not.
    pub is_approved: bool,
    /// How much of this looks like an attack: `clean`, `low`, `medium` or `high`.
    pub suspicion: String,
    /// What whoever agrees to it names.
    pub hash: String,
}

/// Something that a server lets people read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpResource {
    /// Its address; of a template, with `{name}` for what is to be put in.
    pub uri: String,
    pub name: String,
    pub description: String,
    pub media_type: String,
    pub is_template: bool,
    /// Whether it has changed since it was read; known of those that are subscribed to.
    pub has_changed: bool,
}

/// A prompt that a server has ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpPrompt {
    pub name: String,
    pub description: String,
    pub arguments: Vec<McpArgument>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpArgument {
    pub name: String,
    pub description: String,
    pub is_required: bool,
}

/// What a page led back with that authorised a server (RFC 6749, 4.1.2; RFC 9207).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callback {
    pub code: String,
    pub state: String,
    pub issuer: Option<String>,
}

/// Reads it from the whole address that the page led to, or takes the code with its state.
pub fn callback(code: &str, state: &str) -> Callback {
    let Some((_, query)) = code.trim().split_once('?') else {
        return Callback { code: code.trim().to_owned(), state: state.trim().to_owned(), issuer: None };
    };
    let query = query.split('#').next().unwrap_or_default();
    let mut found = Callback::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "code" => found.code = decoded(value),
            "state" => found.state = decoded(value),
            "iss" => found.issuer = Some(decoded(value)),
            _ => {}
        }
    }
    found
}

/// A value of a query, without its percent-encoding.
fn decoded(value: &str) -> String {
    let (mut plain, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, after @ ..] = rest {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        (plain, rest) = match (first, after) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                plain.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                (plain, after)
            }
            (b'+', after) => {
                plain.push(b' ');
                (plain, after)
            }
            (other, after) => {
                plain.push(*other);
                (plain, after)
            }
        };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// An identity provider, and what it gave that lets it vouch for a person. Holds secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VouchedBy {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<String>,
    /// An ID token, or what renews one.
    pub token: String,
    pub is_refresh: bool,
}

/// What is asked of the tool runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpCommand {
    /// What would be run for a source; nothing is.
    Plan {
        source: String,
        name: String,
    },
    /// Starts what was planned, lists its tools, and saves it. `launch` is the plan, as
    /// whoever agreed saw it.
    Install {
        source: String,
        name: String,
        launch: Launch,
        for_all: bool,
    },
    Uninstall {
        name: String,
    },
    List,
    Tools {
        name: String,
    },
    /// Lets it be called, or not.
    Enable {
        name: String,
        is_enabled: bool,
    },
    /// Ends it; it starts anew when it is called.
    Restart {
        name: String,
    },
    /// Reads its tools again; empty: those of all.
    Refresh {
        name: String,
    },
    /// Agrees to those of its tools that have these hashes: to what was seen, and no more.
    Approve {
        name: String,
        hashes: Vec<String>,
    },
    /// Starts it anew whenever its files change, or no more.
    HotReload {
        name: String,
        is_wanted: bool,
    },
    /// Lets it have words of the model in the middle of a call, or no more.
    Sampling {
        name: String,
        is_allowed: bool,
    },
    /// Begins to authorise it; the answer's text is the address that somebody must open.
    OauthStart {
        name: String,
        /// Where that page leads back to.
        redirect_uri: String,
        /// As whom, when somebody has registered us there.
        client_id: Option<String>,
        client_secret: Option<String>,
    },
    /// What the page led back with.
    OauthComplete {
        name: String,
        code: String,
        state: String,
        issuer: Option<String>,
    },
    OauthStatus {
        name: String,
    },
    /// Authorises Clara herself, as a machine that nobody opens a page for. `secret` is a private
    /// key in PEM where `algorithm` says how it signs.
    OauthMachine {
        name: String,
        client_id: String,
        secret: String,
        algorithm: Option<String>,
    },
    /// Authorises her for a person for whom their identity provider vouches.
    OauthEnterprise {
        name: String,
        client_id: String,
        /// Empty where she has none.
        secret: String,
        provider: VouchedBy,
    },
    /// Tokens that somebody has from elsewhere.
    OauthSetToken {
        name: String,
        access_token: String,
        refresh_token: Option<String>,
    },
    /// What it lets people read.
    Resources {
        name: String,
    },
    Read {
        name: String,
        uri: String,
    },
    /// Hears of changes of a resource while the server runs, or no more.
    Subscribe {
        name: String,
        uri: String,
        is_wanted: bool,
    },
    Prompts {
        name: String,
    },
    /// A prompt, filled in.
    Prompt {
        name: String,
        prompt: String,
        arguments: BTreeMap<String, String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpRequest {
    pub principal: Principal,
    pub command: McpCommand,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpAnswer {
    pub servers: Vec<McpServer>,
    pub tools: Vec<McpTool>,
    /// What would be run, for a plan, under which name.
    pub plan: Option<(String, Launch)>,
    pub resources: Vec<McpResource>,
    pub prompts: Vec<McpPrompt>,
    /// What was read. Untrusted words.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_led_back_with_is_read_from_its_address() {
        let issuer = Some("https://as.example".to_owned());
        let expected = Callback { code: "a b/c".into(), state: "x=y".into(), issuer };
        let address = "http://127.0.0.1:1/callback?code=a+b%2Fc&state=x%3Dy&iss=https%3A%2F%2Fas.example#z";
        assert_eq!(callback(address, ""), expected);
        assert_eq!(callback(" abc ", "def"), Callback { code: "abc".into(), state: "def".into(), issuer: None });
        assert_eq!(callback("http://x/?error=access_denied", ""), Callback::default());
        assert_eq!(callback("?code=%zz%4", "").code, "%zz%4");
    }
}
