//! Serves connections: admits them, bounds how slow they may be, and drains them at shutdown.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::serve::Listener;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use switchtower_core::error::Kind;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tower::ServiceExt as _;

use super::client_stream::ClientStream;
use super::config::Config;
use super::connections::{AtLimit, Connection, Connections, NotAdmitted};
use super::peer::{Peer, PeerAddress, PeerStream};
use super::problem::{Problem, ProblemKind};
use super::request_tracking::{RequestGuard, track_request, track_response};
use super::stopping::Stopping;
use super::tls::{Protocol, ServerTls};
use super::write_timeout::WriteTimeout;

/// Maximum bytes of a request's head: the longest signed link and 16 KiB of headers.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Time at shutdown within which the first request of a new connection is still answered.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(250);
/// Maximum bytes that are read ahead of what a request's handler has taken.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// How draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request in progress was answered.
    Complete,
    /// This many connections were still busy at the deadline; their programs were cancelled.
    Cancelled(usize),
}

/// The time-outs of one connection.
#[derive(Clone, Copy)]
struct Timeouts {
    /// Until the head of the first request is complete.
    first_head: Duration,
    /// Longest silence of the client.
    client: Duration,
}

/// What all connections of a server are served with.
#[derive(Clone)]
struct Server {
    app: Router,
    tls: Option<ServerTls>,
    timeouts: Timeouts,
    stopping: watch::Receiver<bool>,
}

/// Serves `app`, over TLS too if there is a certificate, until `shutdown`, then drains: accepts no more connections,
/// closes idle ones, lets requests in progress finish within `config.drain_timeout`, and cancels the rest.
pub async fn serve<L: Listener<Io: PeerStream, Addr: Peer>>(
    mut listener: L,
    shutdown: impl Future<Output = ()>,
    app: Router,
    config: &Config,
    tls: Option<&ServerTls>,
) -> Drained {
    let table = Connections::new(config.max_connections, config.max_connections_per_address);
    let timeouts = Timeouts { first_head: config.head_timeout, client: config.client_timeout };
    let (stop, stopping) = watch::channel(false);
    let server = Server { app, tls: tls.cloned(), timeouts, stopping };
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    // A connection that was accepted while all others were busy.
    let mut pending: Option<(L::Io, L::Addr)> = None;
    loop {
        if let Some((io, address)) = pending.take() {
            match table.admit(address.ip(), AtLimit::CloseAnother) {
                Ok(connection) => drop(connections.spawn(server.clone().serve_one(io, connection))),
                Err(NotAdmitted::AddressFull) => {}
                Err(NotAdmitted::Full) => pending = Some((io, address)),
            }
        }
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            // Until it is admitted, further connections wait in the kernel.
            () = table.wait_for_capacity(), if pending.is_some() => {}
            accepted = listener.accept(), if pending.is_none() => pending = Some(accepted),
        }
    }
    // Connections that the kernel has established already hold requests: each gets its answer, or a refusal beyond the
    // limits. None is closed for another. The pause lets the runtime learn which there are.
    tokio::task::yield_now().await;
    let refusing = Server { app: Router::new().fallback(refuse_at_shutdown), ..server.clone() };
    // Linux holds one more than its backlog; one more is pending.
    let established = config.backlog as usize + 2;
    let refused = Connections::new(established, 0);
    for _ in 0..established {
        // Without its share of a turn, which 128 connections use up: all are accepted in this one.
        let accept = || tokio::task::unconstrained(listener.accept()).now_or_never();
        let Some((io, address)) = pending.take().or_else(accept) else { break };
        let (server, connection) = match table.admit(address.ip(), AtLimit::Refuse) {
            Ok(connection) => (&server, Ok(connection)),
            Err(_) => (&refusing, refused.admit(None, AtLimit::Refuse)),
        };
        if let Ok(connection) = connection {
            connections.spawn(server.clone().serve_one(io, connection));
        }
    }
    drop((listener, pending));
    let _ = stop.send(true);
    let remaining = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.drain_timeout, remaining).await.is_ok() {
        return Drained::Complete;
    }
    let cancelled = connections.len();
    connections.shutdown().await;
    Drained::Cancelled(cancelled)
}

