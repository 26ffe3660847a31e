//! The machine's way to the internet: a port of its loopback whose connections continue in connections that the backend has
//! opened for them. The backend serves an HTTP proxy there; nothing of it is known here.
//!
//! `POST /switchtower/egress` is such a connection. It waits until a program connects to the port; then one byte is sent, and
//! from there on the program's bytes.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use switchtower_e2b_wire::errors;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;

/// The value of the header `Upgrade`.
const PROTOCOL: &str = "switchtower-egress";
/// Connections of programs at once. Further ones wait in the kernel.
const MAX_CONNECTIONS: usize = 256;
/// Connections of the backend that wait for a program.
const MAX_WAITING: usize = 8;
/// How long a program's connection waits for one of the backend.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The connections of the backend that wait for a program.
pub(super) struct Egress {
    sender: mpsc::Sender<TokioIo<Upgraded>>,
    waiting: Mutex<mpsc::Receiver<TokioIo<Upgraded>>>,
}

impl Default for Egress {
    fn default() -> Self {
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        Self { sender, waiting: Mutex::new(waiting) }
    }
}

impl Egress {
    /// Answers with the connection's upgrade.
    pub(super) fn open(&self, mut request: Request<Incoming>) -> Response {
        let is_upgrade = request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == PROTOCOL);
        if !is_upgrade {
            return errors::api(StatusCode::UPGRADE_REQUIRED, "it needs the header Upgrade: switchtower-egress");
        }
        let upgraded = hyper::upgrade::on(&mut request);
        let sender = self.sender.clone();
        tokio::spawn(async move {
            if let Ok(upgraded) = upgraded.await {
                // Where enough wait, this one ends.
                let _ = sender.try_send(TokioIo::new(upgraded));
            }
        });
        let headers = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, PROTOCOL)];
        (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
    }

    /// Serves a port of the loopback until this is dropped.
    pub(super) async fn serve(self: Arc<Self>, port: u16) -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            match listener.accept().await {
                Ok((program, _)) => {
                    let egress = Arc::clone(&self);
                    tokio::spawn(async move {
                        egress.pass_on(program).await;
                        drop(permit);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn pass_on(&self, mut program: TcpStream) {
        let _ = program.set_nodelay(true);
        // Without one, the program sees its connection end.
        if let Ok(Some(mut backend)) = timeout(WAIT_TIMEOUT, self.next()).await {
            // Either side may break off; both are closed then.
            let _ = copy_bidirectional(&mut program, &mut backend).await;
        }
    }

    /// Returns a connection of the backend that is open.
    async fn next(&self) -> Option<TokioIo<Upgraded>> {
        let mut waiting = self.waiting.lock().await;
        loop {
            let mut backend = waiting.recv().await?;
            // One that the backend has given up is passed over.
            if backend.write_all(&[1]).await.is_ok() && backend.flush().await.is_ok() {
                return Some(backend);
            }
        }
    }
}
