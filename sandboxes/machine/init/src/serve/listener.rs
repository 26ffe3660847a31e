//! The connections of the backend.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use switchtower_machine_streams::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use super::{Services, channel, tunnel};

/// Most connections at once. Further ones wait.
const MAX_CONNECTIONS: usize = 4096;
/// Bytes of a connection that are buffered.
const BUFFER_BYTES: usize = 64 << 10;
/// Pause after a connection could not be accepted, for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until this is dropped. A connection that fails ends alone.
pub(super) async fn serve(listener: UnixListener, services: Arc<Services>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let services = services.clone();
                tokio::spawn(async move {
                    serve_connection(stream, services).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves the streams of one connection until that ends. Their number is limited by the backend.
pub(super) async fn serve_streams(mut acceptor: Acceptor, services: Arc<Services>) {
    while let Some(stream) = acceptor.accept().await {
        tokio::spawn(serve_connection(stream, services.clone()));
    }
}

async fn serve_connection<T>(stream: T, services: Arc<Services>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let services = services.clone();
        async move { Ok::<_, Infallible>(answer(&services, request).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.max_buf_size(BUFFER_BYTES).half_close(false);
    // The backend sees the failure itself.
    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn answer(services: &Services, request: Request<Incoming>) -> Response {
    match (request.method(), request.uri().path()) {
        (&Method::CONNECT, _) => tunnel::open(request).await,
        (&Method::POST, "/switchtower/channel") => channel::open(services, request).await,
        (&Method::POST, "/switchtower/egress") => services.egress.open(request),
        _ => services.daemon.call(request.map(Body::new)).await,
    }
}
