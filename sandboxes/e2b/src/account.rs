//! One account: every sandbox of ours in it, from the moment it is asked for until E2B has confirmed its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use switchtower_contract::Price;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::address::Address;
use crate::budget::Now;
use crate::cause::{Cause, Trouble};
use crate::config::Config;
use crate::control::{Control, Listed, Made, Wanted};
use crate::held::{Held, WeakShared};
use crate::identity::{Identity, PROCESS};
use crate::inside::Inside;
use crate::key::Key;
use crate::limits::{self, Limits, Place};
use crate::meter::{Bought, Meter, Running};
use crate::orphans::LEASE;
use crate::transport::Transport;

pub(crate) struct Account {
    pub(crate) config: Config,
    pub(crate) control: Control,
    pub(crate) limits: Arc<Limits>,
    transport: Arc<dyn Transport>,
    address: Address,
    metadata: BTreeMap<String, String>,
    meter: Meter,
    now: Now,
    /// Protects what there is; held for a few instructions.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<String, Since>,
    /// Endings that E2B did not confirm: each holds its place until it is known to be gone.
    unconfirmed: BTreeMap<String, Unconfirmed>,
    /// Creations that were begun.
    asked: u64,
    /// Those of them whose end is not known yet, by number.
    pending: BTreeSet<String>,
    created: u64,
    killed: u64,
    /// Sandboxes that were dropped outside a runtime; their lifetime ends them.
    left: u64,
    /// What the account says of its template, where it is not there.
    template_problem: Option<String>,
    wrong_tags: u64,
    swept: u64,
    /// Creations and endings that go on. They outlive whoever asked for them.
    tasks: JoinSet<()>,
}

struct Since {
    made: Instant,
    /// None while it is awake.
    asleep: Option<Instant>,
    /// For who has to wake it; none before it is ready.
    shared: Option<WeakShared>,
}

struct Unconfirmed {
    _running: Option<(Place, Running)>,
    /// By then its lifetime has ended it.
    until: Instant,
}

/// What there is to see of an account.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub api: String,
    pub template: String,
    pub tag: Option<String>,
    pub limits: limits::Status,
    pub created: u64,
    pub killed: u64,
    /// Endings that E2B did not confirm.
    pub unconfirmed: u64,
    pub wrong_tags: u64,
    /// Sandboxes that nobody held any more, ended since the start.
    pub swept: u64,
    /// Why no sandbox can be made of the template; none while it is there, or nobody has asked for it yet.
    pub template_problem: Option<String>,
    #[serde(flatten)]
    pub bought: Bought,
    pub sandboxes: Vec<Live>,
}

/// A sandbox that is there.
#[derive(Debug, Clone, Serialize)]
pub struct Live {
    pub id: String,
    pub age_ms: u64,
    pub asleep: bool,
}

/// The key of the metadata that tells the creations of one process apart.
const CREATION: &str = "switchtower-creation";
/// How long after a creation that failed its sandbox is looked for, and how long after each look that failed.
const STRAYED: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];
/// Attempts to end a sandbox, and the pause after the first; it doubles.
const KILLS: (u32, Duration) = (4, Duration::from_millis(500));

impl Account {
    pub(crate) fn new(
        config: Config,
        address: Address,
        key: Key,
        transport: Arc<dyn Transport>,
        limits: Limits,
        identity: &Identity,
        now: Now,
    ) -> Self {
        let limits = Arc::new(limits);
        let control = Control::new(transport.clone(), address.clone(), key, limits.clone());
        let (meter, state) = (Meter::default(), Mutex::default());
        Self { config, control, limits, transport, address, metadata: identity.metadata(), meter, now, state }
    }

    /// A new sandbox. Creating goes on when the caller leaves, and what comes of it is ended then: a creation that is
    /// broken off could leave a sandbox that nobody knows. `attempt`: which try of its request this is, from 1.
    pub(crate) async fn create(self: &Arc<Self>, attempt: u32) -> Result<Held, Trouble> {
        self.forget_expired();
        let creation = self.limits.creation().await?;
        let (made, is_made) = oneshot::channel();
        let account = self.clone();
        self.state().tasks.spawn(async move {
            let held = account.created(creation, attempt).await;
            // Nobody waits: dropped, it is ended.
            drop(made.send(held));
        });
        is_made.await.unwrap_or_else(|_| Err(Trouble::nonsense("the account was closed")))
    }

