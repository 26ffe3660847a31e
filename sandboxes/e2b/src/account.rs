//! One account: every sandbox of ours in it, from the moment it is asked for until E2B has confirmed its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use switchtower_contract::Price;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::address::Address;
use crate::cause::{Cause, Trouble};
use crate::config::Config;
use crate::control::{Control, Made, Wanted};
use crate::held::Held;
use crate::identity::Identity;
use crate::inside::Inside;
use crate::key::Key;
use crate::limits::{self, Limits, Place};
use crate::meter::{Bought, Meter, Running};
use crate::transport::Transport;

pub(crate) struct Account {
    pub(crate) config: Config,
    pub(crate) control: Control,
    pub(crate) limits: Arc<Limits>,
    transport: Arc<dyn Transport>,
    address: Address,
    metadata: BTreeMap<String, String>,
    meter: Meter,
    /// Protects what there is; held for a few instructions.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<String, Since>,
    /// Creations that were begun.
    asked: u64,
    created: u64,
    killed: u64,
    /// Endings that E2B did not confirm; their lifetime ends them.
    left: u64,
    wrong_tags: u64,
    swept: u64,
    /// Creations and endings that go on. They outlive whoever asked for them.
    tasks: JoinSet<()>,
}

struct Since {
    made: Instant,
    asleep: bool,
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
    /// Sandboxes of processes that are no more, ended at the start.
    pub swept: u64,
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
/// How long after a creation that failed its sandbox is looked for.
const STRAYED: Duration = Duration::from_secs(2);
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
    ) -> Self {
        let limits = Arc::new(limits);
        let control = Control::new(transport.clone(), address.clone(), key, limits.clone());
        let (meter, state) = (Meter::default(), Mutex::default());
        Self { config, control, limits, transport, address, metadata: identity.metadata(), meter, state }
    }

    /// A new sandbox. Creating goes on when the caller leaves, and what comes of it is ended then: a creation that is
    /// broken off could leave a sandbox that nobody knows.
    pub(crate) async fn create(self: &Arc<Self>) -> Result<Held, Trouble> {
        let creation = self.limits.creation().await?;
        let (made, is_made) = oneshot::channel();
        let account = self.clone();
        self.state().tasks.spawn(async move {
            let held = account.created(creation).await;
            // Nobody waits: dropped, it is ended.
            drop(made.send(held));
        });
        is_made.await.unwrap_or_else(|_| Err(Trouble::nonsense("the account was closed")))
    }

    async fn created(self: Arc<Self>, creation: limits::Creation) -> Result<Held, Trouble> {
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
                    target: "e2b_metrics", event = "sandbox_create_success", sandboxId = made.id, template, attempt = 1,
                    duration, "[E2B_METRICS]"
                );
                Ok(self.hold(made, creation.created()))
            }
            Err(trouble) => {
                tracing::warn!(
                    target: "e2b_metrics", event = "sandbox_create_failure", template, attempt = 1, duration,
                    error = %trouble, "[E2B_METRICS]"
                );
                if trouble.may_have_run {
                    let account = self.clone();
                    self.state().tasks.spawn(async move { account.find_stray(&number).await });
                }
                Err(trouble)
            }
        }
    }

    fn numbered(&self) -> String {
        let mut state = self.state();
        state.asked += 1;
        state.asked.to_string()
    }

    fn metadata_of(&self, number: &str) -> BTreeMap<String, String> {
        let mut metadata = self.metadata.clone();
        metadata.insert(CREATION.to_owned(), number.to_owned());
        metadata
    }

    /// Ends the sandbox of a creation that failed, where there is one all the same: an answer that was lost on its way
    /// leaves one that nobody knows.
    async fn find_stray(&self, number: &str) {
        sleep(STRAYED).await;
        let metadata = self.metadata_of(number);
        let pairs: Vec<(&str, &str)> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        // Where E2B does not tell, its lifetime ends it.
        for stray in self.control.list(&pairs).await.unwrap_or_default() {
            if self.kill(&stray.id).await.is_ok() {
                tracing::warn!(target: "e2b_metrics", event = "sandbox_stray_killed", sandboxId = stray.id, "[E2B_METRICS]");
            }
        }
    }

    fn hold(self: &Arc<Self>, made: Made, place: Place) -> Held {
        let running = (place, self.meter.start());
        let mut state = self.state();
        state.created += 1;
        state.live.insert(made.id.clone(), Since { made: Instant::now(), asleep: false });
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
            since.asleep = asleep;
        }
    }

    /// Ends a sandbox that nobody holds any more.
    pub(crate) fn bury(self: &Arc<Self>, id: String, running: Option<(Place, Running)>) {
        if tokio::runtime::Handle::try_current().is_err() {
            // Dropped outside a runtime, as by a library's user who lets all go: its lifetime ends it.
            self.state().left += 1;
            return;
        }
        let account = self.clone();
        let mut state = self.state();
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(async move {
            let ended = account.kill(&id).await;
            // Only now is there room for another.
            drop(running);
            let mut state = account.state();
            state.live.remove(&id);
            match ended {
                Ok(()) => state.killed += 1,
                Err(_) => state.left += 1,
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

    /// Waits until every sandbox that was dropped is ended, and every creation that was left; at most so long.
    pub(crate) async fn settled(&self, most: Duration) {
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
        let _ = timeout(most, all).await;
    }

    pub(crate) fn wrong_tag(&self) {
        self.state().wrong_tags += 1;
    }

    pub(crate) fn swept(&self) {
        self.state().swept += 1;
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
            unconfirmed: state.left,
            wrong_tags: state.wrong_tags,
            swept: state.swept,
            bought: self.meter.bought(self.second()),
            sandboxes: state
                .live
                .iter()
                .map(|(id, since)| Live { id: id.clone(), age_ms: age(since), asleep: since.asleep })
                .collect(),
            limits: self.limits.status(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
