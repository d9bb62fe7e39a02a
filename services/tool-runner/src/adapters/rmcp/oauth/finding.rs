//! Finding who authorises for a server, and whether they can be trusted (attacks S15, S16).

use domain::untrusted::visible;
use rmcp::transport::auth::{AuthError, AuthorizationManager, AuthorizationMetadata, AuthorizationMetadataSource};

use super::{OAuth, legacy, told};
use crate::adapters::vault::Part;
use crate::ports::Key;
use crate::web::is_trustworthy;

/// What is known of a server that authorises.
pub(super) struct Found {
    pub(super) issuer: Option<String>,
    /// Where it gives tokens, and how clients may prove there who they are.
    pub(super) token_endpoint: String,
    pub(super) proofs: Vec<String>,
    /// Whether it takes the address of a document as an id.
    pub(super) takes_documents: bool,
}

/// Who is to be authorised: with a person's agreement there is a code, which could be stolen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ForWhom {
    Person,
    Machine,
}

impl OAuth {
    /// Who asks once it is known how, and what was found of whom they ask.
    pub(super) async fn discovered(
        &self,
        key: &Key,
        url: &str,
        whom: ForWhom,
    ) -> Result<(AuthorizationManager, Found), String> {
        let mut manager = self.prepared(key, url).await?;
        let challenge: Option<String> = self.vault.find(key, url, Part::Challenge).await.map_err(told)?;
        let (metadata, is_fallback) = resolved(&manager, url, challenge.as_deref()).await?;
        let methods = metadata.code_challenge_methods_supported.as_deref();
        // The protocol has clients refuse who does not say that they know PKCE.
        let has_code = whom == ForWhom::Person;
        if has_code && !is_fallback && !methods.is_some_and(|methods| methods.iter().any(|method| method == "S256")) {
            return Err(
                "its authorisation server does not offer PKCE with S256, without which a code can be stolen".to_owned()
            );
        }
        let fields = &metadata.additional_fields;
        let proofs = fields.get("token_endpoint_auth_methods_supported").cloned().unwrap_or_default();
        let of = Found {
            takes_documents: fields.get("client_id_metadata_document_supported") == Some(&true.into()),
            issuer: metadata.issuer.clone(),
            token_endpoint: metadata.token_endpoint.clone(),
            proofs: serde_json::from_value(proofs).unwrap_or_default(),
        };
        manager.set_metadata(metadata);
        Ok((manager, of))
    }
}

/// Who authorises for a server, and whether that is but a guess of the protocol of 2025-03-26.
pub(super) async fn resolved(
    manager: &AuthorizationManager,
    url: &str,
    challenge: Option<&str>,
) -> Result<(AuthorizationMetadata, bool), String> {
    match manager.resolve_metadata_from_challenge(challenge).await {
        Ok(found) => Ok((found.metadata, found.source == AuthorizationMetadataSource::LegacyEndpointFallback)),
        Err(err @ AuthError::AuthorizationServerMismatch { .. }) => match legacy::metadata(url, challenge).await {
            Some(metadata) => Ok((metadata, false)),
            None => Err(refused(err)),
        },
        Err(err) => Err(refused(err)),
    }
}

/// Whether a person may be sent there (attack S16): a page over TLS, or on this machine.
pub(super) fn check_address(address: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(address).map_err(|_| "its authorisation server names no page".to_owned())?;
    // Whoever pastes it into a shell runs nothing by it.
    let is_plain = address.chars().all(|c| c.is_ascii_graphic() && !"`$\\\"'<>|;(){}".contains(c));
    let query = url.query().unwrap_or_default();
    let is_plain = is_plain && (query.is_empty() || query.split('&').all(|part| part.contains('=')));
    match is_trustworthy(address) && is_plain {
        true => Ok(()),
        false => Err("its authorisation server leads to an address that nobody should open".to_owned()),
    }
}

/// An error in words, without secrets: those of servers are cut.
pub(super) fn refused(err: AuthError) -> String {
    let text = match &err {
        AuthError::AuthorizationRequired => "it has to be authorised anew: `clara mcp oauth-start`".to_owned(),
        AuthError::PkceUnsupported => "its authorisation server does not offer PKCE with S256".to_owned(),
        AuthError::InternalError(why) if why.contains("state not found") => {
            "this answer belongs to no authorisation that has begun, or was used already".to_owned()
        }
        AuthError::HttpError(_) => "its authorisation server cannot be reached".to_owned(),
        other => visible(&other.to_string()),
    };
    text.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack S16.
    #[test]
    fn nobody_is_sent_to_what_is_no_page() {
        for address in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "http://as.example/authorize",
            "https://as.example/$(calc)",
            "https://as.example/a b",
            "https://as.example/`id`",
            "https://as.example/a?x=y&reboot&z=1",
            "https://as.example/a?x=y&{touch,/tmp/x}=1",
            "",
        ] {
            assert!(check_address(address).is_err(), "{address}");
        }
        for address in ["https://as.example/authorize?a=b%20c&d=e", "http://127.0.0.1:9/authorize?x=y"] {
            check_address(address).unwrap();
        }
    }
}