    async fn created(self: Arc<Self>, creation: limits::Creation, attempt: u32) -> Result<Held, Trouble> {
        let started = Instant::now();
        let number = self.numbered();
        let metadata = self.metadata_of(&number);
        let wanted = Wanted {
            template: self.config.template(),
            lifetime: self.config.lifetime,
            metadata: &metadata,
            internet: self.config.internet,
        };
        let made = self.control.create(&wanted).await;
        let duration = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let template = wanted.template;
        match made {
            Ok(made) => {
                tracing::info!(
                    target: "e2b_metrics", event = "sandbox_create_success", sandboxId = made.id, template, attempt,
                    duration, "[E2B_METRICS]"
                );
                Ok(self.hold(made, &number, creation.created()))
            }
            Err(trouble) => {
                tracing::warn!(
                    target: "e2b_metrics", event = "sandbox_create_failure", template, attempt, duration,
                    error = %trouble, "[E2B_METRICS]"
                );
                if trouble.cause == Cause::Template {
                    self.set_template_problem(Some(trouble.to_string()));
                }
                if trouble.may_have_run {
                    let account = self.clone();
                    // The place is held meanwhile: it may run all the same.
                    let place = creation.created();
                    self.state().tasks.spawn(async move { account.find_stray(&number, place).await });
                } else {
                    self.state().pending.remove(&number);
                }
                Err(trouble)
            }
        }
    }

    fn numbered(&self) -> String {
        let mut state = self.state();
        state.asked += 1;
        let number = state.asked.to_string();
        state.pending.insert(number.clone());
        number
    }

    fn metadata_of(&self, number: &str) -> BTreeMap<String, String> {
        let mut metadata = self.metadata.clone();
        metadata.insert(CREATION.to_owned(), number.to_owned());
        metadata
    }

