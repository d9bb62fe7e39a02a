//! Settings of the systems that Clara replaces, of which she makes no use.

/// Names of the systems that Clara replaces which have no effect here (yet).
const FORMER: &[&str] = &[
    "TOOL_MODEL",
    "TOOL_API_KEY",
    "TOOL_BASE_URL",
    "AUTO_CONTINUE_ENABLED",
    "AUTO_CONTINUE_MAX",
    "CLARA_GATEWAY_HOST",
    "CLARA_GATEWAY_PORT",
    "CLARA_GATEWAY_API_PORT",
    "CLARA_GATEWAY_SECRET",
    "GATEWAY_IO_THREADS",
    "GATEWAY_LLM_THREADS",
    "GATEWAY_SUMMARY_THREADS",
    "TARGET_CLASSIFIER",
    "MCP_OAUTH_DIR",
    "TOOL_DESC_TIER",
    "TOOL_DESC_MAX_WORDS",
    "DOCKER_SANDBOX_TIMEOUT",
    "INCUS_REMOTE",
    "GIT_USER_NAME",
    "GIT_USER_EMAIL",
    "USER_VM_ENABLED",
];

pub(super) fn is_former(name: &str) -> bool {
    FORMER.contains(&name)
}
