//! One session: its owner, its lifetime, and its parts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchtower_contract::python::HOME;
use switchtower_contract::{Language, Location, Machine, NetworkPolicy};

use super::context::Context;
use super::contexts::Contexts;
use super::files::Files;
use super::leased_machine::MachineSlot;
use super::lifetime::{Lifetime, SessionState};
use super::messages::{ContextInfo, CreateSession, ExecuteCell};
use super::services::Services;
use super::tokens::TokenKind;
use crate::error::Error;
use crate::memory::{Charge, NoSpace};
use crate::request::Caller;
use crate::tier::Tier;

/// Bytes charged for a session in addition to the text of its options.
const SESSION_BYTES: u64 = 8 << 10;
/// Bytes charged for an environment variable or a metadata entry in addition to its text.
const PAIR_BYTES: u64 = 96;

/// How a client uses a session's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineUse {
    /// A call that leaves nothing running.
    Call,
    /// A call that may leave a process running.
    StartsProcess,
}

/// A sandbox that keeps its state between requests.
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
    /// What its machine may reach. Held for a few instructions.
    network: Mutex<NetworkPolicy>,
    /// The bytes of its options.
    charge: Charge,
}

impl Session {
    pub(super) fn new(
        id: String,
        caller: Caller,
        options: CreateSession,
        services: Arc<Services>,
    ) -> Result<Self, NoSpace> {
        let mut options = with_identity(options, &id);
        let network = std::mem::replace(&mut options.network, NetworkPolicy::OPEN);
        let network = NetworkPolicy { internet: caller.network().internet.or(network.internet), ..network };
        let wall = *services.router.wall();
        let charge =
            services.memory.charge(&caller, SESSION_BYTES + options_bytes(&options) + network_bytes(&network))?;
        Ok(Self {
            access_token: services.tokens.issue(TokenKind::Access, &id),
            traffic_token: services.tokens.issue(TokenKind::Traffic, &id),
            id: id.into(),
            lifetime: Lifetime::new(wall, options.timeout, options.at_end),
            files: Files::new(wall, services.config.max_files_size, services.memory.open(&caller)),
            contexts: Contexts::new(Arc::clone(&services.ids), charge.another())?,
            machine: MachineSlot::default(),
            network: Mutex::new(network),
            caller,
            options,
            services,
            charge,
        })
    }

    /// Returns a charge of zero bytes to its owner.
    pub fn open_charge(&self) -> Charge {
        self.charge.another()
    }

    /// Returns its id: `i` and twenty lowercase letters and digits, the form of E2B's ids.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// Returns the token for its cells, files and processes.
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// Returns the token for its ports and for the contexts of its interpreter.
    pub fn traffic_token(&self) -> &str {
        &self.traffic_token
    }

    /// Returns its owner.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the options that it was created with, except what its machine may reach: [`network`](Self::network).
    pub fn options(&self) -> &CreateSession {
        &self.options
    }

    pub(super) fn services(&self) -> &Services {
        &self.services
    }
}

// === Its lifetime ===

impl Session {
    /// Returns its lifetime: whether it runs, since when and until when.
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// Pauses it until it is resumed: running cells are ended, and its machine is put to sleep. Returns false if it was
    /// paused already.
    ///
    /// # Errors
    /// It has ended, or its machine could not be put to sleep.
    pub async fn pause(&self) -> Result<bool, Error> {
        if self.lifetime.state() == SessionState::Ended {
            return Err(self.not_running());
        }
        let paused = self.lifetime.transition_to(SessionState::Paused);
        if paused {
            self.machine.put_to_sleep().await?;
        }
        Ok(paused)
    }

    /// Resumes it for at least `time` from now. Returns false if it was not paused.
    ///
    /// # Errors
    /// It has ended.
    pub async fn resume(&self, time: Duration) -> Result<bool, Error> {
        if self.lifetime.state() == SessionState::Ended {
            return Err(self.not_running());
        }
        self.lifetime.extend(time);
        // Its machine wakes with its next use.
        Ok(self.lifetime.transition_to(SessionState::Running))
    }

    /// Ends it and everything that runs in it. Returns false if it had ended already.
    pub fn end(&self) -> bool {
        let ends = self.lifetime.transition_to(SessionState::Ended);
        if ends {
            // Returns the bytes to its owner at once, before `clear` frees the rest.
            self.files.drop_contents();
        }
        ends
    }

