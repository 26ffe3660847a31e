//! One account: every sandbox of this process in it, from its creation until E2B has confirmed its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use switchtower_contract::{NetworkPolicy, Price};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::address::Address;
use crate::budget::Now;
use crate::config::Config;
use crate::control::{ControlPlane, CreateSandbox, ListedSandbox, SandboxAccess};
use crate::error::{CallError, Cause};
use crate::identity::{Identity, PROCESS};
use crate::key::Key;
use crate::limits::{self, AccountLimits, SandboxReservation};
use crate::meter::{AccountCost, BillingTimer, Meter};
use crate::orphans::LEASE;
use crate::sandbox_client::SandboxClient;
use crate::sandbox_guard::{CloudSandboxGuard, WeakSandbox};
use crate::transport::Transport;

pub(crate) struct Account {
    pub(crate) config: Config,
    pub(crate) control: ControlPlane,
    pub(crate) limits: Arc<AccountLimits>,
    transport: Arc<dyn Transport>,
    address: Address,
    metadata: BTreeMap<String, String>,
    meter: Meter,
    now: Now,
    /// Held for a few instructions.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By id.
    live: BTreeMap<String, LiveSandbox>,
    /// Sandboxes whose end E2B did not confirm. Each counts against the cap until it is known to have ended.
    unconfirmed: BTreeMap<String, UnconfirmedEnd>,
    /// Creations that were started.
    started: u64,
    /// Creations whose outcome is not known yet, by number.
    pending: BTreeSet<String>,
    created: u64,
    killed: u64,
    /// Sandboxes that were dropped outside a runtime. Their lifetime ends them.
    abandoned: u64,
    /// Why no sandbox can be created from the template.
    template_problem: Option<String>,
    wrong_tags: u64,
    /// Those since the last sandbox with the right tag.
    wrong_tags_in_a_row: u64,
    swept: u64,
    /// Creations and kills in progress. They outlive their callers.
    tasks: JoinSet<()>,
}

struct LiveSandbox {
    created: Instant,
    /// `None` while it runs.
    paused: Option<Instant>,
    /// `None` before it is ready.
    sandbox: Option<WeakSandbox>,
}

struct UnconfirmedEnd {
    _running: Option<(SandboxReservation, BillingTimer)>,
    /// When its lifetime has ended it.
    until: Instant,
}

/// The state of an account, for status pages and metrics.
#[derive(Debug, Clone, Serialize)]
pub struct AccountStatus {
    pub api: String,
    pub template: String,
    pub tag: Option<String>,
    pub limits: limits::Status,
    pub created: u64,
    pub killed: u64,
    /// Sandboxes whose end E2B did not confirm.
    pub unconfirmed: u64,
    pub wrong_tags: u64,
    /// Orphaned sandboxes that were ended since the start.
    pub swept: u64,
    /// Why no sandbox can be created from the template. `None` where it exists, or was not looked up yet.
    pub template_problem: Option<String>,
    #[serde(flatten)]
    pub cost: AccountCost,
    pub sandboxes: Vec<CloudSandboxStatus>,
}

/// A sandbox that exists.
#[derive(Debug, Clone, Serialize)]
pub struct CloudSandboxStatus {
    pub id: String,
    pub age_ms: u64,
    pub asleep: bool,
}

/// The key of the metadata that numbers the creations of a process.
const CREATION: &str = "switchtower-creation";
/// Pauses before each search for the sandbox of a creation that failed.
const STRAY_LOOKUPS: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];
/// Attempts to end a sandbox, and the pause after the first one; it doubles.
const KILL_ATTEMPTS: (u32, Duration) = (4, Duration::from_millis(500));

impl Account {
    pub(crate) fn new(
        config: Config,
        address: Address,
        key: Key,
        transport: Arc<dyn Transport>,
        limits: AccountLimits,
        identity: &Identity,
        now: Now,
    ) -> Self {
        let limits = Arc::new(limits);
        let control = ControlPlane::new(transport.clone(), address.clone(), key, limits.clone());
        let (meter, state) = (Meter::default(), Mutex::default());
        Self { config, control, limits, transport, address, metadata: identity.metadata(), meter, now, state }
    }

