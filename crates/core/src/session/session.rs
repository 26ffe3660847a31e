//! One sandbox that a client keeps.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use switchtower_contract::python::HOME;
use switchtower_contract::{Machine, Maintenance, Program};
use tokio::sync::SetOnce;

use super::context::{Context, Seat};
use super::files::Files;
use super::home::Home;
use super::lifetime::{Lifetime, SessionState};
use super::messages::{ContextInfo, CreateSession};
use super::place::Place;
use super::table::House;
use super::tokens::TokenKind;
use crate::error::Error;
use crate::memory::{Charge, NoSpace};
use crate::request::{Caller, Request};
use crate::route::TierName;

/// Bytes that a session takes beside what its caller says of it, and a context beside its folder.
const SESSION: u64 = 8 << 10;
const CONTEXT: u64 = 2 << 10;
/// Bytes that a variable, or a piece of metadata, takes beside its text.
const PAIR: u64 = 96;

/// Bytes of what a caller says of a session.
fn described(asked: &CreateSession) -> u64 {
    let pairs = |pairs: &BTreeMap<String, String>| {
        pairs.iter().map(|(name, value)| (name.len() + value.len()) as u64 + PAIR).sum::<u64>()
    };
    asked.template.len() as u64 + pairs(&asked.metadata) + pairs(&asked.env)
}

/// How a client uses a session's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineUse {
    /// A call that is over with its answer.
    Call,
    /// It may leave something running.
    StartsProcess,
}

/// A sandbox that a client keeps.
pub struct Session {
    id: String,
    token: String,
    traffic_token: String,
    pub(super) caller: Caller,
    asked: CreateSession,
    pub(super) house: Arc<House>,
    pub(super) life: Lifetime,
    pub(super) files: Files,
    /// Pays for its description and its contexts.
    charge: Charge,
    /// The default one first. Held for a look.
    contexts: Mutex<Vec<Arc<Context>>>,
    numbers: AtomicU64,
    /// The machine that it has moved to. Held while it moves.
    pub(super) home: tokio::sync::Mutex<Option<Arc<Home>>>,
    /// The same, for those who must not wait while it moves.
    moved: SetOnce<Arc<Home>>,
    /// Somebody speaks to its machine directly: what runs there is not seen here.
    shared: OnceLock<()>,
}

impl Session {
    pub(super) fn new(
        id: String,
        caller: Caller,
        mut asked: CreateSession,
        house: Arc<House>,
    ) -> Result<Self, NoSpace> {
        // As E2B tells its sandboxes who they are.
        let about = [("E2B_SANDBOX", "true"), ("E2B_SANDBOX_ID", &id), ("E2B_TEMPLATE_ID", &asked.template)];
        for (name, value) in about.map(|(name, value)| (name.to_owned(), value.to_owned())) {
            asked.env.entry(name).or_insert(value);
        }
        let wall = *house.router.wall();
        let life = Lifetime::new(wall, asked.timeout, asked.at_end);
        let files = Files::new(wall, house.config.files, house.memory.open(&caller));
        let charge = house.memory.charge(&caller, SESSION + described(&asked))?;
        let token = house.tokens.issue(TokenKind::Access, &id);
        let traffic_token = house.tokens.issue(TokenKind::Traffic, &id);
        let session = Self {
            id,
            token,
            traffic_token,
            caller,
            asked,
            house,
            life,
            files,
            charge,
            contexts: Mutex::default(),
            numbers: AtomicU64::new(0),
            home: tokio::sync::Mutex::default(),
            moved: SetOnce::new(),
            shared: OnceLock::new(),
        };
        session.add_context(HOME.to_owned())?;
        Ok(session)
    }

    /// A charge of no bytes to its owner, for something that belongs to it.
    pub fn open_charge(&self) -> Charge {
        self.charge.another()
    }

    /// `i` and twenty letters and digits, as E2B's.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What a client shows to reach into it.
    pub fn access_token(&self) -> &str {
        &self.token
    }

