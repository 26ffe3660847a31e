//! One sandbox that a client keeps: who owns it, how long it lives, and the parts that it consists of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use switchtower_contract::python::HOME;
use switchtower_contract::{KernelOptions, Machine, Maintenance};

use super::context::Context;
use super::contexts::Contexts;
use super::files::Files;
use super::leased_machine::{LeasedMachine, MachineSlot};
use super::lifetime::{Lifetime, SessionState};
use super::messages::{ContextInfo, CreateSession};
use super::services::Services;
use super::tokens::TokenKind;
use crate::error::Error;
use crate::memory::{Charge, NoSpace};
use crate::request::{Caller, Invalid};
use crate::route::TierName;

/// Bytes that a session takes beside its options.
const SESSION_BYTES: u64 = 8 << 10;
/// Bytes that a variable, or a piece of metadata, takes beside its text.
const PAIR_BYTES: u64 = 96;

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
    id: Arc<str>,
    access_token: String,
    traffic_token: String,
    caller: Caller,
    options: CreateSession,
    services: Arc<Services>,
    lifetime: Lifetime,
    contexts: Contexts,
    files: Files,
    machine: MachineSlot,
    /// Pays for its options.
    charge: Charge,
}

impl Session {
    pub(super) fn new(
        id: String,
        caller: Caller,
        options: CreateSession,
        services: Arc<Services>,
    ) -> Result<Self, NoSpace> {
        let options = with_identity(options, &id);
        let wall = *services.router.wall();
        let charge = services.memory.charge(&caller, SESSION_BYTES + options_bytes(&options))?;
        Ok(Self {
            access_token: services.tokens.issue(TokenKind::Access, &id),
            traffic_token: services.tokens.issue(TokenKind::Traffic, &id),
            id: id.into(),
            lifetime: Lifetime::new(wall, options.timeout, options.at_end),
            files: Files::new(wall, services.config.files, services.memory.open(&caller)),
            contexts: Contexts::new(Arc::clone(&services.ids), charge.another())?,
            machine: MachineSlot::default(),
            caller,
            options,
            services,
            charge,
        })
    }

    /// Returns a charge of no bytes to its owner, for something that belongs to it.
    pub fn open_charge(&self) -> Charge {
        self.charge.another()
    }

    /// Returns its id: `i` and twenty letters and digits, as E2B's.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// Returns what a client shows to use its cells, files and processes.
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// Returns what a client shows to reach its ports, and the contexts of its interpreter.
    pub fn traffic_token(&self) -> &str {
        &self.traffic_token
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns what it was created with.
    pub fn options(&self) -> &CreateSession {
        &self.options
    }

    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    pub(super) fn machine_slot(&self) -> &MachineSlot {
        &self.machine
    }

    /// Returns the options of a kernel for one of its contexts.
    pub(super) fn kernel_options(&self, context: &Context) -> KernelOptions {
        KernelOptions { env: self.options.env.clone(), folder: Some(context.folder().to_owned()) }
    }
}

// === Its lifetime ===

impl Session {
    pub fn started_at(&self) -> SystemTime {
        self.lifetime.started_at()
    }

    pub fn ends_at(&self) -> SystemTime {
        self.lifetime.ends_at()
    }

    pub fn state(&self) -> SessionState {
        self.lifetime.state()
    }

    /// Sets its end to `time` from now.
    pub fn set_timeout(&self, time: Duration) {
        self.lifetime.set_timeout(time);
    }

    /// Moves its end to `time` from now where it would come earlier.
    pub fn extend(&self, time: Duration) {
        self.lifetime.extend(time);
    }

    pub(super) fn touch(&self) {
        self.lifetime.touch();
    }

    pub(super) fn idle(&self) -> Duration {
        self.lifetime.idle()
    }

    /// Keeps it as it is until it is resumed: what runs in it is ended, and a machine is put to sleep. Returns false where
    /// it was paused already.
    ///
    /// # Errors
    /// It has ended, or its machine does not go to sleep.
    pub async fn pause(&self) -> Result<bool, Error> {
        if self.state() == SessionState::Ended {
            return Err(self.gone());
        }
        let paused = self.lifetime.transition_to(SessionState::Paused);
        if paused {
            self.put_machine_to_sleep().await?;
        }
        Ok(paused)
    }

    /// Resumes it for at least `time` from now. Returns false where it was not paused.
    ///
    /// # Errors
    /// It has ended.
    pub async fn resume(&self, time: Duration) -> Result<bool, Error> {
        if self.state() == SessionState::Ended {
            return Err(self.gone());
        }
        self.lifetime.extend(time);
        // A machine wakes with its next use.
        Ok(self.lifetime.transition_to(SessionState::Running))
    }

    /// Ends it and all that runs in it. Returns false where it had ended already.
    pub fn end(&self) -> bool {
        let ends = self.lifetime.transition_to(SessionState::Ended);
        if ends {
            // Its owner has the bytes back at once.
            self.files.drop_contents();
        }
        ends
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) {
        self.lifetime.ended().await;
    }

    /// Resolves when it is paused or has ended: nothing runs in it any more.
    pub async fn stopped(&self) {
        self.lifetime.stopped().await;
    }

    pub(super) async fn resumed(&self) {
        self.lifetime.resumed().await;
    }

    /// Returns the refusal of a session that does not run.
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

    pub(super) fn check_running(&self) -> Result<(), Error> {
        if self.state() == SessionState::Running { Ok(()) } else { Err(self.gone()) }
    }

