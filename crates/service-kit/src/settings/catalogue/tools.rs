//! What she may do, and with what.

use super::{HTTP, Kind, Setting, setting};

pub(super) const TOOLS: &[Setting] = &[
    setting(
        "CLARA_POLICY_FILE",
        Kind::Path,
        "",
        "Rules for who may use which tool; policy.toml in the data folder if not set",
    ),
    setting(
        "CLARA_ADMINS",
        Kind::Text,
        "cli-user",
        "Users who may install MCP servers and approve other people's calls, such as cli-user,discord-123",
    ),
    setting(
        "SANDBOX_MODE",
        Kind::Choice(&["auto", "bubblewrap", "docker", "incus", "incus-vm", "off"]),
        "auto",
        "Where code runs; what does not hold here is not used, and then no code runs at all",
    ),
    setting("DOCKER_HOST", Kind::Text, "unix:///var/run/docker.sock", "The Docker daemon's socket, for that sandbox"),
    setting(
        "DOCKER_SANDBOX_IMAGE",
        Kind::Text,
        "python:3.12-slim",
        "What Docker's sandbox runs: an image with python3 and a shell, which is there",
    ),
    setting(
        "CLARA_SANDBOX_SECONDS",
        Kind::Number { min: 1, max: 3600 },
        "120",
        "How long one run in the sandbox may take",
    ),
    setting(
        "CLARA_SANDBOX_BACKGROUND_MINUTES",
        Kind::Number { min: 1, max: 10_080 },
        "60",
        "How long a process in the background of the sandbox may take",
    ),
    setting(
        "CLARA_SANDBOX_MEMORY_MB",
        Kind::Number { min: 16, max: 1 << 20 },
        "512",
        "Memory of one run in the sandbox, of all its processes together",
    ),
    setting("CLARA_SANDBOX_PROCESSES", Kind::Number { min: 4, max: 10_000 }, "64", "Processes and threads of one run"),
    setting("CLARA_SANDBOX_FILE_MB", Kind::Number { min: 1, max: 1 << 20 }, "100", "Largest file that a run writes"),
    setting(
        "CLARA_SANDBOX_FOLDER_MB",
        Kind::Number { min: 1, max: 1 << 20 },
        "1024",
        "What a person's working folder may hold when a run begins",
    ),
    setting(
        "CLARA_SANDBOX_HOSTS",
        Kind::Text,
        "",
        "What code in the sandbox may reach, by a proxy, with commas between: example.org, *.example.org, \
         example.org:8443; nothing if not set",
    ),
    setting(
        "CLARA_SANDBOX_PACKAGE_HOSTS",
        Kind::Text,
        "pypi.org,files.pythonhosted.org",
        "What install_package may reach; off: it is not offered",
    ),
    setting(
        "CLARA_SANDBOX_INDEX_URL",
        HTTP,
        "https://pypi.org/simple",
        "The index that install_package asks (PEP 503)",
    ),
    setting(
        "CLARA_MCP_TIMEOUT_SECONDS",
        Kind::Number { min: 1, max: 3600 },
        "60",
        "How long one call of a tool of an MCP server may take",
    ),
    setting(
        "CLARA_MCP_CALLS_PER_MINUTE",
        Kind::Number { min: 0, max: 1_000_000 },
        "0",
        "Calls of tools of MCP servers that one person may make in a minute; 0: any",
    ),
    setting(
        "CLARA_MCP_CALLS_PER_HOUR",
        Kind::Number { min: 0, max: 1_000_000 },
        "0",
        "Calls of tools of MCP servers that one person may make in an hour; 0: any",
    ),
    setting(
        "CLARA_MCP_CALLS_PER_DAY",
        Kind::Number { min: 0, max: 1_000_000 },
        "0",
        "Calls of tools of MCP servers that one person may make in a day; 0: any",
    ),
    setting(
        "CLARA_SECRET_KEY",
        Kind::Secret,
        "",
        "Key under which tokens are kept, 64 hexadecimal digits; `secrets.key` in the data folder if not set",
    ),
    setting(
        "CLARA_OAUTH_CLIENT_URL",
        Kind::Url(&["https"]),
        "",
        "Where a client metadata document describes this Clara, for authorisation servers that take one",
    ),
    setting(
        "MCP_SERVERS_DIR",
        Kind::Path,
        "",
        "Folder with a file for each MCP server that everybody may use; `.mcp_servers` in the data folder if not set",
    ),
    setting("CLARA_MCP_CONFIG", Kind::Path, "", "A file with `mcpServers`, such as MCPOmni's servers_config.json"),
    setting(
        "CLARA_MCP_TOKENS",
        Kind::Secret,
        "",
        "Who may use `clara mcp serve --http`: user=token, with commas between",
    ),
    setting("TAVILY_API_KEY", Kind::Secret, "", "Key of Tavily, by which web_search searches"),
    setting("TAVILY_BASE_URL", HTTP, "https://api.tavily.com", "Where Tavily is"),
    setting("SEARXNG_URL", HTTP, "", "A SearXNG, by which web_search searches when there is no key of Tavily"),
    setting(
        "CLARA_WEB_PRIVATE_HOSTS",
        Kind::Text,
        "",
        "host:port of pages that fetch_page may read though they are not on the public internet, with commas between",
    ),
    setting(
        "CLARA_TOOL_TOKENS",
        Kind::Number { min: 500, max: 200_000 },
        "10000",
        "What a prompt carries of tools, at most, in tokens; the others are found by `search_tools`",
    ),
    setting(
        "CLARA_BUDGET_USER_TOKENS",
        Kind::Number { min: 0, max: 1_000_000_000_000 },
        "0",
        "Tokens that answers to one person may take on a day (choosing a model, learning and summaries are not counted); \
         0: any",
    ),
    setting(
        "CLARA_BUDGET_USER_CENTS",
        Kind::Number { min: 0, max: 1_000_000_000_000 },
        "0",
        "US cents that one person may spend on a day, by the prices below; 0: any",
    ),
    setting(
        "CLARA_BUDGET_CHANNEL_TOKENS",
        Kind::Number { min: 0, max: 1_000_000_000_000 },
        "0",
        "Tokens that may be spent in one conversation on a day; 0: any",
    ),
    setting(
        "CLARA_BUDGET_CHANNEL_CENTS",
        Kind::Number { min: 0, max: 1_000_000_000_000 },
        "0",
        "US cents that may be spent in one conversation on a day; 0: any",
    ),
    setting(
        "CLARA_PRICE_LOW",
        Kind::Text,
        "",
        "US dollars a million tokens of the low model, read/written, such as 3/15",
    ),
    setting(
        "CLARA_PRICE_MID",
        Kind::Text,
        "",
        "US dollars a million tokens of the mid model, read/written, such as 3/15",
    ),
    setting(
        "CLARA_PRICE_HIGH",
        Kind::Text,
        "",
        "US dollars a million tokens of the high model, read/written, such as 3/15",
    ),
    setting(
        "CLARA_APPROVAL_MINUTES",
        Kind::Number { min: 1, max: 10_080 },
        "60",
        "How long a call waits for a person's word before it is dropped",
    ),
];
