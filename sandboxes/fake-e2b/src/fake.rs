//! The stand-in: its state, and how it is served.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::serve::ListenerExt as _;
use futures_util::future::join_all;
use tokio::net::TcpListener;

use crate::clock::WallClock;
use crate::counts::Counts;
use crate::faults::{FaultInjector, Faults};
use crate::handlers;
use crate::latency::Operation;
use crate::random::SeededRandom;
use crate::sandbox::KernelKind;
use crate::sandboxes::{EndReason, SandboxState, Sandboxes};
use crate::settings::Settings;

/// A stand-in for E2B. Clones share one state. When the last clone is dropped, its sandboxes end.
#[derive(Clone)]
pub struct Fake {
    pub(crate) state: Arc<State>,
}

pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) sandboxes: Arc<Sandboxes>,
    pub(crate) faults: FaultInjector,
    pub(crate) random: SeededRandom,
    pub(crate) clock: WallClock,
    pub(crate) kernels: KernelKind,
    /// Creations in flight.
    pub(crate) creating: AtomicUsize,
}

impl Fake {
    /// Returns a stand-in without sandboxes. Call it inside a runtime, whose clock it uses.
    pub fn new(settings: Settings) -> Self {
        let state = State {
            sandboxes: Sandboxes::new(settings.clone()),
            faults: FaultInjector::new(settings.faults.clone()),
            random: SeededRandom::new(settings.seed),
            clock: WallClock::new(),
            kernels: KernelKind::new(&settings.kernels),
            creating: AtomicUsize::new(0),
            settings,
        };
        Self { state: Arc::new(state) }
    }

    /// Returns control plane, interpreter and envd as one service.
    pub fn app(&self) -> Router {
        handlers::app(self.clone())
    }

    pub fn counts(&self) -> Counts {
        self.state.sandboxes.counts()
    }

    /// Sets the counts to zero; sandboxes that exist count as created now.
    pub fn reset_counts(&self) {
        self.state.sandboxes.reset_counts();
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: Faults) {
        self.state.faults.replace(faults);
    }

    /// Returns the ids of the sandboxes that run, the newest first.
    pub fn running(&self) -> Vec<String> {
        let running = self.state.sandboxes.all().into_iter().filter(|entry| entry.state == SandboxState::Running);
        running.map(|entry| entry.sandbox.id.clone()).collect()
    }

    /// Ends a sandbox without notice, as the fault `vanish` does. Does nothing where there is none.
    pub fn vanish(&self, id: &str) {
        self.state.sandboxes.end_soon(id, EndReason::Vanished);
    }

    /// Ends every sandbox and waits for its processes.
    pub async fn close(&self) {
        let all = self.state.sandboxes.all();
        join_all(all.iter().map(|entry| self.state.sandboxes.end(&entry.sandbox.id, EndReason::Closed))).await;
    }

    /// Waits as long as this operation takes by the latency profile.
    pub(crate) async fn simulate_latency(&self, operation: Operation) {
        let time = self.state.settings.latency.draw(operation, &self.state.random);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }
}

/// Serves a stand-in until `shutdown`, then ends its sandboxes.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener, fake: Fake, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let app = fake.app();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // A small row must not wait until the client has acknowledged earlier ones.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let serving = IntoFuture::into_future(serving);
    tokio::pin!(serving);
    tokio::select! {
        biased;
        ended = &mut serving => return ended,
        () = shutdown => {}
    }
    let _ = stop.send(());
    // Responses that wait for a program end with it.
    fake.close().await;
    // Clients keep idle connections open, so not for ever.
    tokio::time::timeout(DRAIN_TIMEOUT, serving).await.unwrap_or(Ok(()))
}

/// Longest wait for connections to close.
const DRAIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