    /// Creates a sandbox. `attempt` is the number of this try of its request, from 1.
    ///
    /// The creation continues when the caller leaves, and its sandbox is ended then: cancelling a creation could leave
    /// a sandbox that no process tracks.
    pub(crate) async fn create(
        self: &Arc<Self>,
        network: &NetworkPolicy,
        attempt: u32,
    ) -> Result<CloudSandboxGuard, CallError> {
        self.forget_expired();
        let reservation = self.limits.creation().await?;
        let (sender, receiver) = oneshot::channel();
        let (account, network) = (self.clone(), network.clone());
        self.state().tasks.spawn(async move {
            let created = account.create_reserved(reservation, &network, attempt).await;
            // Where the caller has left, dropping the guard ends the sandbox.
            drop(sender.send(created));
        });
        receiver.await.unwrap_or_else(|_| Err(CallError::unexpected("the account was closed")))
    }

    async fn create_reserved(
        self: Arc<Self>,
        reservation: limits::CreationReservation,
        network: &NetworkPolicy,
        attempt: u32,
    ) -> Result<CloudSandboxGuard, CallError> {
        let started = Instant::now();
        let number = self.start_creation();
        let metadata = self.metadata_of(&number);
        let new = CreateSandbox {
            template: self.config.template(),
            lifetime: self.config.lifetime,
            metadata: &metadata,
            network: &self.allowed_network(network),
        };
        let created = self.control.create(&new).await;
        let duration = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let template = new.template;
        match created {
            Ok(access) => {
                tracing::info!(
                    target: "e2b_metrics", event = "sandbox_create_success", sandboxId = access.id, template, attempt,
                    duration, "[E2B_METRICS]"
                );
                Ok(self.add(access, &number, reservation.created()))
            }
            Err(error) => {
                tracing::warn!(
                    target: "e2b_metrics", event = "sandbox_create_failure", template, attempt, duration,
                    error = %error, "[E2B_METRICS]"
                );
                if error.cause == Cause::Template {
                    self.set_template_problem(Some(error.to_string()));
                }
                if error.may_have_run {
                    let account = self.clone();
                    // The sandbox may still be running, so it keeps counting against the cap.
                    let reservation = reservation.created();
                    self.state().tasks.spawn(async move { account.end_stray(&number, reservation).await });
                } else {
                    self.state().pending.remove(&number);
                }
                Err(error)
            }
        }
    }

    /// Returns a policy as far as the account's settings allow it: without the internet, nothing is reached.
    fn allowed_network(&self, network: &NetworkPolicy) -> NetworkPolicy {
        if self.config.internet {
            return network.clone();
        }
        NetworkPolicy { internet: Some(false), allow_out: Vec::new(), ..network.clone() }
    }

    /// Replaces what a sandbox reaches on the internet.
    pub(crate) async fn set_network(&self, id: &str, network: &NetworkPolicy) -> Result<(), CallError> {
        self.control.set_network(id, &self.allowed_network(network)).await
    }

    /// Returns the number of a new creation.
    fn start_creation(&self) -> String {
        let mut state = self.state();
        state.started += 1;
        let number = state.started.to_string();
        state.pending.insert(number.clone());
        number
    }

    fn metadata_of(&self, number: &str) -> BTreeMap<String, String> {
        let mut metadata = self.metadata.clone();
        metadata.insert(CREATION.to_owned(), number.to_owned());
        metadata
    }

