//! A sandbox in use: running and billed, or paused. Dropping its guard ends it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::account::Account;
use crate::error::CallError;
use crate::limits::SandboxReservation;
use crate::meter::BillingTimer;
use crate::sandbox_client::SandboxClient;

/// Time that a sandbox must live beyond the end of a run.
pub(crate) const MARGIN: Duration = Duration::from_secs(60);

/// A sandbox of this process. Dropping it ends the sandbox.
pub(crate) struct CloudSandboxGuard {
    pub(crate) account: Arc<Account>,
    pub(crate) client: SandboxClient,
    /// `None` while it is paused: then it does not count against the cap, and is not billed.
    running: Option<(SandboxReservation, BillingTimer)>,
    /// When its lifetime ends it.
    ends: Instant,
}

impl CloudSandboxGuard {
    /// Returns the guard of a sandbox that was created this moment.
    pub(crate) fn new(
        account: Arc<Account>,
        client: SandboxClient,
        running: (SandboxReservation, BillingTimer),
    ) -> Self {
        let ends = Instant::now() + account.config.lifetime;
        Self { account, client, running: Some(running), ends }
    }

    /// Makes sure that it lives for at least so long from now.
    pub(crate) async fn ensure_lifetime(&mut self, at_least: Duration) -> Result<(), CallError> {
        if self.ends.saturating_duration_since(Instant::now()) < at_least {
            self.renew(at_least).await?;
        }
        Ok(())
    }

    /// Starts its lifetime anew; it is at least so long.
    pub(crate) async fn renew(&mut self, at_least: Duration) -> Result<(), CallError> {
        let lifetime = self.account.config.lifetime.max(at_least);
        // From before the call, so that E2B never ends it earlier than this says.
        let ends = Instant::now() + lifetime;
        self.account.control.set_timeout(self.client.id(), lifetime).await?;
        self.ends = ends;
        Ok(())
    }

    /// Whether half of its lifetime is over.
    pub(crate) fn needs_renewal(&self) -> bool {
        self.ends.saturating_duration_since(Instant::now()) < self.account.config.lifetime / 2
    }

    pub(crate) async fn pause(&mut self) -> Result<(), CallError> {
        self.account.control.pause(self.client.id()).await?;
        self.set_paused();
        Ok(())
    }

    /// Records that E2B has paused it.
    pub(crate) fn set_paused(&mut self) {
        self.running = None;
        self.account.record_pause(self.client.id());
    }

    pub(crate) async fn resume(&mut self) -> Result<(), CallError> {
        if self.running.is_some() {
            return Ok(());
        }
        let reservation = self.account.limits.sandbox().await?;
        let lifetime = self.account.config.lifetime;
        let ends = Instant::now() + lifetime;
        let access = self.account.control.connect(self.client.id(), lifetime).await?;
        self.client.set_access(access);
        self.ends = ends;
        self.running = Some((reservation, self.account.start_billing()));
        self.account.record_resume(self.client.id());
        Ok(())
    }
}

/// A shared sandbox, without keeping it alive.
#[derive(Clone)]
pub(crate) struct WeakSandbox(Weak<Mutex<CloudSandboxGuard>>);

impl WeakSandbox {
    /// Returns the sandbox while it has not ended.
    pub(crate) fn upgrade(&self) -> Option<SharedSandbox> {
        self.0.upgrade().map(SharedSandbox)
    }

    /// Resumes and pauses it again, where it is paused and not about to be used.
    pub(crate) async fn renew_lease(&self) -> Result<(), CallError> {
        let Some(sandbox) = self.0.upgrade() else { return Ok(()) };
        let Ok(mut guard) = sandbox.try_lock() else { return Ok(()) };
        if guard.running.is_some() {
            return Ok(());
        }
        guard.resume().await?;
        guard.pause().await
    }
}

/// A sandbox with several users: kernels that run side by side. It ends when the last of them is dropped.
#[derive(Clone)]
pub(crate) struct SharedSandbox(Arc<Mutex<CloudSandboxGuard>>);

impl SharedSandbox {
    pub(crate) fn new(guard: CloudSandboxGuard) -> Self {
        Self(Arc::new(Mutex::new(guard)))
    }

    pub(crate) fn downgrade(&self) -> WeakSandbox {
        WeakSandbox(Arc::downgrade(&self.0))
    }

    pub(crate) async fn lock(&self) -> MutexGuard<'_, CloudSandboxGuard> {
        self.0.lock().await
    }

    /// Returns its client, whether or not it runs.
    pub(crate) async fn client(&self) -> SandboxClient {
        self.0.lock().await.client.clone()
    }

    /// Returns its client once it runs and lives for at least so long.
    pub(crate) async fn running(&self, at_least: Duration) -> Result<SandboxClient, CallError> {
        let mut guard = self.0.lock().await;
        guard.resume().await?;
        guard.ensure_lifetime(at_least).await?;
        Ok(guard.client.clone())
    }
}

impl Drop for CloudSandboxGuard {
    fn drop(&mut self) {
        self.account.end(self.client.id().to_owned(), self.running.take(), self.ends);
    }
}