    /// Returns the error for a use of the session while it is paused or after its end.
    pub(super) fn not_running(&self) -> Error {
        match self.lifetime.state() {
            SessionState::Paused => {
                Error::Conflict { reason: format!("the session {} is paused: resume it first", self.id) }
            }
            SessionState::Running | SessionState::Ended => {
                Error::Gone { what: format!("the session {} has ended", self.id) }
            }
        }
    }

    pub(super) fn check_running(&self) -> Result<(), Error> {
        if self.lifetime.state() == SessionState::Running { Ok(()) } else { Err(self.not_running()) }
    }

    /// Frees its machine, files and contexts. A context in which a cell runs is freed when the cell has ended.
    pub(super) async fn clear(&self) {
        // The machine first, because it costs money: a cell whose client reads slowly can delay its context.
        self.machine.give_back().await;
        self.files.drop_contents();
        for context in self.contexts.all() {
            context.lock().await.clear();
        }
    }
}

// === Its contexts ===

impl Session {
    /// Returns its contexts.
    pub fn contexts(&self) -> &Contexts {
        &self.contexts
    }

    /// Opens another context. Its working folder is created if it does not exist; `None`: the home folder.
    ///
    /// # Errors
    /// The session does not run; `LimitReached`: it has the maximum number of contexts; `NoSpace`: its owner's share of
    /// memory is used up.
    pub async fn open_context(&self, language: Language, folder: Option<String>) -> Result<ContextInfo, Error> {
        self.check_running()?;
        self.check_language(language, "a context for")?;
        let max = self.services.config.max_contexts;
        let opened = self.contexts.open(language, folder.as_deref().unwrap_or(HOME), max)?;
        opened.ok_or_else(|| too_many_contexts(max))
    }

    /// Opens the context of the cells that name only this language, if a tier has kernels for it, there is room, and none was opened
    /// before. Contexts of this kind come before others in lists.
    ///
    /// # Errors
    /// `NoSpace`: its owner's share of memory is used up.
    pub fn open_context_of(&self, language: Language) -> Result<(), Error> {
        if self.check_language(language, "").is_ok() && !self.contexts.had_language(language) {
            self.contexts.of_language(language, self.services.config.max_contexts)?;
        }
        Ok(())
    }

    /// Checks that a tier has kernels for a language.
    ///
    /// # Errors
    /// `NoTier`: none has. `Unsupported`: the language has no cells.
    fn check_language(&self, language: Language, what: &str) -> Result<(), Error> {
        if language.is_compiled() {
            let instead = "send a whole program (POST /v1/execute), or compile and run it by commands";
            return Err(Error::Unsupported {
                reason: format!("{what} {language}, whose programs keep no names: {instead}"),
            });
        }
        let tiers = self.services.tiers();
        let has_kernels =
            |tier: &Tier| tier.offer().languages.has(language) && (tier.offer().machine || tier.kernels().is_some());
        if language == Language::default() || tiers.iter().any(has_kernels) {
            return Ok(());
        }
        let remedy = tiers.remedies(true).unwrap_or_else(|| "none may be used here".to_owned());
        Err(Error::NoTier { reason: format!("{what} {language} needs a machine: {remedy}") })
    }

    /// Returns the context that a cell names, or that of its language.
    ///
    /// # Errors
    /// `Invalid`: there is no such context; as [`open_context`](Self::open_context).
    pub(super) fn context_of(&self, cell: &ExecuteCell) -> Result<Arc<Context>, Error> {
        let max = self.services.config.max_contexts;
        match (&cell.context, cell.language) {
            (None, Some(language)) => {
                self.check_language(language, "a cell in")?;
                self.contexts.of_language(language, max)?.ok_or_else(|| too_many_contexts(max))
            }
            (id, _) => self.contexts.get(id.as_deref()),
        }
    }

    /// Restarts a context: ends its cells, drops its names and resets its execution count. Returns false if there is no such
    /// context.
    ///
    /// # Errors
    /// The session does not run, or its machine could not restart the kernel.
    pub async fn restart_context(&self, id: &str) -> Result<bool, Error> {
        self.check_running()?;
        let Some(context) = self.contexts.find(Some(id)) else { return Ok(false) };
        context.interrupt();
        let _turn = context.turn().await;
        let mut state = context.lock().await;
        state.restart();
        if let Some(kernel) = state.remote_kernel() {
            let restarted = kernel.restart().await;
            restarted.map_err(|fault| Error::Unavailable { reason: fault.to_string(), retry_after: None })?;
        }
        Ok(true)
    }