    /// Ends the sandbox of a creation that failed, if one exists because only the response was lost.
    async fn end_stray(&self, number: &str, reservation: SandboxReservation) {
        let metadata = self.metadata_of(number);
        let pairs: Vec<(&str, &str)> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for pause in STRAY_LOOKUPS {
            sleep(pause).await;
            let Ok(strays) = self.control.list(&pairs).await else { continue };
            for stray in strays {
                if self.kill(&stray.id).await.is_ok() {
                    tracing::warn!(
                        target: "e2b_metrics", event = "sandbox_stray_killed", sandboxId = stray.id, "[E2B_METRICS]"
                    );
                }
            }
            break;
        }
        drop(reservation);
        // The next sweep ends what appears later, as an orphan.
        self.state().pending.remove(number);
    }

    fn add(
        self: &Arc<Self>,
        access: SandboxAccess,
        number: &str,
        reservation: SandboxReservation,
    ) -> CloudSandboxGuard {
        let running = (reservation, self.meter.start());
        let mut state = self.state();
        state.created += 1;
        state.template_problem = None;
        state.live.insert(access.id.clone(), LiveSandbox { created: Instant::now(), paused: None, sandbox: None });
        state.pending.remove(number);
        drop(state);
        let client = SandboxClient::new(self.transport.clone(), self.limits.clone(), self.address.clone(), access);
        CloudSandboxGuard::new(self.clone(), client, running)
    }

    pub(crate) fn start_billing(&self) -> BillingTimer {
        self.meter.start()
    }

    pub(crate) fn record_pause(&self, id: &str) {
        if let Some(live) = self.state().live.get_mut(id) {
            live.paused.get_or_insert_with(Instant::now);
        }
    }

    pub(crate) fn record_resume(&self, id: &str) {
        if let Some(live) = self.state().live.get_mut(id) {
            live.paused = None;
        }
    }

    /// Records that a sandbox is ready, so that its lease can be renewed while it is paused.
    pub(crate) fn attach(&self, id: &str, sandbox: WeakSandbox) {
        if let Some(live) = self.state().live.get_mut(id) {
            live.sandbox = Some(sandbox);
        }
    }

    /// Renews the leases of sandboxes that were paused for half of them: each is resumed for a moment. Sandboxes that
    /// are about to be used are left alone.
    pub(crate) async fn renew_leases(&self) {
        let due: Vec<WeakSandbox> = {
            let state = self.state();
            let is_due = |live: &&LiveSandbox| live.paused.is_some_and(|at| at.elapsed() >= LEASE / 2);
            state.live.values().filter(is_due).filter_map(|live| live.sandbox.clone()).collect()
        };
        for sandbox in due {
            if let Err(error) = sandbox.renew_lease().await {
                tracing::warn!(%error, "the lease of a paused sandbox could not be renewed; it may have ended");
            }
        }
    }

    /// Ends a sandbox whose guard was dropped. At `until` its lifetime has ended it in any case.
    pub(crate) fn end(
        self: &Arc<Self>,
        id: String,
        running: Option<(SandboxReservation, BillingTimer)>,
        until: Instant,
    ) {
        if tokio::runtime::Handle::try_current().is_err() {
            // Without a runtime no call can be made: its lifetime ends it.
            let mut state = self.state();
            state.abandoned += 1;
            state.live.remove(&id);
            return;
        }
        let account = self.clone();
        let mut state = self.state();
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(async move {
            let ended = account.kill(&id).await;
            let mut state = account.state();
            state.live.remove(&id);
            match ended {
                Ok(()) => state.killed += 1,
                // It counts against the cap until it is known to have ended. The next sweep tries again.
                Err(_) => drop(state.unconfirmed.insert(id, UnconfirmedEnd { _running: running, until })),
            }
        });
    }

    /// Ends a sandbox, in several attempts.
    pub(crate) async fn kill(&self, id: &str) -> Result<(), CallError> {
        let (attempts, mut pause) = KILL_ATTEMPTS;
        let mut attempt = 1;
        loop {
            match self.control.kill(id).await {
                Ok(()) => {
                    tracing::info!(target: "e2b_metrics", event = "sandbox_killed", sandboxId = id, "[E2B_METRICS]");
                    return Ok(());
                }
                Err(error) if attempt == attempts || error.cause == Cause::Authentication => {
                    tracing::error!(
                        target: "e2b_metrics", event = "sandbox_kill_failure", sandboxId = id, attempt, error = %error,
                        "[E2B_METRICS]"
                    );
                    return Err(error);
                }
                Err(error) => sleep(error.retry_after.unwrap_or(pause).min(Duration::from_secs(5))).await,
            }
            attempt += 1;
            pause *= 2;
        }
    }

