//! How a server comes to know who asks.

use domain::mcp::{Authorisation, Callback, VouchedBy};

use crate::fields::optional_text;
use crate::v1::mcp_request::oauth::{Complete, Enterprise, Machine, SetToken, Start, Status, What};

impl From<&Authorisation> for What {
    fn from(value: &Authorisation) -> Self {
        match value.clone() {
            Authorisation::Start { redirect_uri, client_id, client_secret } => What::Start(Start {
                redirect_uri,
                client_id: client_id.unwrap_or_default(),
                client_secret: client_secret.unwrap_or_default(),
            }),
            // Whoever was refused has nothing to complete.
            Authorisation::Complete(Callback { code, state, issuer, refusal: _ }) => {
                What::Complete(Complete { code, state, issuer: issuer.unwrap_or_default() })
            }
            Authorisation::Status => What::Status(Status {}),
            Authorisation::Machine { client_id, secret, algorithm } => {
                What::Machine(Machine { client_id, secret, algorithm: algorithm.unwrap_or_default() })
            }
            Authorisation::Enterprise { client_id, secret, provider } => What::Enterprise(Enterprise {
                client_id,
                secret,
                issuer: provider.issuer,
                issuer_client_id: provider.client_id,
                issuer_client_secret: provider.client_secret.unwrap_or_default(),
                token: provider.token,
                refresh: provider.is_refresh,
            }),
            Authorisation::SetToken { access_token, refresh_token } => {
                What::SetToken(SetToken { access_token, refresh_token: refresh_token.unwrap_or_default() })
            }
        }
    }
}

impl From<What> for Authorisation {
    fn from(raw: What) -> Self {
        match raw {
            What::Start(Start { redirect_uri, client_id, client_secret }) => Authorisation::Start {
                redirect_uri,
                client_id: optional_text(client_id),
                client_secret: optional_text(client_secret),
            },
            What::Complete(Complete { code, state, issuer }) => {
                Authorisation::Complete(Callback { code, state, issuer: optional_text(issuer), refusal: None })
            }
            What::Status(Status {}) => Authorisation::Status,
            What::Machine(Machine { client_id, secret, algorithm }) => {
                Authorisation::Machine { client_id, secret, algorithm: optional_text(algorithm) }
            }
            What::Enterprise(raw) => Authorisation::Enterprise {
                client_id: raw.client_id,
                secret: raw.secret,
                provider: VouchedBy {
                    issuer: raw.issuer,
                    client_id: raw.issuer_client_id,
                    client_secret: optional_text(raw.issuer_client_secret),
                    token: raw.token,
                    is_refresh: raw.refresh,
                },
            },
            What::SetToken(SetToken { access_token, refresh_token }) => {
                Authorisation::SetToken { access_token, refresh_token: optional_text(refresh_token) }
            }
        }
    }
}
