//! WebSocket to a program's port: the machine changes the protocol, and from then on bytes are copied both ways.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use switchtower_contract::{Machine, Upgraded};
use switchtower_core::session::{MachineUse, Session};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::{Instant, sleep};

use super::forward;
use crate::service::stopping::Stopping;

/// Time without a byte in either direction after which a connection is closed, as E2B's proxy does after ten minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(600);
/// Time between two records of a use that goes on.
const USE_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes that are read at a time, in each direction.
const PIECE_BYTES: usize = 16 << 10;

/// Whether a connection is a use of the session, which keeps its machine awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Yes,
    No,
}

/// Whether a request asks for WebSocket. Other protocols may be ignored by the rules of HTTP.
pub(super) fn is_requested(headers: &HeaderMap) -> bool {
    let upgrade = headers.get_all(header::UPGRADE).into_iter().filter_map(|value| value.to_str().ok());
    upgrade.flat_map(|value| value.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Asks the machine for WebSocket on a port, and copies bytes until either side or the session ends, the server stops, or
/// nothing is sent for [`IDLE_LIMIT`].
pub(super) async fn open(
    session: &Arc<Session>,
    machine: &dyn Machine,
    port: u16,
    parts: Parts,
    client: OnUpgrade,
    counted: Counted,
) -> Response {
    if counted == Counted::Yes {
        session.record_machine_use(MachineUse::StartsProcess);
    }
    let stopping = Stopping::of(&parts.extensions);
    let mut request = forward::request(session, port, parts, Bytes::new());
    set_protocol(request.headers_mut());
    let (head, connection) = match machine.upgrade(port, request).await {
        Ok(Upgraded::Switched(head, connection)) => (head, connection),
        Ok(Upgraded::Refused(answer)) => return forward::given_back(session, port, answer),
        Err(fault) => return forward::failed(session, &fault),
    };
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let record = || {
            if counted == Counted::Yes {
                session.record_machine_use(MachineUse::Call);
            }
        };
        let copied = async {
            match client.await {
                Ok(client) => copy_both(TokioIo::new(client), connection, record).await,
                Err(error) => tracing::debug!(%error, "a client left before its protocol changed"),
            }
        };
        tokio::select! {
            () = copied => {}
            () = session.lifetime().stopped() => {}
            () = stopping.wait() => {}
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = forward::passing(head.headers());
    set_protocol(response.headers_mut());
    response
}

/// Sets the headers of a connection that changes to WebSocket.
fn set_protocol(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Copies bytes both ways until one side ends, or nothing is sent for [`IDLE_LIMIT`]. `record` is called while bytes are
/// copied.
async fn copy_both(
    client: impl AsyncRead + AsyncWrite,
    machine: impl AsyncRead + AsyncWrite,
    record: impl Fn() + Sync,
) {
    let activity = Activity { started: Instant::now(), last: AtomicU64::new(0), record };
    let (from_client, to_client) = split(client);
    let (from_machine, to_machine) = split(machine);
    tokio::select! {
        _ = copy(from_client, to_machine, &activity) => {}
        _ = copy(from_machine, to_client, &activity) => {}
        () = activity.wait_for_idle() => {}
    }
}

/// When bytes were copied last.
struct Activity<F> {
    started: Instant,
    /// In milliseconds from the start.
    last: AtomicU64,
    record: F,
}

impl<F: Fn()> Activity<F> {
    fn note(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if Duration::from_millis(now.saturating_sub(self.last.load(Ordering::Relaxed))) >= USE_INTERVAL {
            self.last.store(now, Ordering::Relaxed);
            (self.record)();
        }
    }

    async fn wait_for_idle(&self) {
        loop {
            let last = self.started + Duration::from_millis(self.last.load(Ordering::Relaxed));
            // The time of the last byte is known to within `USE_INTERVAL`.
            match (IDLE_LIMIT + USE_INTERVAL).checked_sub(last.elapsed()) {
                Some(left) if !left.is_zero() => sleep(left).await,
                _ => return,
            }
        }
    }
}

async fn copy<F: Fn()>(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    activity: &Activity<F>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        activity.note();
        to.write_all(piece.get(..read).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_either_side_does_or_nothing_is_sent_for_ten_minutes() {
        for ends in ["client", "machine", "neither"] {
            let ((mut client, ours), (theirs, mut machine)) = (duplex(64), duplex(64));
            let uses = AtomicU32::new(0);
            let copying = copy_both(ours, theirs, || _ = uses.fetch_add(1, Ordering::Relaxed));
            let talking = async {
                let mut read = [0; 4];
                sleep(IDLE_LIMIT).await;
                client.write_all(b"ping").await.unwrap();
                machine.read_exact(&mut read).await.unwrap();
                machine.write_all(b"pong").await.unwrap();
                client.read_exact(&mut read).await.unwrap();
                assert_eq!(&read, b"pong");
                match ends {
                    "client" => drop(client),
                    "machine" => drop(machine),
                    _ => std::future::pending().await,
                }
            };
            let began = Instant::now();
            let both = async {
                tokio::select! {
                    () = copying => {}
                    () = async { talking.await; std::future::pending().await } => {}
                }
            };
            timeout(IDLE_LIMIT * 3, both).await.unwrap();
            let expected = if ends == "neither" { IDLE_LIMIT * 2 } else { IDLE_LIMIT };
            assert!(began.elapsed() >= expected && began.elapsed() <= expected + USE_INTERVAL * 2, "{ends}");
            assert_eq!(uses.into_inner(), 1, "{ends}");
        }
    }
}
