//! A forward proxy for what has no other way out: tunnels (RFC 9110, `CONNECT`) and plain
//! requests, to hosts that are allowed alone. Whatever it leads to is resolved and checked
//! here, each time; a redirect comes back to whoever asked, and is asked for anew.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use service_kit::task::{self, TaskKind};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::{Host, Web};

/// How long a host may take to be there.
const CONNECT: Duration = Duration::from_secs(10);
/// Connections at the same time; others wait.
const CONNECTIONS: usize = 32;
/// What may not be passed on from one side to the other (RFC 9110, 7.6.1).
const OF_ONE_HOP: [HeaderName; 5] = [CONNECTION, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE];

type Body = BoxBody<Bytes, hyper::Error>;

/// Leads to hosts that are allowed.
pub(crate) struct Proxy {
    web: Web,
    hosts: Arc<[Host]>,
    /// Is told what was refused, and why: programs seldom show what a proxy answers.
    tell: Tell,
    /// Ends the tunnels with whoever asked for them.
    stop: CancellationToken,
}

pub(crate) type Tell = Box<dyn Fn(&str) + Send + Sync>;

impl Proxy {
    /// Serves a socket until what is given is dropped, and all that was led through then ends.
    pub(crate) fn serve(web: Web, hosts: Arc<[Host]>, tell: Tell, listener: UnixListener) -> DropGuard {
        let stop = CancellationToken::new();
        let proxy = Arc::new(Self { web, hosts, tell, stop: stop.clone() });
        task::spawn(TaskKind::Watch, "sandbox-proxy", async move {
            let connections = Arc::new(Semaphore::new(CONNECTIONS));
            let accepted = async {
                loop {
                    let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
                    let Ok((stream, _)) = listener.accept().await else { return };
                    let proxy = Arc::clone(&proxy);
                    task::spawn(TaskKind::Watch, "sandbox-proxy-connection", async move {
                        let stop = proxy.stop.clone();
                        stop.run_until_cancelled(proxy.speak(stream)).await;
                        drop(permit);
                    });
                }
            };
            proxy.stop.run_until_cancelled(accepted).await;
        });
        stop.drop_guard()
    }

    async fn speak(self: Arc<Self>, stream: UnixStream) {
        // A tunnel outlives the request that asked for it, and is this connection's still.
        let (opened, mut tunnels) = tokio::sync::mpsc::channel(1);
        let proxy = Arc::clone(&self);
        let service = service_fn(move |request| {
            let (proxy, opened) = (Arc::clone(&proxy), opened.clone());
            async move { Ok::<_, Infallible>(proxy.answer(request, &opened).await) }
        });
        let spoken = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        if let Err(err) = spoken {
            debug!(error = %err, "a connection from the sandbox ended");
        }
        if let Ok((upgrade, mut there)) = tunnels.try_recv() {
            let upgrade: hyper::upgrade::OnUpgrade = upgrade;
            if let Ok(here) = upgrade.await {
                // Either side may end it at any time.
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(here), &mut there).await;
            }
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        opened: &tokio::sync::mpsc::Sender<(hyper::upgrade::OnUpgrade, TcpStream)>,
    ) -> Response<Body> {
        let uri = request.uri().clone();
        let is_tunnel = request.method() == Method::CONNECT;
        let is_plain = !is_tunnel && uri.scheme_str() == Some("http");
        let (Some(host), true) = (uri.host(), is_tunnel || is_plain) else {
            return told(StatusCode::BAD_REQUEST, "this is a proxy: ask it for http:// addresses, or to CONNECT");
        };
        let port = uri.port_u16().unwrap_or(if is_tunnel { 443 } else { 80 });
        if !self.hosts.iter().any(|allowed| allowed.allows(host, port)) {
            return self.refused(StatusCode::FORBIDDEN, host, port, "it is not among the hosts that may be reached");
        }
        let there = match self.connect(host, port).await {
            Ok(there) => there,
            Err(why) => return self.refused(StatusCode::BAD_GATEWAY, host, port, &why),
        };
        if is_tunnel {
            let upgrade = hyper::upgrade::on(&mut request);
            return match opened.try_send((upgrade, there)) {
                Ok(()) => Response::new(Full::default().map_err(|never| match never {}).boxed()),
                Err(_) => told(StatusCode::BAD_REQUEST, "there is a tunnel already"),
            };
        }
        self.pass_on(request, &uri, there).await.unwrap_or_else(|why| told(StatusCode::BAD_GATEWAY, &why))
    }

    fn refused(&self, status: StatusCode, host: &str, port: u16, why: &str) -> Response<Body> {
        (self.tell)(&format!("[no way to {host}:{port}: {why}]\n"));
        told(status, why)
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let connected = async {
            let addresses = self.web.addresses(host, port).await?;
            TcpStream::connect(&*addresses).await.map_err(|err| err.to_string())
        };
        let connected = tokio::time::timeout(CONNECT, connected).await;
        connected.map_err(|_| format!("it gave no answer within {CONNECT:?}"))?
    }

    /// One plain request, on a connection of its own.
    async fn pass_on(
        &self,
        mut request: Request<Incoming>,
        uri: &Uri,
        there: TcpStream,
    ) -> Result<Response<Body>, String> {
        let failed = |err: hyper::Error| err.to_string();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Incoming>(TokioIo::new(there)).await.map_err(failed)?;
        let stop = self.stop.clone();
        task::spawn(TaskKind::Watch, "sandbox-proxy-request", async move {
            // How it ended is known from the answer.
            stop.run_until_cancelled(connection).await;
        });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| "that is no path".to_owned())?;
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        OF_ONE_HOP.iter().for_each(|name| drop(request.headers_mut().remove(name)));
        request.headers_mut().remove("proxy-connection");
        // Whose page it is says the address, whatever else stands there (RFC 9112, 3.2.2).
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        request.headers_mut().insert(HOST, HeaderValue::from_str(host).map_err(|err| err.to_string())?);
        let mut response = sender.send_request(request).await.map_err(failed)?;
        OF_ONE_HOP.iter().for_each(|name| drop(response.headers_mut().remove(name)));
        Ok(response.map(BodyExt::boxed))
    }
}

fn told(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(Full::from(format!("{why}\n")).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}
