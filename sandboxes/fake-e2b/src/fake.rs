//! The stand-in itself.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::serve::ListenerExt as _;
use futures_util::future::join_all;
use tokio::net::TcpListener;

use crate::chance::Chance;
use crate::counts::Counts;
use crate::door;
use crate::faults::{Desk, Faults};
use crate::fleet::{End, Fleet, Standing};
use crate::latency::Act;
use crate::sandbox::Kind;
use crate::settings::Settings;
use crate::wall::Wall;

/// A stand-in for E2B. Clones are the same one. When the last is dropped, its sandboxes end.
#[derive(Clone)]
pub struct Fake {
    pub(crate) parts: Arc<Parts>,
}

/// What a stand-in is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) faults: Desk,
    pub(crate) chance: Chance,
    pub(crate) wall: Wall,
    pub(crate) kind: Kind,
    /// Creations that are under way.
    pub(crate) creating: AtomicUsize,
}

impl Fake {
    /// A stand-in without sandboxes. Call it inside a runtime: its clock is the runtime's.
    pub fn new(settings: Settings) -> Self {
        let parts = Parts {
            fleet: Fleet::new(settings.clone()),
            faults: Desk::new(settings.faults.clone()),
            chance: Chance::new(settings.seed),
            wall: Wall::new(),
            kind: Kind::new(&settings.kernels),
            creating: AtomicUsize::new(0),
            settings,
        };
        Self { parts: Arc::new(parts) }
    }

    /// All three planes as one service.
    pub fn app(&self) -> Router {
        door::app(self.clone())
    }

    pub fn counts(&self) -> Counts {
        self.parts.fleet.counts()
    }

    /// Begins to count anew.
    pub fn reset_counts(&self) {
        self.parts.fleet.reset_counts();
    }

    /// These faults from now on, and no others.
    pub fn set_faults(&self, faults: Faults) {
        self.parts.faults.replace(faults);
    }

    /// The ids of the sandboxes that run, the newest first.
    pub fn live(&self) -> Vec<String> {
        let running = self.parts.fleet.all().into_iter().filter(|held| held.standing == Standing::Running);
        running.map(|held| held.sandbox.id.clone()).collect()
    }

    /// Takes a sandbox away, silently. What is not there stays so.
    pub fn vanish(&self, id: &str) {
        self.parts.fleet.end_soon(id, End::Vanished);
    }

    /// Ends every sandbox and waits for its processes.
    pub async fn close(&self) {
        let all = self.parts.fleet.all();
        join_all(all.iter().map(|held| self.parts.fleet.end(&held.sandbox.id, End::Closed))).await;
    }

    /// Lets as much time pass as this takes.
    pub(crate) async fn pass(&self, act: Act) {
        let time = self.parts.settings.latency.draw(act, &self.parts.chance);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }
}

/// Serves a stand-in until `shutdown`, then ends its sandboxes.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, fake: Fake, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let app = fake.app();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // Small lines of a stream must not wait for the acknowledgement of earlier ones.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let serving = IntoFuture::into_future(serving);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown => {}
    }
    let _ = stop.send(());
    // Answers that wait for a program end with it.
    fake.close().await;
    // Clients keep idle connections open; they are not waited for.
    tokio::time::timeout(GRACE, serving).await.unwrap_or(Ok(()))
}

/// Longest that open connections are waited for.
const GRACE: std::time::Duration = std::time::Duration::from_secs(2);