/// Refuses the request of a connection beyond the limits when the server stops.
async fn refuse_at_shutdown() -> Problem {
    Problem::new(Kind::Overloaded, "the server is shutting down").retry_after(Duration::from_secs(1))
}

/// Refuses plain HTTP of other machines on a port with TLS.
async fn refuse_plain_http() -> Problem {
    let detail = "plain HTTP of other machines is off (http.tls.plain_http): use https://";
    Problem::new(ProblemKind::Forbidden, detail)
}

/// Resolves [`FIRST_REQUEST_GRACE`] after the server has begun to stop.
async fn stopped_for_long(mut stopping: watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
    sleep(FIRST_REQUEST_GRACE).await;
}

/// Performs a step of a connection before its first request; `None` if the connection must be closed meanwhile. Until
/// that request it may be closed for another, has the time of a head, and ends soon after the server has begun to stop.
async fn before_first_request<T>(
    connection: &Connection,
    stopping: &watch::Receiver<bool>,
    head: Pin<&mut Sleep>,
    step: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        () = connection.wait_for_close() => None,
        done = step => Some(done),
        () = stopped_for_long(stopping.clone()) => None,
        () = head => None,
    }
}

impl Server {
    /// Serves one connection until it ends. Dropping this drops its requests in progress, which ends their programs.
    async fn serve_one<Io>(self, io: Io, connection: Connection)
    where
        Io: PeerStream,
    {
        let Self { mut app, tls, timeouts, mut stopping } = self;
        let connection = Arc::new(connection);
        let mut io = WriteTimeout::new(io, timeouts.client);
        let mut head = std::pin::pin!(sleep(timeouts.first_head));
        // A connection has no buffers before its first byte.
        let first = before_first_request(&connection, &stopping, head.as_mut(), io.wait_for_first_byte()).await;
        let Some(first) = first.flatten() else { return };
        let protocol = tls.as_ref().map_or(Protocol::Plain, |tls| tls.protocol(first, connection.address()));
        if protocol == Protocol::Refused {
            app = Router::new().fallback(refuse_plain_http);
        }
        let (open, closed) = oneshot::channel();
        let io = match tls.filter(|_| protocol == Protocol::Tls) {
            None => ClientStream::plain(io, Arc::clone(&connection), open),
            Some(tls) => {
                let handshake = Box::pin(tls.accept(io));
                match before_first_request(&connection, &stopping, head.as_mut(), handshake).await {
                    Some(Ok(io)) => ClientStream::tls(io, Arc::clone(&connection), open),
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a TLS handshake failed");
                        return;
                    }
                    None => return,
                }
            }
        };
        let request_connection = Arc::clone(&connection);
        let request_stopping = Stopping::new(stopping.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let guard = RequestGuard::begin(&request_connection);
            let (mut request, unread) = track_request(request, &request_connection);
            if let Some(address) = request_connection.address() {
                request.extensions_mut().insert(PeerAddress(address));
            }
            request.extensions_mut().insert(request_stopping.clone());
            let app = app.clone();
            async move {
                match app.oneshot(request).await {
                    Ok(response) => Ok::<_, Infallible>(track_response(unread.finish(response).await, guard)),
                    Err(never) => match never {},
                }
            }
        });
        // Boxed, so that a connection before its first byte is small.
        let mut served = Box::pin(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(timeouts.client)
                .max_header_size(MAX_HEAD_BYTES)
                .max_buf_size(READ_AHEAD_BYTES)
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades(),
        );
        let first_head_timed_out = async {
            head.await;
            // The head of the first request must be complete by now; later ones have hyper's time-out.
            if !connection.is_new() {
                std::future::pending::<()>().await;
            }
        };
        // What has arrived of the first request is answered: hyper would close a connection that has had none.
        let stop = async {
            drop(stopping.wait_for(|stop| *stop).await);
            if connection.is_new() {
                sleep(FIRST_REQUEST_GRACE).await;
            }
        };
        let ended = tokio::select! {
            biased;
            ended = served.as_mut() => ended,
            () = connection.wait_for_close() => return,
            () = first_head_timed_out => return,
            () = stop => {
                served.as_mut().graceful_shutdown();
                served.as_mut().await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "the connection ended with an error");
        }
        // With another protocol, it is open until its handler drops it.
        drop(served);
        let _ = closed.await;
    }
}
