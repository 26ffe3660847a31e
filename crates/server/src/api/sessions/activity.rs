//! One use of a session: while it goes on, the session is not idle.

use std::sync::Arc;
use std::time::Duration;

use switchtower_core::error::Error;
use switchtower_core::session::Session;
use tokio::time::timeout;

/// A use. The time of its session begins anew when it begins and when it is dropped.
pub(super) struct Use {
    session: Arc<Session>,
}

impl Use {
    /// A session that is paused goes on.
    pub(super) async fn begin(session: Arc<Session>) -> Result<Self, Error> {
        session.resume(session.options().timeout).await?;
        Ok(Self { session })
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Waits for `what`, however long it takes.
    pub(super) async fn during<T>(&self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        let often = (self.idle() / 2).max(Duration::from_millis(1));
        loop {
            match timeout(often, &mut what).await {
                Ok(done) => return done,
                Err(_) => self.session.extend(self.idle()),
            }
        }
    }

    fn idle(&self) -> Duration {
        self.session.options().timeout
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.session.extend(self.idle());
    }
}
