//! Asks for a page: every hop is looked at before it is made, and names are resolved to
//! public addresses alone, so that a name that changes its mind leads nowhere either.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Response, Url, redirect};

use super::near::{PublicNames, may_be_asked, near, public, refused};

/// How long a page may take, with all of its hops.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
pub(super) const CONNECT: Duration = Duration::from_secs(8);
/// Redirects that are followed.
const HOPS: usize = 5;
/// The part of a page that is read, in bytes.
const BYTES: usize = 4 * 1024 * 1024;
/// Longest address, in bytes.
const URL_BYTES: usize = 4096;

const ACCEPTED: HeaderValue = HeaderValue::from_static("text/html, text/plain, application/json, */*;q=0.5");

/// A page as it came.
pub(crate) struct Fetched {
    /// Where it was in the end.
    pub(crate) url: String,
    /// Its type, without parameters, in small letters.
    pub(crate) kind: String,
    /// The encoding of its text, as the server said.
    pub(crate) charset: String,
    pub(crate) body: Vec<u8>,
    /// Whether there was more of it.
    pub(crate) is_cut: bool,
}

/// The way to the web.
#[derive(Clone)]
pub(crate) struct Web {
    /// Resolves names to public addresses alone.
    guarded: Client,
    /// For what the operator named.
    open: Client,
    /// `host:port` of what may be nearer than the internet.
    private: Arc<[String]>,
}

impl Web {
    pub(crate) fn new(private: Vec<String>) -> anyhow::Result<Self> {
        let builder = || {
            // A proxy would resolve names where nobody looks.
            Client::builder()
                .no_proxy()
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT)
                .timeout(PATIENCE)
                .user_agent(concat!("Clara/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            guarded: builder().dns_resolver(Arc::new(PublicNames)).build()?,
            open: builder().build()?,
            private: private.into_iter().map(|host| host.to_lowercase()).collect(),
        })
    }

    /// For addresses that the operator chose.
    pub(super) fn chosen(&self) -> &Client {
        &self.open
    }

    /// Where a host is that may be asked, each address of it; the error says why it may not.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let failed = |err: std::io::Error| err.to_string();
        let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await.map_err(failed)?;
        if self.is_private(host, port) {
            return Ok(found.collect());
        }
        public(host, found, &near().map_err(failed)?)
    }

    /// Whether the operator said that it may be asked though it is near.
    fn is_private(&self, host: &str, port: u16) -> bool {
        self.private.iter().any(|known| *known == format!("{}:{port}", host.to_lowercase()))
    }

    /// What stands at an address; the error is for the model.
    pub(crate) async fn fetch(&self, address: &str) -> Result<Fetched, String> {
        let fetched = tokio::time::timeout(PATIENCE, self.follow(address)).await;
        fetched.map_err(|_| format!("it took longer than {PATIENCE:?}"))?
    }

    async fn follow(&self, address: &str) -> Result<Fetched, String> {
        if address.len() > URL_BYTES {
            return Err(format!("an address has at most {URL_BYTES} bytes"));
        }
        let mut url = Url::parse(address).map_err(|err| format!("{address:?} is no address of a page: {err}"))?;
        for _ in 0..=HOPS {
            let response = self.client_for(&url)?.get(url.clone()).header(ACCEPT, ACCEPTED).send().await;
            let response = response.map_err(|err| told(&err))?;
            if !response.status().is_redirection() {
                return read(url, response).await;
            }
            let next = response.headers().get(LOCATION).and_then(|next| next.to_str().ok());
            let next = next.ok_or_else(|| format!("it answered {} and did not say where to", response.status()))?;
            url = url.join(next).map_err(|err| format!("it leads to {next:?}, which is no address: {err}"))?;
        }
        Err(format!("it leads elsewhere more than {HOPS} times"))
    }

    /// Who may ask for this, or why nobody may.
    fn client_for(&self, url: &Url) -> Result<&Client, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("a page is at http:// or https://, not {}:", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address with a user or a password in it is not asked".to_owned());
        }
        let Some(host) = url.host_str() else { return Err("the address names no host".to_owned()) };
        let port = url.port_or_known_default().unwrap_or_default();
        if self.is_private(host, port) {
            return Ok(&self.open);
        }
        // Numbers are not resolved by anybody: however they are written, the host is one address here.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !may_be_asked(address, &near().map_err(|err| err.to_string())?) => Err(refused(host)),
            _ => Ok(&self.guarded),
        }
    }
}

async fn read(url: Url, mut response: Response) -> Result<Fetched, String> {
    let status = response.status();
    if !status.is_success() {
        return Err(format!("it answered {status}"));
    }
    let said = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("text/html");
    let said = said.to_lowercase();
    let mut parts = said.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_owned();
    let charset = parts.find_map(|part| part.strip_prefix("charset=")).unwrap_or("utf-8");
    let charset = charset.trim_matches('"').to_owned();
    let (mut body, mut is_cut) = (Vec::new(), false);
    while let Some(chunk) = response.chunk().await.map_err(|err| told(&err))? {
        let room = BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            is_cut = true;
            break;
        }
    }
    Ok(Fetched { url: url.into(), kind, charset, body, is_cut })
}

/// An error with what lies under it, without the address.
pub(super) fn told(err: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = err;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    match err {
        _ if err.is_timeout() => "it gave no answer in time".to_owned(),
        _ => format!("it cannot be asked: {source}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack S15, as far as it needs no server: nothing is asked of these.
    #[tokio::test]
    async fn what_is_near_is_not_asked() {
        let web = Web::new(Vec::new()).unwrap();
        for (address, because) in [
            ("http://169.254.169.254/latest/meta-data", "not on the public internet"),
            ("http://[::ffff:127.0.0.1]/", "not on the public internet"),
            ("http://0x7f.1/", "not on the public internet"),
            ("http://2130706433/", "not on the public internet"),
            ("http://0177.0.0.1/", "not on the public internet"),
            ("http://127.1:4222/", "not on the public internet"),
            ("http://localhost/", "not on the public internet"),
            ("http://[::1]:8080/", "not on the public internet"),
            ("http://user:secret@example.org/", "a user or a password in it"),
            ("file:///etc/passwd", "http:// or https://, not file:"),
            ("gopher://127.0.0.1:70/x", "http:// or https://, not gopher:"),
            ("javascript:alert(1)", "http:// or https://, not javascript:"),
            ("no address", "is no address of a page"),
        ] {
            let why = web.fetch(address).await.err().unwrap();
            assert!(!why.contains("secret") && why.contains(because), "{address}: {why}");
        }
    }
}