    /// Closes a context and ends its cells. Returns false if there is no such context.
    ///
    /// # Errors
    /// The session does not run, or there is no space for the new default context that replaces the last one.
    pub async fn close_context(&self, id: &str) -> Result<bool, Error> {
        self.check_running()?;
        let Some(closed) = self.contexts.remove(id)? else { return Ok(false) };
        closed.interrupt();
        let _turn = closed.turn().await;
        let mut state = closed.lock().await;
        state.restart();
        if let Some(kernel) = state.take_remote_kernel()
            && let Err(fault) = kernel.close().await
        {
            tracing::warn!(session = self.id(), context = id, %fault, "the kernel of a closed context may still run");
        }
        Ok(true)
    }
}

// === Its files and its machine ===

impl Session {
    /// Returns its local files. They are closed once it has moved to a machine.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Returns the place of its machine, which is empty while the session is local.
    pub fn machine_slot(&self) -> &MachineSlot {
        &self.machine
    }

    /// Returns its machine; `None` while it is local.
    pub fn machine(&self) -> Option<Arc<dyn Machine>> {
        self.machine.get().map(|leased| Arc::clone(leased.machine()))
    }

    /// Returns whether it has a machine in a cloud.
    pub fn has_remote_machine(&self) -> bool {
        let tier = self.machine.tier();
        let tier = tier.and_then(|tier| self.services.tiers().get(&tier));
        tier.is_some_and(|tier| tier.offer().location == Location::Remote)
    }

    /// Records a use of its machine by a client, outside of cells.
    pub fn record_machine_use(&self, how: MachineUse) {
        self.lifetime.touch();
        if how == MachineUse::StartsProcess {
            self.machine.record_processes();
        }
    }

    /// Returns what its machine may reach.
    pub fn network(&self) -> NetworkPolicy {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what its machine may reach, now or once it has one. A move in progress ends before that.
    ///
    /// # Errors
    /// It does not run; `NoSpace`: its owner's share of memory is used up; the machine did not accept the policy, and
    /// keeps the old one.
    pub async fn set_network(&self, network: NetworkPolicy) -> Result<(), Error> {
        self.check_running()?;
        let network = NetworkPolicy { internet: self.caller.network().internet.or(network.internet), ..network };
        self.lifetime.touch();
        let machine_move = self.machine.begin_move().await;
        let bytes = |network: &NetworkPolicy| SESSION_BYTES + options_bytes(&self.options) + network_bytes(network);
        self.charge.resize(bytes(&network).max(bytes(&self.network())))?;
        if let Some(leased) = machine_move.existing() {
            let set = leased.machine().set_network(&network).await;
            set.map_err(|fault| Error::from_fault(leased.tier(), &fault))?;
        }
        self.charge.resize(bytes(&network))?;
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) = network;
        Ok(())
    }

    /// Returns its machine if it has one that is awake and the session runs.
    pub fn awake_machine(&self) -> Option<Arc<dyn Machine>> {
        let is_awake = self.machine.has_processes() || self.lifetime.idle() < self.services.config.machine_idle;
        self.machine().filter(|_| is_awake && self.lifetime.state() == SessionState::Running)
    }
}

fn too_many_contexts(max: usize) -> Error {
    Error::LimitReached { reason: format!("a session has at most {max} contexts: close one"), retry_after: None }
}

/// Adds the environment variables in which E2B's sandboxes have their own id and template.
fn with_identity(mut options: CreateSession, id: &str) -> CreateSession {
    let identity = [("E2B_SANDBOX", "true"), ("E2B_SANDBOX_ID", id), ("E2B_TEMPLATE_ID", &options.template)];
    for (name, value) in identity.map(|(name, value)| (name.to_owned(), value.to_owned())) {
        options.env.entry(name).or_insert(value);
    }
    options
}

/// Returns the bytes of a policy.
fn network_bytes(network: &NetworkPolicy) -> u64 {
    let names = network.allow_out.iter().chain(&network.deny_out).chain(&network.host);
    names.map(|name| name.len() as u64 + PAIR_BYTES).sum()
}

/// Returns the bytes of the text in a session's options, without what its machine may reach.
fn options_bytes(options: &CreateSession) -> u64 {
    let pairs = |pairs: &BTreeMap<String, String>| {
        pairs.iter().map(|(name, value)| (name.len() + value.len()) as u64 + PAIR_BYTES).sum::<u64>()
    };
    options.template.len() as u64 + pairs(&options.metadata) + pairs(&options.env)
}