    /// Waits at most `limit` until all creations and kills in progress are done. Those that remain are cancelled.
    /// Returns whether every sandbox is known to have ended.
    pub(crate) async fn close(&self, limit: Duration) -> bool {
        let all = async {
            loop {
                // Taken out of the lock, since tasks that end may add others.
                let mut tasks = std::mem::take(&mut self.state().tasks);
                if tasks.is_empty() {
                    return;
                }
                while tasks.join_next().await.is_some() {}
            }
        };
        let in_time = timeout(limit, all).await.is_ok();
        let state = self.state();
        in_time && state.unconfirmed.is_empty() && state.abandoned == 0
    }

    /// Counts a sandbox with another build tag. Returns how many there were since the last one with the right tag.
    pub(crate) fn count_wrong_tag(&self) -> u64 {
        let mut state = self.state();
        state.wrong_tags += 1;
        state.wrong_tags_in_a_row += 1;
        state.wrong_tags_in_a_row
    }

    pub(crate) fn record_right_tag(&self) {
        self.state().wrong_tags_in_a_row = 0;
    }

    /// Records that an orphaned sandbox was ended.
    pub(crate) fn record_swept(&self, id: &str) {
        let mut state = self.state();
        state.swept += 1;
        state.unconfirmed.remove(id);
    }

    /// Processes the list of all sandboxes: sandboxes of this process whose end was not confirmed and that are not in
    /// the list have ended.
    pub(crate) fn reconcile(&self, listed: &[ListedSandbox], process: &str) {
        let ours = listed.iter().filter(|sandbox| sandbox.metadata.get(PROCESS).is_some_and(|of| of == process));
        let existing: BTreeSet<&str> = ours.map(|sandbox| sandbox.id.as_str()).collect();
        self.state().unconfirmed.retain(|id, _| existing.contains(id.as_str()));
    }

    /// Whether a sandbox of this process is neither in use nor being created.
    pub(crate) fn is_lost(&self, sandbox: &ListedSandbox) -> bool {
        let state = self.state();
        let is_pending = sandbox.metadata.get(CREATION).is_some_and(|number| state.pending.contains(number));
        !is_pending && !state.live.contains_key(&sandbox.id)
    }

    /// Forgets unconfirmed sandboxes whose lifetime is over.
    fn forget_expired(&self) {
        let now = Instant::now();
        self.state().unconfirmed.retain(|_, unconfirmed| unconfirmed.until > now);
    }

    pub(crate) fn set_template_problem(&self, problem: Option<String>) {
        self.state().template_problem = problem;
    }

    pub(crate) fn has_template_problem(&self) -> bool {
        self.state().template_problem.is_some()
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.now)()
    }

    pub(crate) fn price_per_second(&self) -> Price {
        self.config.price_per_second()
    }

    pub(crate) fn status(&self) -> AccountStatus {
        let state = self.state();
        let age = |live: &LiveSandbox| u64::try_from(live.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        AccountStatus {
            api: self.address.api().to_owned(),
            template: self.config.template().to_owned(),
            tag: self.config.tag(),
            created: state.created,
            killed: state.killed,
            unconfirmed: state.abandoned + state.unconfirmed.len() as u64,
            wrong_tags: state.wrong_tags,
            swept: state.swept,
            template_problem: state.template_problem.clone(),
            cost: self.meter.total(self.price_per_second()),
            sandboxes: state
                .live
                .iter()
                .map(|(id, live)| CloudSandboxStatus {
                    id: id.clone(),
                    age_ms: age(live),
                    asleep: live.paused.is_some(),
                })
                .collect(),
            limits: self.limits.status(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
