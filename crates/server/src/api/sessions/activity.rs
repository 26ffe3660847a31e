//! A use of a session. While it lasts, the session is not idle.

use std::sync::Arc;
use std::time::Duration;

use switchtower_core::error::Error;
use switchtower_core::session::Session;
use tokio::time::timeout;

/// The idle time-out of the session restarts when this is created, and again when it is dropped.
pub(super) struct SessionUse {
    session: Arc<Session>,
}

impl SessionUse {
    /// Resumes the session if it is paused.
    pub(super) async fn begin(session: Arc<Session>) -> Result<Self, Error> {
        session.resume(session.options().timeout).await?;
        Ok(Self { session })
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Runs a future to its end, and keeps the session from becoming idle meanwhile.
    pub(super) async fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let interval = (self.idle_timeout() / 2).max(Duration::from_millis(1));
        loop {
            match timeout(interval, &mut future).await {
                Ok(output) => return output,
                Err(_) => self.session.lifetime().extend(self.idle_timeout()),
            }
        }
    }

    fn idle_timeout(&self) -> Duration {
        self.session.options().timeout
    }
}

impl Drop for SessionUse {
    fn drop(&mut self) {
        self.session.lifetime().extend(self.idle_timeout());
    }
}
