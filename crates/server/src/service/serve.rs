//! Serving connections: how many, how slow they may be, and how they end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::ServiceExt as _;

use super::config::Config;
use super::connections::{Connection, Connections, NoRoom};
use super::peer::{Peer, PeerAddress};
use super::request_tracking::{Answering, received, sent};
use super::write_timeout::Patient;

/// Longest head of a request, in bytes: the longest signed link and 16 KiB of headers.
const LONGEST_HEAD: usize = 32 << 10;
/// Bytes that are read ahead of what a request's handler has taken.
const READ_AHEAD: usize = 64 << 10;

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request that was under way was answered.
    Whole,
    /// This many connections were still busy at the deadline; their programs were cancelled.
    Cut(usize),
}

/// What one connection needs of the settings.
#[derive(Clone, Copy)]
struct Times {
    head: Duration,
    patience: Duration,
}

/// Serves `app` until `shutdown`, then drains: no new connections, idle ones closed, what runs may finish within
/// `config.drain_timeout`, the rest is cancelled.
pub async fn serve<L: Listener<Addr: Peer>>(
    mut listener: L,
    shutdown: impl Future<Output = ()>,
    app: Router,
    config: &Config,
) -> Drained {
    let table = Connections::new(config.max_connections, config.max_connections_per_address);
    let times = Times { head: config.head_timeout, patience: config.client_timeout };
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    // One that was accepted while all others were busy.
    let mut held: Option<(L::Io, L::Addr)> = None;
    loop {
        if let Some((io, address)) = held.take() {
            match table.admit(address.ip()) {
                Ok(connection) => {
                    connections.spawn(serve_one(io, app.clone(), times, stopping.clone(), connection));
                }
                Err(NoRoom::ForAddress) => {}
                Err(NoRoom::Now) => held = Some((io, address)),
            }
        }
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            // Until there is room for one more, the kernel holds those after it.
            () = table.freed(), if held.is_some() => {}
            accepted = listener.accept(), if held.is_none() => held = Some(accepted),
        }
    }
    drop((listener, held));
    let _ = stop.send(true);
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.drain_timeout, rest).await.is_ok() {
        return Drained::Whole;
    }
    let cut = connections.len();
    connections.shutdown().await;
    Drained::Cut(cut)
}

/// One connection to its end. Dropping it drops the requests under way, which ends their programs.
async fn serve_one<Io>(io: Io, app: Router, times: Times, mut stopping: watch::Receiver<bool>, connection: Connection)
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let mut io = Patient::new(io, times.patience, Arc::clone(&connection));
    let mut head = std::pin::pin!(sleep(times.head));
    // A connection that says nothing has no buffers yet.
    tokio::select! {
        biased;
        () = connection.closed() => return,
        _ = stopping.wait_for(|stop| *stop) => return,
        begun = io.begin() => if !begun { return },
        () = &mut head => return,
    }
    let of_requests = Arc::clone(&connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = Answering::begin(&of_requests);
        let mut request = received(request, &of_requests);
        if let Some(address) = of_requests.address() {
            request.extensions_mut().insert(PeerAddress(address));
        }
        let app = app.clone();
        async move {
            match app.oneshot(request).await {
                Ok(response) => Ok::<_, Infallible>(sent(response, answering)),
                Err(never) => match never {},
            }
        }
    });
    // What is large is in a box, so that connections that say nothing are small.
    let mut served = Box::pin(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(times.patience)
            .max_header_size(LONGEST_HEAD)
            .max_buf_size(READ_AHEAD)
            .serve_connection(TokioIo::new(io), service),
    );
    let late = async {
        head.await;
        // The first request has to be whole by now; the others have their own time.
        if !connection.is_new() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = connection.closed() => return,
        () = late => return,
        () = async { drop(stopping.wait_for(|stop| *stop).await) } => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection broke off");
    }
}