    /// Ends the sandbox of a creation that failed, where there is one all the same: an answer that was lost on its way
    /// leaves one that nobody knows.
    async fn find_stray(&self, number: &str, place: Place) {
        let metadata = self.metadata_of(number);
        let pairs: Vec<(&str, &str)> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for pause in STRAYED {
            sleep(pause).await;
            // Where E2B does not tell, it is asked again.
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
        drop(place);
        // What appears later is found by the next sweep: it is nobody's.
        self.state().pending.remove(number);
    }

    fn hold(self: &Arc<Self>, made: Made, number: &str, place: Place) -> Held {
        let running = (place, self.meter.start());
        let mut state = self.state();
        state.created += 1;
        state.template_problem = None;
        state.live.insert(made.id.clone(), Since { made: Instant::now(), asleep: None, shared: None });
        state.pending.remove(number);
        drop(state);
        let inside = Inside::new(self.transport.clone(), self.limits.clone(), self.address.clone(), made);
        Held::new(self.clone(), inside, running)
    }

    /// Time that is paid for begins.
    pub(crate) fn starts(&self) -> Running {
        self.meter.start()
    }

    pub(crate) fn mark(&self, id: &str, asleep: bool) {
        if let Some(since) = self.state().live.get_mut(id) {
            since.asleep = if asleep { since.asleep.or_else(|| Some(Instant::now())) } else { None };
        }
    }

    /// A sandbox is ready; `shared` wakes it and lets it sleep.
    pub(crate) fn attach(&self, id: &str, shared: WeakShared) {
        if let Some(since) = self.state().live.get_mut(id) {
            since.shared = Some(shared);
        }
    }

    /// Renews what has slept for half of its lease: it is awake for a moment. What somebody is about to wake is let be.
    pub(crate) async fn renew_leases(&self) {
        let due: Vec<WeakShared> = {
            let state = self.state();
            let is_due = |since: &&Since| since.asleep.is_some_and(|at| at.elapsed() >= LEASE / 2);
            state.live.values().filter(is_due).filter_map(|since| since.shared.clone()).collect()
        };
        for shared in due {
            if let Err(trouble) = shared.renew_lease().await {
                tracing::warn!(%trouble, "a paused sandbox could not be renewed; it may be gone");
            }
        }
    }

    /// Ends a sandbox that nobody holds any more. `until`: by then its lifetime has ended it.
    pub(crate) fn bury(self: &Arc<Self>, id: String, running: Option<(Place, Running)>, until: Instant) {
        if tokio::runtime::Handle::try_current().is_err() {
            // Dropped outside a runtime, as by a library's user who lets all go: its lifetime ends it.
            let mut state = self.state();
            state.left += 1;
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
                // There is no room for another before it is known to be gone: the next sweep tries again.
                Err(_) => drop(state.unconfirmed.insert(id, Unconfirmed { _running: running, until })),
            }
        });
    }

    /// Ends a sandbox, with some patience.
    pub(crate) async fn kill(&self, id: &str) -> Result<(), Trouble> {
        let (attempts, mut pause) = KILLS;
        let mut attempt = 1;
        loop {
            match self.control.kill(id).await {
                Ok(()) => {
                    tracing::info!(target: "e2b_metrics", event = "sandbox_killed", sandboxId = id, "[E2B_METRICS]");
                    return Ok(());
                }
                Err(trouble) if attempt == attempts || trouble.cause == Cause::Authentication => {
                    tracing::error!(
                        target: "e2b_metrics", event = "sandbox_kill_failure", sandboxId = id, attempt, error = %trouble,
                        "[E2B_METRICS]"
                    );
                    return Err(trouble);
                }
                Err(trouble) => sleep(trouble.retry_after.unwrap_or(pause).min(Duration::from_secs(5))).await,
            }
            attempt += 1;
            pause *= 2;
        }
    }

    /// Waits until every sandbox that was dropped is ended, and every creation that was left; at most so long. What goes
    /// on then is broken off. Whether nothing may be left.
    pub(crate) async fn settled(&self, most: Duration) -> bool {
        let all = async {
            loop {
                // The set is taken out, so that what ends here may bury more.
                let mut tasks = std::mem::take(&mut self.state().tasks);
                if tasks.is_empty() {
                    return;
                }
                while tasks.join_next().await.is_some() {}
            }
        };
        let in_time = timeout(most, all).await.is_ok();
        let state = self.state();
        in_time && state.unconfirmed.is_empty() && state.left == 0
    }

    pub(crate) fn wrong_tag(&self) {
        self.state().wrong_tags += 1;
    }

    /// One that nobody held was ended.
    pub(crate) fn swept(&self, id: &str) {
        let mut state = self.state();
        state.swept += 1;
        state.unconfirmed.remove(id);
    }

    /// These are there: of this process, what is not among them and was not confirmed to have ended has ended.
    pub(crate) fn seen(&self, listed: &[Listed], process: &str) {
        let ours = listed.iter().filter(|sandbox| sandbox.metadata.get(PROCESS).is_some_and(|of| of == process));
        let there: BTreeSet<&str> = ours.map(|sandbox| sandbox.id.as_str()).collect();
        self.state().unconfirmed.retain(|id, _| there.contains(id.as_str()));
    }

    /// It is one of this process's own, and this process holds it no more.
    pub(crate) fn has_lost(&self, sandbox: &Listed) -> bool {
        let state = self.state();
        let pending = sandbox.metadata.get(CREATION).is_some_and(|number| state.pending.contains(number));
        !pending && !state.live.contains_key(&sandbox.id)
    }

    /// Those whose lifetime is over hold their places no more.
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

    pub(crate) fn second(&self) -> Price {
        self.config.second()
    }

    pub(crate) fn status(&self) -> Status {
        let state = self.state();
        let age = |since: &Since| u64::try_from(since.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        Status {
            api: self.address.api().to_owned(),
            template: self.config.template().to_owned(),
            tag: self.config.tag(),
            created: state.created,
            killed: state.killed,
            unconfirmed: state.left + state.unconfirmed.len() as u64,
            wrong_tags: state.wrong_tags,
            swept: state.swept,
            template_problem: state.template_problem.clone(),
            bought: self.meter.bought(self.second()),
            sandboxes: state
                .live
                .iter()
                .map(|(id, since)| Live { id: id.clone(), age_ms: age(since), asleep: since.asleep.is_some() })
                .collect(),
            limits: self.limits.status(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
