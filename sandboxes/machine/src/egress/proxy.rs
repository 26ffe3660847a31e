//! One connection of a machine's program to the proxy.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::log::EgressLog;
use super::network::EgressNetwork;
use super::policy::EgressPolicy;

/// From a program's connection to its tunnel: time for its request, the name and the connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// For one name, and for one address.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of a host that are tried.
const MAX_ADDRESSES: usize = 4;
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;

/// The proxy of one machine.
pub(crate) struct Proxy {
    pub(crate) policy: EgressPolicy,
    pub(crate) network: Arc<dyn EgressNetwork>,
    pub(crate) log: EgressLog,
}

/// Why there is no tunnel.
struct Refusal {
    status: StatusCode,
    why: String,
}

/// A connection that continues as a tunnel.
struct Tunnel {
    target: String,
    program: OnUpgrade,
    server: TcpStream,
}

impl Proxy {
    /// Serves a connection until it ends.
    pub(crate) async fn serve<T>(&self, connection: T)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = Mutex::new(None);
        let service = service_fn(|request| async {
            let (answer, tunnel) = self.answer(request).await;
            *opened.lock().unwrap_or_else(PoisonError::into_inner) = tunnel;
            Ok::<_, Infallible>(answer)
        });
        let mut server = http1::Builder::new();
        server.keep_alive(false).max_buf_size(MAX_HEAD);
        let served = server.serve_connection(TokioIo::new(connection), service).with_upgrades();
        // A program that breaks off sees so itself.
        let _ = timeout(OPEN_TIMEOUT, served).await;
        let tunnel = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(Tunnel { target, program, mut server }) = tunnel
            && let Ok(program) = program.await
        {
            let mut program = TokioIo::new(program);
            let (sent, received) = copy_bidirectional(&mut program, &mut server).await.unwrap_or_default();
            self.log.ended(&target, sent, received);
        }
    }

    async fn answer(&self, mut request: Request<Incoming>) -> (Response<Full<Bytes>>, Option<Tunnel>) {
        if request.method() != Method::CONNECT {
            let why = "this proxy serves CONNECT only: use https".to_owned();
            let mut answer = refused(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, why });
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("CONNECT"));
            return (answer, None);
        }
        let target = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        match self.connect(&target).await {
            Ok(server) => {
                let program = hyper::upgrade::on(&mut request);
                (Response::new(Full::default()), Some(Tunnel { target, program, server }))
            }
            Err(refusal) => (refused(refusal), None),
        }
    }

    /// Connects to what a program has asked for.
    async fn connect(&self, target: &str) -> Result<TcpStream, Refusal> {
        let connected = self.try_connect(target).await;
        let (decision, connected) = match connected {
            Ok((address, server)) => (Ok(address), Ok(server)),
            Err(refusal) => (Err(refusal.why.clone()), Err(refusal)),
        };
        self.log.decided(target, &decision);
        connected
    }

    async fn try_connect(&self, target: &str) -> Result<(SocketAddr, TcpStream), Refusal> {
        let denied = |why: String| Refusal { status: StatusCode::FORBIDDEN, why };
        let failed = |why: String| Refusal { status: StatusCode::BAD_GATEWAY, why };
        let parsed = target.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let (host, port) = parsed
            .ok_or_else(|| Refusal { status: StatusCode::BAD_REQUEST, why: "write CONNECT HOST:PORT".to_owned() })?;
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.policy.check_host(&host, port).map_err(denied)?;
        let addresses = timeout(STEP_TIMEOUT, self.network.resolve(&host, port)).await;
        let addresses = addresses.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        // The text of the error may name servers of this host's network.
        let addresses = addresses.map_err(|error| failed(format!("{host} was not resolved: {}", error.kind())))?;
        // Another address may be in its place when the name is asked for again, so it is not.
        let mut refusal = failed(format!("{host} has no address"));
        let mut allowed = Vec::new();
        for address in addresses {
            match self.policy.check_address(&host, address.ip()) {
                Ok(()) if self.network.is_own(address.ip()) => {
                    refusal = denied(format!("{host} leads to this host"));
                }
                Ok(()) => allowed.push(address),
                Err(why) => refusal = denied(why),
            }
        }
        for address in allowed.into_iter().take(MAX_ADDRESSES) {
            match timeout(STEP_TIMEOUT, self.network.connect(address)).await {
                Ok(Ok(server)) => {
                    // A small message must not wait until the server has acknowledged earlier ones.
                    let _ = server.set_nodelay(true);
                    return Ok((address, server));
                }
                Ok(Err(error)) => refusal = failed(format!("{host}:{port}: {}", error.kind())),
                Err(_) => refusal = failed(format!("{host}:{port} does not answer")),
            }
        }
        Err(refusal)
    }
}

/// Returns the response for a refusal. Most clients show its reason phrase, and few its body.
fn refused(Refusal { status, why }: Refusal) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(format!("{why}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Ok(reason) = ReasonPhrase::try_from(why.into_bytes()) {
        answer.extensions_mut().insert(reason);
    }
    answer
}

#[cfg(test)]
mod tests;
