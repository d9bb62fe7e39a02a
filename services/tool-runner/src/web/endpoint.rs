//! Endpoints that somebody's metadata name: asked at addresses that are as far away as whoever
//! named them, so that nobody on the internet has us ask our own neighbours. What is named by
//! a near address itself, or `localhost`, may name others near.

use std::net::IpAddr;
use std::sync::Arc;

use reqwest::{Client, Request, Response, Url, redirect};

use super::client::{CONNECT, PATIENCE};
use super::near::{PublicNames, may_be_asked, near, refused};

/// The way to the endpoints of one server.
pub(crate) struct Endpoints {
    client: Client,
    /// What they belong to is on the internet, and so must they be.
    is_guarded: bool,
}

impl Endpoints {
    /// `base` is the address of whoever names them.
    pub(crate) fn of(base: &str) -> Result<Self, String> {
        let url = Url::parse(base).map_err(|err| err.to_string())?;
        let host = url.host_str().ok_or("the address names no host")?.trim_matches(['[', ']']);
        let is_here = match host.parse::<IpAddr>() {
            Ok(address) => !may_be_asked(address, &near().map_err(|err| err.to_string())?),
            // Where any other name leads is up to whoever owns it, and changes when they like.
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        let is_guarded = !is_here;
        let client =
            Client::builder().no_proxy().redirect(redirect::Policy::none()).connect_timeout(CONNECT).timeout(PATIENCE);
        let client = if is_guarded { client.dns_resolver(Arc::new(PublicNames)) } else { client };
        Ok(Self { client: client.build().map_err(|err| err.to_string())?, is_guarded })
    }

    /// Asks one of them. No redirect is followed.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, String> {
        let literal = request.url().host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if self.is_guarded
            && let Some(address) = literal
            && !may_be_asked(address, &near().map_err(|err| err.to_string())?)
        {
            return Err(refused(&address.to_string()));
        }
        self.client.execute(request).await.map_err(|err| super::client::told(&err))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_far_away_names_nobody_near() {
        let post = |url: &str| Request::new(reqwest::Method::POST, Url::parse(url).unwrap());
        // A name may lead near at one time, and far away at another.
        for base in ["https://1.1.1.1/mcp", "https://evil.localhost/mcp"] {
            let far = Endpoints::of(base).unwrap();
            for url in [
                "http://127.0.0.1:9/token",
                "http://[::ffff:127.0.0.1]:9/token",
                "http://0x7f.1:9/token",
                "http://2130706433:9/token",
                "http://0177.0.0.1:9/token",
                "http://localhost:9/token",
                "http://10.0.0.1/token",
            ] {
                let refused = far.ask(post(url)).await.unwrap_err();
                assert!(refused.contains("not on the public internet"), "{base}, {url}: {refused}");
            }
        }
        // What is here itself may say so.
        let near = Endpoints::of("http://127.0.0.1:9/mcp").unwrap();
        assert!(!near.ask(post("http://127.0.0.1:9/token")).await.unwrap_err().contains("public internet"));
    }
}
