//! Serving connections: how many, how slow they may be, and how they end.

use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::Config;
use super::patient::Patient;

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request that was under way was answered.
    Whole,
    /// This many connections were still busy at the deadline; their programs were cancelled.
    Cut(usize),
}

/// Serves `app` until `shutdown`, then drains: no new connections, idle ones closed, what runs may finish within
/// `config.drain`, the rest is cancelled.
pub async fn serve<L: Listener>(
    mut listener: L,
    shutdown: impl Future<Output = ()>,
    app: Router,
    config: &Config,
) -> Drained {
    let room = Arc::new(Semaphore::new(config.connections));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (io, permit) = next(&mut listener, &room) => {
                connections.spawn(connection(io, app.clone(), config.clone(), stopping.clone(), permit));
            }
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.drain, rest).await.is_ok() {
        return Drained::Whole;
    }
    let cut = connections.len();
    connections.shutdown().await;
    Drained::Cut(cut)
}

/// The next connection, once there is room for it; until then the kernel holds the others.
async fn next<L: Listener>(listener: &mut L, room: &Arc<Semaphore>) -> (L::Io, OwnedSemaphorePermit) {
    let permit = Arc::clone(room).acquire_owned().await.expect("nobody closes this semaphore");
    let (io, _) = listener.accept().await;
    (io, permit)
}

/// One connection to its end. Dropping it drops the requests under way, which ends their programs.
async fn connection<Io>(
    io: Io,
    app: Router,
    config: Config,
    mut stopping: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Patient::new(io, config.patience));
    let mut served = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.patience)
            .serve_connection(io, TowerToHyperService::new(app))
    );
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = async { drop(stopping.wait_for(|stop| *stop).await) } => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection broke off");
    }
}