    /// Frees all that it has. A context in which a cell still runs is freed once the cell has ended.
    pub(super) async fn clear(&self) {
        // The machine first, since it costs money: a cell whose client reads slowly keeps its context for a while.
        self.machine.give_back().await;
        self.files.drop_contents();
        for context in self.contexts.all() {
            context.lock().await.clear();
        }
    }
}

// === Its contexts ===

impl Session {
    /// Returns its contexts, the default one first.
    pub fn contexts(&self) -> Vec<ContextInfo> {
        self.contexts.infos()
    }

    pub(super) fn all_contexts(&self) -> Vec<Arc<Context>> {
        self.contexts.all()
    }

    /// `None`: the default context.
    pub(super) fn context(&self, id: Option<&str>) -> Result<Arc<Context>, Error> {
        self.contexts.find(id).ok_or_else(|| {
            let known: Vec<_> = self.contexts().into_iter().map(|context| context.id).collect();
            Invalid::new("context", format!("one of {}", known.join(", "))).into()
        })
    }

    pub fn has_context(&self, id: &str) -> bool {
        self.contexts.find(Some(id)).is_some()
    }

    /// Opens one more context. Its folder is made where it does not exist; `None`: the home folder.
    ///
    /// # Errors
    /// The session does not run, has as many contexts as it may have, or its owner holds as much as it may hold.
    pub async fn open_context(&self, folder: Option<String>) -> Result<ContextInfo, Error> {
        self.check_running()?;
        let max = self.services.config.max_contexts;
        let opened = self.contexts.open(folder.as_deref().unwrap_or(HOME), max)?;
        let reason = || format!("a session has at most {max} contexts: close one");
        opened.ok_or_else(|| Error::LimitReached { reason: reason(), retry_after: None })
    }

    /// Drops a context's names, ends what runs in it, and starts its count again. Returns false where there is no such
    /// context.
    ///
    /// # Errors
    /// The session does not run, or the machine that the context is on does not restart its kernel.
    pub async fn restart_context(&self, id: &str) -> Result<bool, Error> {
        self.check_running()?;
        let Some(context) = self.contexts.find(Some(id)) else { return Ok(false) };
        context.interrupt();
        let mut state = context.lock().await;
        state.restart();
        if let Some(kernel) = state.remote_kernel() {
            let restarted = kernel.restart().await;
            restarted.map_err(|fault| Error::Unavailable { reason: fault.to_string(), retry_after: None })?;
        }
        Ok(true)
    }

    /// Closes a context and ends what runs in it. Returns false where there is no such context.
    ///
    /// # Errors
    /// The session does not run, or there is no space for a new default context.
    pub async fn close_context(&self, id: &str) -> Result<bool, Error> {
        self.check_running()?;
        let Some(closed) = self.contexts.remove(id)? else { return Ok(false) };
        closed.interrupt();
        let mut state = closed.lock().await;
        state.restart();
        if let Some(kernel) = state.take_remote_kernel()
            && let Err(fault) = kernel.close().await
        {
            tracing::warn!(session = self.id(), context = id, %fault, "a closed context's kernel may live on");
        }
        Ok(true)
    }
}

// === Its files and its machine ===

impl Session {
    /// Returns its files, which are held here while it is local.
    pub fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn leased_machine(&self) -> Option<&Arc<LeasedMachine>> {
        self.machine.get()
    }

    /// Waits for a move that is under way: afterwards the files are here, or on the machine.
    pub async fn wait_for_move(&self) {
        drop(self.machine.settled().await);
    }

    /// Returns the machine that it has moved to; `None` while it is local.
    pub fn machine(&self) -> Option<Arc<dyn Machine>> {
        self.machine.get().map(|leased| Arc::clone(leased.machine()))
    }

    /// Returns the tier of its machine; `None` while it is local.
    pub fn tier(&self) -> Option<&TierName> {
        self.machine.get().map(|leased| leased.tier())
    }

    /// Records a use of its machine that does not go through a cell.
    pub fn record_machine_use(&self, how: MachineUse) {
        self.touch();
        if how == MachineUse::StartsProcess {
            self.machine.record_processes();
        }
    }

    /// Returns whether it runs and the ports of its machine are open to requests without a token.
    pub fn has_public_ports(&self) -> bool {
        self.options.public_ports && self.state() == SessionState::Running
    }

    /// Returns its machine, where it has one that was not put to sleep.
    pub fn awake_machine(&self) -> Option<Arc<dyn Machine>> {
        let is_awake = self.machine.has_processes() || self.idle() < self.services.config.machine_idle;
        self.machine().filter(|_| is_awake && self.state() == SessionState::Running)
    }

    /// Puts its machine to sleep, where it has one.
    pub(super) async fn put_machine_to_sleep(&self) -> Result<(), Error> {
        let Some(leased) = self.machine.get() else { return Ok(()) };
        leased.maintain(Maintenance::Asleep).await.map_err(|fault| Error::from_fault(leased.tier(), &fault))
    }
}

/// Adds the environment variables by which E2B's sandboxes know who they are.
fn with_identity(mut options: CreateSession, id: &str) -> CreateSession {
    let identity = [("E2B_SANDBOX", "true"), ("E2B_SANDBOX_ID", id), ("E2B_TEMPLATE_ID", &options.template)];
    for (name, value) in identity.map(|(name, value)| (name.to_owned(), value.to_owned())) {
        options.env.entry(name).or_insert(value);
    }
    options
}

/// Returns the bytes of the text in a session's options.
fn options_bytes(options: &CreateSession) -> u64 {
    let pairs = |pairs: &BTreeMap<String, String>| {
        pairs.iter().map(|(name, value)| (name.len() + value.len()) as u64 + PAIR_BYTES).sum::<u64>()
    };
    options.template.len() as u64 + pairs(&options.metadata) + pairs(&options.env)
}
