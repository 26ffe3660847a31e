//! When the server stops, for handlers whose work has no end of its own.

use axum::http::Extensions;
use tokio::sync::watch;

/// Whether the server stops. An extension of every request.
#[derive(Clone)]
pub(crate) struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    pub(super) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self(Some(stopping))
    }

    /// Returns that of a request; one that never stops for a request that came over no connection.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or(Self(None))
    }

    /// Resolves when the server begins to stop.
    pub(crate) async fn wait(self) {
        match self.0 {
            Some(mut stopping) => drop(stopping.wait_for(|stop| *stop).await),
            None => std::future::pending().await,
        }
    }
}
