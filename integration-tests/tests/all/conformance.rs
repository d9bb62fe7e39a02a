//! The client scenarios of `@modelcontextprotocol/conformance`: a suite that nobody here wrote,
//! against a whole Clara.

use std::process::Command;

use testkit::process::program;

use crate::mcp::servers;

/// Its scenarios. Left out are what Clara refuses or has no use for: a server of 2025-03-26
/// whose metadata name another issuer than their place says (RFC 8414, 3.3), and machines that
/// authorise themselves, which are extensions.
const SCENARIOS: &[&str] = &[
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
];

#[test]
fn client_scenarios_hold() {
    let (folder, suite) =
        (tempfile::tempdir().unwrap(), "node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let mut failed = Vec::new();
    for scenario in SCENARIOS {
        let mut run = Command::new(servers().join("node"));
        run.arg(servers().join(suite)).current_dir(folder.path()).env("HOME", folder.path());
        run.arg("client").arg("--command").arg(program("conformance-client")).args(["--timeout", "60000"]);
        let output = run.args(["--scenario", scenario]).output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        if !output.status.success() || !said.contains("OVERALL: PASSED") {
            failed.push(format!("{scenario}:\n{said}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
