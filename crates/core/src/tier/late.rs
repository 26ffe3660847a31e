//! A backend that starts while the server already answers.
//!
//! Its tier is part of the routes as soon as its offer is known, and what is opened in it waits until it has started. If it
//! does not start, its tier is absent from then on.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use switchtower_contract::{Backend, Fault, Kernel, KernelOptions, Kernels, Language, Need, Offer, Sandbox, Spec};
use tokio::sync::watch;

use super::AbsentTier;
use super::queue::SlotRefusal;

/// A backend that starts. It is created with [`LateBackend::new`], and the one who starts it reports the steps.
pub struct LateBackend {
    /// Whether the backend opens kernels.
    kernels: bool,
    /// With the packages that programs will find.
    offer: OnceLock<(Offer, Vec<(String, String)>)>,
    /// What it waits for.
    step: Mutex<String>,
    end: OnceLock<Result<Arc<dyn Backend>, NotStarted>>,
    /// Changes when the offer becomes known, and when the start has ended.
    changes: watch::Sender<()>,
}

/// Why a start ended without a backend.
enum NotStarted {
    Absent(AbsentTier),
    ShuttingDown,
}

impl LateBackend {
    /// Returns a backend that has not started. `step`: what it waits for; `kernels`: whether it will open kernels.
    pub fn new(step: impl Into<String>, kernels: bool) -> Arc<Self> {
        Arc::new(Self {
            kernels,
            offer: OnceLock::new(),
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
        let _ = self.offer.set((offer, packages));
        self.changes.send_replace(());
    }

    /// Ends the start: `backend` runs programs from now on. Returns false if the start had ended before.
    pub fn open(&self, backend: Arc<dyn Backend>) -> bool {
        let _ = self.offer.set((backend.offer(), backend.packages()));
        self.end_with(Ok(backend))
    }

    /// Ends the start: the tier is absent. Returns false if the start had ended before.
    pub fn fail(&self, absent: AbsentTier) -> bool {
        self.end_with(Err(NotStarted::Absent(absent)))
    }

    /// Ends the start because the server shuts down: what waits for it is refused.
    pub(super) fn shut_down(&self) {
        self.end_with(Err(NotStarted::ShuttingDown));
    }

    fn end_with(&self, end: Result<Arc<dyn Backend>, NotStarted>) -> bool {
        let is_first = self.end.set(end).is_ok();
        self.changes.send_replace(());
        is_first
    }

    /// Returns the offer, if it is known and the start has not failed.
    pub(super) fn usable_offer(&self) -> Option<&Offer> {
        let (offer, _) = self.offer.get()?;
        self.absent().is_none().then_some(offer)
    }

    pub(super) fn absent(&self) -> Option<&AbsentTier> {
        match self.end.get()? {
            Err(NotStarted::Absent(absent)) => Some(absent),
            Ok(_) | Err(NotStarted::ShuttingDown) => None,
        }
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        matches!(self.end.get(), Some(Err(NotStarted::ShuttingDown)))
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
            Some(Err(NotStarted::Absent(absent))) => {
                Err(Fault::Refused { reason: absent.reason.clone(), retry_after: None })
            }
            Some(Err(NotStarted::ShuttingDown)) => {
                let refusal = SlotRefusal::shutting_down();
                Err(Fault::Refused { reason: refusal.to_string(), retry_after: Some(refusal.retry_after()) })
            }
            None => Err(Fault::Unavailable { reason: "it did not start".to_owned() }),
        }
    }
}

#[async_trait]
impl Backend for LateBackend {
    fn offer(&self) -> Offer {
        self.offer.get().map_or_else(Offer::nothing, |(offer, _)| offer.clone())
    }

    fn runtime(&self) -> Arc<str> {
        self.end.get().and_then(|end| end.as_ref().ok()).map_or_else(|| "".into(), |backend| backend.runtime())
    }