    /// What a client shows to reach its ports, and the contexts of its interpreter.
    pub fn traffic_token(&self) -> &str {
        &self.traffic_token
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub fn options(&self) -> &CreateSession {
        &self.asked
    }

    pub fn started_at(&self) -> SystemTime {
        self.life.started_at()
    }

    pub fn ends_at(&self) -> SystemTime {
        self.life.ends_at()
    }

    pub fn state(&self) -> SessionState {
        self.life.state()
    }

    /// It ends so long from now.
    pub fn set_timeout(&self, time: Duration) {
        self.life.set_timeout(time);
    }

    /// It lives at least so long from now.
    pub fn extend(&self, time: Duration) {
        self.life.extend(time);
    }

    /// Keeps it as it is until it is resumed: what runs in it is broken off, and a machine is put to sleep. False: it was
    /// paused already.
    ///
    /// # Errors
    /// It has ended, or its machine does not go to sleep.
    pub async fn pause(&self) -> Result<bool, Error> {
        if self.state() == SessionState::Ended {
            return Err(self.gone());
        }
        let paused = self.life.transition_to(SessionState::Paused);
        if paused {
            self.sleeps().await?;
        }
        Ok(paused)
    }

    /// Puts its machine to sleep, where it has one.
    pub(super) async fn sleeps(&self) -> Result<(), Error> {
        let Some(home) = self.machine_home() else { return Ok(()) };
        home.maintain(Maintenance::Asleep).await.map_err(|fault| Error::from_fault(&home.tier, &fault))
    }

    /// True: it was paused. It lives at least so long from now.
    ///
    /// # Errors
    /// It has ended.
    pub async fn resume(&self, time: Duration) -> Result<bool, Error> {
        if self.state() == SessionState::Ended {
            return Err(self.gone());
        }
        self.life.extend(time);
        // A machine wakes when it is next spoken to.
        Ok(self.life.transition_to(SessionState::Running))
    }

    /// Ends it and all that runs in it. False: it had ended already.
    pub fn end(&self) -> bool {
        let ends = self.life.transition_to(SessionState::Ended);
        if ends {
            // Its owner has the room again at once.
            self.files.forget_contents();
        }
        ends
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) {
        self.life.ended().await;
    }

    /// Resolves when it has ended or is paused: what runs in it is over.
    pub async fn stopped(&self) {
        self.life.stopped().await;
    }

    pub(super) async fn resumed(&self) {
        self.life.resumed().await;
    }

    pub(super) fn gone(&self) -> Error {
        match self.state() {
            SessionState::Paused => {
                Error::Conflict { reason: format!("the session {} is paused: resume it first", self.id) }
            }
            SessionState::Running | SessionState::Ended => {
                Error::Gone { what: format!("the session {} has ended", self.id) }
            }
        }
    }

    pub(super) fn is_running(&self) -> Result<(), Error> {
        if self.state() == SessionState::Running { Ok(()) } else { Err(self.gone()) }
    }

    fn table(&self) -> MutexGuard<'_, Vec<Arc<Context>>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The default context first.
    pub fn contexts(&self) -> Vec<ContextInfo> {
        self.table().iter().map(|context| context.info.clone()).collect()
    }

    pub(super) fn all_contexts(&self) -> Vec<Arc<Context>> {
        self.table().clone()
    }

    /// None: the default one.
    pub(super) fn find_context(&self, id: Option<&str>) -> Option<Arc<Context>> {
        let contexts = self.table();
        match id {
            None => contexts.first().cloned(),
            Some(id) => contexts.iter().find(|context| context.info.id == id).cloned(),
        }
    }

    pub fn has_context(&self, id: &str) -> bool {
        self.find_context(Some(id)).is_some()
    }

    fn add_context(&self, folder: String) -> Result<ContextInfo, NoSpace> {
        let charge = self.open_charge();
        charge.resize(CONTEXT + 2 * folder.len() as u64)?;
        let info = ContextInfo { id: self.house.ids.uuid(), language: "python".to_owned(), folder };
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.table().push(Context::new(info.clone(), number, charge));
        Ok(info)
    }

    /// Opens one more kernel; the folder is made where it is not there.
    ///
    /// # Errors
    /// The session does not run, or has as many as it may have, or its owner holds as much as it may hold.
    pub async fn open_context(&self, folder: Option<String>) -> Result<ContextInfo, Error> {
        self.is_running()?;
        let most = self.house.config.max_contexts;
        if self.table().len() >= most {
            let reason = format!("a session has at most {most} contexts: close one");
            return Err(Error::LimitReached { reason, retry_after: None });
        }
        Ok(self.add_context(folder.unwrap_or_else(|| HOME.to_owned()))?)
    }

    /// Its names are gone, what runs in it is broken off, its count begins anew. False: there is no such context.
    ///
    /// # Errors
    /// The machine that it is on does not do it.
    pub async fn restart_context(&self, id: &str) -> Result<bool, Error> {
        self.is_running()?;
        let Some(context) = self.find_context(Some(id)) else { return Ok(false) };
        context.break_off();
        let mut seat = context.seat.lock().await;
        seat.begin_anew();
        context.holds(None);
        if let Some(kernel) = seat.place.there() {
            let restarted = kernel.restart().await;
            restarted.map_err(|fault| Error::Unavailable { reason: fault.to_string(), retry_after: None })?;
        }
        Ok(true)
    }

    /// What runs in it is broken off. False: there is no such context.
    ///
    /// # Errors
    /// The session does not run.
    pub async fn close_context(&self, id: &str) -> Result<bool, Error> {
        self.is_running()?;
        let (closed, is_last) = {
            let mut contexts = self.table();
            let Some(at) = contexts.iter().position(|context| context.info.id == id) else { return Ok(false) };
            (contexts.remove(at), contexts.is_empty())
        };
        // E2B's interpreter makes a default context anew when it is asked for.
        if is_last && let Err(no_space) = self.add_context(HOME.to_owned()) {
            self.table().push(closed);
            return Err(no_space.into());
        }
        closed.break_off();
        let mut seat = closed.seat.lock().await;
        seat.begin_anew();
        if let Place::There(kernel) = std::mem::take(&mut seat.place)
            && let Err(fault) = kernel.close().await
        {
            tracing::warn!(session = self.id, context = id, %fault, "a context that is closed may live on");
        }
        Ok(true)
    }

    /// The files, while they are held here.
    pub fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn machine_home(&self) -> Option<Arc<Home>> {
        self.moved.get().cloned()
    }

    pub(super) fn set_machine(&self, home: &Arc<Home>) {
        // It moves once: the lock over `home` is held.
        let _ = self.moved.set(Arc::clone(home));
    }

    /// Resolves when it has moved to a machine.
    pub(super) async fn has_moved(&self) {
        self.moved.wait().await;
    }

    /// Resolves when it does not move at the moment: its files are here, or on its machine.
    pub async fn wait_for_move(&self) {
        drop(self.home.lock().await);
    }

    /// The machine that it has moved to; None while it is local.
    pub fn machine(&self) -> Option<Arc<dyn Machine>> {
        self.moved.get().map(|home| Arc::clone(&home.machine))
    }

    /// The tier that its machine is from; None while it is local.
    pub fn tier(&self) -> Option<&TierName> {
        self.moved.get().map(|home| &home.tier)
    }

    /// Records a use of its machine that does not go through a cell.
    pub fn record_machine_use(&self, how: MachineUse) {
        self.life.touch();
        if how == MachineUse::StartsProcess {
            let _ = self.shared.set(());
        }
    }

    /// Its owner has opened the ports of its machine to requests without a token, and it runs.
    pub fn has_public_ports(&self) -> bool {
        self.asked.public_ports && self.state() == SessionState::Running
    }

    /// Its machine, where it has one and nobody let it sleep.
    pub fn awake_machine(&self) -> Option<Arc<dyn Machine>> {
        let is_awake = self.is_shared() || self.life.idle() < self.house.config.machine_idle;
        self.machine().filter(|_| is_awake && self.state() == SessionState::Running)
    }

    /// What runs on its machine may run without anybody seeing it here.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.get().is_some()
    }

    /// A tier of machines is there to move to.
    pub fn can_promote(&self) -> bool {
        self.machine().is_some() || !self.asked.offline && self.machines().is_ok_and(|tiers| !tiers.is_empty())
    }

    /// A command of the system as a request, for the rules to decide on.
    pub(super) fn command(&self) -> Request {
        Request {
            program: Program::python("import subprocess\nsubprocess.run(['true'])\n"),
            caller: self.caller.clone(),
            priority: crate::request::Priority::Normal,
            tier: None,
            isolation: None,
            cache: crate::request::CacheMode::Bypass,
            timeout: self.house.request_limits.default_timeout,
            memory: None,
        }
    }

    /// Frees all that it has; what here is used still, once nothing runs in it any more.
    pub(super) async fn clear(&self) {
        // First of all what costs money: a cell whose client is slow to hear of its end keeps its context for a while.
        if let Some(home) = self.home.lock().await.take() {
            home.give_up().await;
        }
        self.files.forget_contents();
        for context in self.all_contexts() {
            let mut seat = context.seat.lock().await;
            *seat = Seat::default();
            context.holds(None);
        }
    }
}
