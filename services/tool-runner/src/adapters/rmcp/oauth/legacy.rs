//! Servers of the protocol of 2025-03-26, which tell at their own root who authorises for them
//! (<https://modelcontextprotocol.io/specification/2025-03-26/basic/authorization>).
//!
//! Such metadata may name an issuer with a path, and RFC 8414 (3.3) has clients refuse what names
//! another issuer than its place says, so that nobody is taken for somebody else. What a server
//! says of its own origin alone cannot do that, and is taken; `iss` of an answer must be that
//! issuer all the same.

use std::time::Duration;

use reqwest::{Client, Url, redirect};
use rmcp::transport::auth::AuthorizationMetadata;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest metadata that are read, in bytes.
const METADATA: usize = 64 * 1024;

/// The metadata of a server that knows nothing of protected resources and authorises itself.
pub(super) async fn metadata(url: &str, challenge: Option<&str>) -> Option<AuthorizationMetadata> {
    let url = Url::parse(url).ok()?;
    let client = Client::builder().redirect(redirect::Policy::none()).timeout(PATIENCE).build().ok()?;
    // Who says where these stand is of a later protocol, and must keep to it.
    if challenge.is_some_and(|challenge| challenge.contains("resource_metadata")) {
        return None;
    }
    for path in [
        "/.well-known/oauth-protected-resource".to_owned(),
        format!("/.well-known/oauth-protected-resource{}", url.path()),
    ] {
        if client.get(url.join(&path).ok()?).send().await.ok()?.status().is_success() {
            return None;
        }
    }
    let mut answer = client.get(url.join("/.well-known/oauth-authorization-server").ok()?).send().await.ok()?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > METADATA {
            return None;
        }
    }
    let metadata = serde_json::from_slice(&bytes).ok().filter(|_| answer.status().is_success())?;
    is_its_own(&url, &metadata).then_some(metadata)
}

/// Whether everything that metadata name is of the server's own origin.
fn is_its_own(url: &Url, metadata: &AuthorizationMetadata) -> bool {
    let named = [Some(&metadata.authorization_endpoint), Some(&metadata.token_endpoint)];
    let named =
        named.into_iter().chain([metadata.registration_endpoint.as_ref(), metadata.jwks_uri.as_ref()]).flatten();
    let is_own = |named: &String| Url::parse(named).is_ok_and(|named| named.origin() == url.origin());
    metadata.issuer.as_ref().is_some_and(is_own) && named.into_iter().all(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_is_named() {
        let url = Url::parse("https://mcp.example/mcp").unwrap();
        let names = |issuer: &str, token: &str| {
            let metadata = serde_json::json!({
                "issuer": issuer, "authorization_endpoint": "https://mcp.example/oauth/authorize", "token_endpoint": token,
            });
            is_its_own(&url, &serde_json::from_value(metadata).unwrap())
        };
        assert!(names("https://mcp.example/oauth", "https://mcp.example/oauth/token"));
        for (issuer, token) in [
            ("https://bank.example", "https://mcp.example/oauth/token"),
            ("https://mcp.example/oauth", "https://evil.example/token"),
            ("https://mcp.example:8443/oauth", "https://mcp.example/oauth/token"),
            ("http://mcp.example/oauth", "https://mcp.example/oauth/token"),
            ("https://mcp.example.evil.example/oauth", "https://mcp.example/oauth/token"),
        ] {
            assert!(!names(issuer, token), "{issuer} {token}");
        }
    }
}