    fn packages(&self) -> Vec<(String, String)> {
        match self.end.get() {
            Some(Ok(backend)) => backend.packages(),
            _ => self.offer.get().map(|(_, packages)| packages.clone()).unwrap_or_default(),
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
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let unsupported = || Fault::Unsupported(Need::Language("a kernel that keeps its state".to_owned()));
        self.started().await?.kernels().ok_or_else(unsupported)?.open_kernel(language, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use switchtower_contract::scripted::{Scripted, Settings};
    use switchtower_contract::{Location, Modules, Program};
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::request::{Request, RequestLimits};
    use crate::seed::Seed;
    use crate::tier::{Config, StartWaitError, Tier, Tiers, WalkError, pool};

    /// A local tier that starts beside a remote one that is up.
    fn tiers() -> (Tiers, Arc<LateBackend>) {
        let seed = Seed::fixed(1);
        let mut settings = Settings::default();
        settings.offer.location = Location::Remote;
        let remote = Tier::new("cloud".into(), Arc::new(Scripted::new(1, settings)), Config::default(), &seed);
        let late = LateBackend::new("it looks for its guest", false);
        (Tiers::new([remote, Tier::late("local".into(), Arc::clone(&late), Config::default(), &seed)]), late)
    }

    fn request() -> Request {
        let request = Request::new(Program::python("1"), &RequestLimits::default()).unwrap();
        Request { timeout: Duration::from_secs(30), ..request }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_half_of_its_time_for_a_local_tier_before_a_remote_one_is_bought() {
        let (tiers, late) = tiers();
        let (request, began) = (request(), Instant::now());
        let deadline = began + request.timeout;
        let offered = async {
            sleep(Duration::from_secs(4)).await;
            late.set_offer(Scripted::default().offer(), Vec::new());
        };
        let (waited, ()) = tokio::join!(tiers.wait_for_offers(&request, deadline), offered);
        assert!(waited.is_ok() && tiers.iter().any(|tier| tier.name().as_str() == "local"));
        assert_eq!(began.elapsed(), Duration::from_secs(4));

        let (tiers, _late) = self::tiers();
        let began = Instant::now();
        assert!(tiers.wait_for_offers(&request, began + request.timeout).await.is_ok());
        assert_eq!(began.elapsed(), Duration::from_secs(15));
        let named = Request { tier: Some("local".into()), ..request };
        let (began, deadline) = (Instant::now(), Instant::now() + named.timeout);
        assert!(matches!(tiers.wait_for_offers(&named, deadline).await, Err(WalkError::TimedOut { .. })));
        assert_eq!(began.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_opens_machines_once_their_backend_has_started_and_each_serves_every_language() {
        let mut settings = Settings::default();
        settings.offer.machine = true;
        settings.offer.languages =
            [Language::Python, Language::Cpp].map(|language| (language, Modules::Any)).into_iter().collect();
        let backend = Scripted::new(1, settings);
        let late = LateBackend::new("its first machine starts", false);
        late.set_offer(backend.offer(), Vec::new());
        let pool = pool::Config {
            min: 1,
            target: 1,
            max_runs: 1,
            reuse: pool::Reuse::Never,
            min_ready: 1,
            ..pool::Config::default()
        };
        let config = Config { pool: Some(pool), ..Config::default() };
        let tier = Tier::late("machine".into(), Arc::clone(&late), config, &Seed::fixed(1));
        tier.start();
        sleep(Duration::from_secs(1)).await;
        assert!(!tier.is_ready() && backend.counts().live == 0);
        late.open(Arc::new(backend.clone()));
        sleep(Duration::from_secs(1)).await;
        assert!(tier.is_ready() && backend.counts().live == 1);
        let spec = Spec::new(Language::Cpp);
        let leased = tier.sandbox(&spec, Duration::from_secs(30), 1).await;
        let counts = tier.pool().unwrap().status().counts;
        assert!(leased.is_ok() && (counts.taken, counts.reused) == (1, 1), "{counts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_shutdown_what_waits_for_a_start_is_refused_at_once_as_overload() {
        let (tiers, _late) = tiers();
        let (request, began) = (Request { tier: Some("local".into()), ..request() }, Instant::now());
        let deadline = began + request.timeout;
        let shutdown = async {
            sleep(Duration::from_secs(2)).await;
            tiers.refuse_waiting();
        };
        let (waited, ()) = tokio::join!(tiers.wait_for_offers(&request, deadline), shutdown);
        let Err(WalkError::Overloaded { reason, retry_after }) = waited else { panic!("{waited:?}") };
        assert!(reason.contains("shutting down") && !retry_after.is_zero(), "{reason}");
        assert_eq!(began.elapsed(), Duration::from_secs(2));

        let (tiers, late) = self::tiers();
        late.set_offer(Scripted::default().offer(), Vec::new());
        tiers.refuse_waiting();
        let refused = tiers.get(&"local".into()).unwrap().wait_until_started(deadline).await;
        assert!(matches!(refused, Err(StartWaitError::Refused(_))));
        assert!(!late.open(Arc::new(Scripted::default())), "the start has ended already");
    }
}
