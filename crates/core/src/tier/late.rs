//! A backend that starts while the server already answers.
//!
//! Its tier is part of the routes as soon as its offer is known, and what is opened in it waits until it has started. If it
//! does not start, its tier is absent from then on.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use switchtower_contract::{Backend, Fault, Kernel, KernelOptions, Kernels, Need, Offer, Sandbox, Spec};
use tokio::sync::watch;

use super::AbsentTier;

/// A backend that starts. It is created with [`LateBackend::new`], and the one who starts it reports the steps.
pub struct LateBackend {
    /// Whether the backend opens kernels.
    kernels: bool,
    offer: OnceLock<Offer>,
    /// The packages that programs will find.
    packages: OnceLock<Vec<(String, String)>>,
    /// What it waits for.
    step: Mutex<String>,
    end: OnceLock<Result<Arc<dyn Backend>, AbsentTier>>,
    /// Changes when the offer becomes known, and when the start has ended.
    changes: watch::Sender<()>,
}

impl LateBackend {
    /// Returns a backend that has not started. `step`: what it waits for; `kernels`: whether it will open kernels.
    pub fn new(step: impl Into<String>, kernels: bool) -> Arc<Self> {
        Arc::new(Self {
            kernels,
            offer: OnceLock::new(),
            packages: OnceLock::new(),
            step: Mutex::new(step.into()),
            end: OnceLock::new(),
            changes: watch::Sender::new(()),
        })
    }

    /// Sets what the start waits for now.
    pub fn set_step(&self, step: impl Into<String>) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step.into();
    }

    /// Sets what the backend will offer, and the packages that programs will find. The first call counts.
    pub fn set_offer(&self, offer: Offer, packages: Vec<(String, String)>) {
        let _ = self.packages.set(packages);
        let _ = self.offer.set(offer);
        self.changes.send_replace(());
    }

    /// Ends the start: `backend` runs programs from now on. The first call of this or of [`fail`](Self::fail) counts.
    pub fn open(&self, backend: Arc<dyn Backend>) {
        let _ = self.offer.set(backend.offer());
        let _ = self.end.set(Ok(backend));
        self.changes.send_replace(());
    }

    /// Ends the start: the tier is absent.
    pub fn fail(&self, absent: AbsentTier) {
        let _ = self.end.set(Err(absent));
        self.changes.send_replace(());
    }

    /// Returns the offer, if it is known and the start has not failed.
    pub(super) fn usable_offer(&self) -> Option<&Offer> {
        self.offer.get().filter(|_| !matches!(self.end.get(), Some(Err(_))))
    }

    pub(super) fn absent(&self) -> Option<&AbsentTier> {
        self.end.get()?.as_ref().err()
    }

    /// Returns what the start waits for; `None` once it has ended.
    pub(super) fn starting(&self) -> Option<String> {
        self.end.get().is_none().then(|| self.step.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Waits until the offer is known or the start has failed.
    pub(super) async fn wait_for_offer(&self) {
        self.wait_until(|| self.offer.get().is_some() || self.end.get().is_some()).await;
    }

    /// Waits until the start has ended.
    pub(super) async fn wait_for_end(&self) {
        self.wait_until(|| self.end.get().is_some()).await;
    }

    async fn wait_until(&self, condition: impl Fn() -> bool) {
        let mut changes = self.changes.subscribe();
        while !condition() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns the backend once the start has ended.
    async fn started(&self) -> Result<&Arc<dyn Backend>, Fault> {
        self.wait_for_end().await;
        match self.end.get() {
            Some(Ok(backend)) => Ok(backend),
            Some(Err(absent)) => Err(Fault::Refused { reason: absent.reason.clone(), retry_after: None }),
            None => Err(Fault::Unavailable { reason: "it did not start".to_owned() }),
        }
    }
}

#[async_trait]
impl Backend for LateBackend {
    fn offer(&self) -> Offer {
        self.offer.get().cloned().unwrap_or_else(Offer::nothing)
    }

    fn runtime(&self) -> Arc<str> {
        self.end.get().and_then(|end| end.as_ref().ok()).map_or_else(|| "".into(), |backend| backend.runtime())
    }

    fn packages(&self) -> Vec<(String, String)> {
        match self.end.get() {
            Some(Ok(backend)) => backend.packages(),
            _ => self.packages.get().cloned().unwrap_or_default(),
        }
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        self.started().await?.open(spec).await
    }

    async fn open_attempt(&self, spec: &Spec, attempt: u32) -> Result<Box<dyn Sandbox>, Fault> {
        self.started().await?.open_attempt(spec, attempt).await
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        match self.end.get() {
            Some(Ok(backend)) => backend.kernels(),
            _ => self.kernels.then_some(self as &dyn Kernels),
        }
    }
}

#[async_trait]
impl Kernels for LateBackend {
    async fn open_kernel(&self, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let unsupported = || Fault::Unsupported(Need::Language("a kernel that keeps its state".to_owned()));
        self.started().await?.kernels().ok_or_else(unsupported)?.open_kernel(options).await
    }
}
