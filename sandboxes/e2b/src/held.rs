//! A sandbox of ours, from its making to its end: awake and paid for, or asleep.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::account::Account;
use crate::cause::Trouble;
use crate::inside::Inside;
use crate::limits::Place;
use crate::meter::Running;

/// Time beyond a run's own that a sandbox must live for.
pub(crate) const MARGIN: Duration = Duration::from_secs(60);

/// A sandbox of ours. Dropped, it is ended.
pub(crate) struct Held {
    pub(crate) account: Arc<Account>,
    pub(crate) inside: Inside,
    /// None while it sleeps: then it takes no place and costs nothing.
    running: Option<(Place, Running)>,
    /// When E2B ends it by itself.
    ends: Instant,
}

impl Held {
    /// One that was made this moment.
    pub(crate) fn new(account: Arc<Account>, inside: Inside, running: (Place, Running)) -> Self {
        let ends = Instant::now() + account.config.lifetime;
        Self { account, inside, running: Some(running), ends }
    }

    /// Makes sure that it lives for at least so long.
    pub(crate) async fn lasts(&mut self, at_least: Duration) -> Result<(), Trouble> {
        if self.ends.saturating_duration_since(Instant::now()) < at_least {
            self.renew(at_least).await?;
        }
        Ok(())
    }

    /// Its lifetime begins anew.
    pub(crate) async fn renew(&mut self, at_least: Duration) -> Result<(), Trouble> {
        let lifetime = self.account.config.lifetime.max(at_least);
        // Counted from before the call, so that we never believe it longer than it is.
        let ends = Instant::now() + lifetime;
        self.account.control.set_timeout(self.inside.id(), lifetime).await?;
        self.ends = ends;
        Ok(())
    }

    /// Half of its lifetime is over, or more.
    pub(crate) fn is_old(&self) -> bool {
        self.ends.saturating_duration_since(Instant::now()) < self.account.config.lifetime / 2
    }

    pub(crate) async fn sleep(&mut self) -> Result<(), Trouble> {
        self.account.control.pause(self.inside.id()).await?;
        self.sleeps();
        Ok(())
    }

    /// E2B has it asleep: it takes no place and costs nothing until it wakes.
    pub(crate) fn sleeps(&mut self) {
        self.running = None;
        self.account.mark(self.inside.id(), true);
    }

    pub(crate) async fn wake(&mut self) -> Result<(), Trouble> {
        if self.running.is_some() {
            return Ok(());
        }
        let place = self.account.limits.place().await?;
        let lifetime = self.account.config.lifetime;
        let ends = Instant::now() + lifetime;
        let made = self.account.control.connect(self.inside.id(), lifetime).await?;
        self.inside.woken(made);
        self.ends = ends;
        self.running = Some((place, self.account.starts()));
        self.account.mark(self.inside.id(), false);
        Ok(())
    }
}

/// A sandbox that others hold.
#[derive(Clone)]
pub(crate) struct WeakShared(Weak<Mutex<Held>>);

impl WeakShared {
    /// Wakes it and lets it sleep again, where it sleeps and nobody is about to use it.
    pub(crate) async fn renew_lease(&self) -> Result<(), Trouble> {
        let Some(shared) = self.0.upgrade() else { return Ok(()) };
        let Ok(mut held) = shared.try_lock() else { return Ok(()) };
        if held.running.is_some() {
            return Ok(());
        }
        held.wake().await?;
        held.sleep().await
    }
}

/// A sandbox that several speak to: its kernels run side by side. It is ended when the last of them lets it go.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Held>>);

impl Shared {
    pub(crate) fn new(held: Held) -> Self {
        Self(Arc::new(Mutex::new(held)))
    }

    /// Lets others know it without keeping it alive.
    pub(crate) fn downgrade(&self) -> WeakShared {
        WeakShared(Arc::downgrade(&self.0))
    }

    /// For as long as nobody else is to change it.
    pub(crate) async fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().await
    }

    /// The way into it as it is.
    pub(crate) async fn inside(&self) -> Inside {
        self.0.lock().await.inside.clone()
    }

    /// The way into it, once it is awake and lives for at least so long.
    pub(crate) async fn awake(&self, at_least: Duration) -> Result<Inside, Trouble> {
        let mut held = self.0.lock().await;
        held.wake().await?;
        held.lasts(at_least).await?;
        Ok(held.inside.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.bury(self.inside.id().to_owned(), self.running.take(), self.ends);
    }
}
