//! The registry of all sessions, with the limits on their number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::config::Config;
use super::lifetime::SessionState;
use super::messages::CreateSession;
use super::services::Services;
use super::session::Session;
use super::tokens::{TokenCheck, TokenKind};
use crate::error::Error;
use crate::memory::MemoryAccount;
use crate::request::{Caller, Invalid, RequestLimits};
use crate::router::Router;

/// Time to retry after that is reported when there are too many sessions.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// All sessions. Clones share one registry.
#[derive(Clone)]
pub struct Sessions(Arc<Registry>);

struct Registry {
    services: Arc<Services>,
    /// Held for one look-up or change.
    sessions: Mutex<BTreeMap<String, Arc<Session>>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("count", &self.0.sessions().len()).finish()
    }
}

impl Registry {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Returns an empty registry with its own memory account.
    pub fn new(router: Arc<Router>, config: &Config, request_limits: &RequestLimits) -> Self {
        Self::with_memory(router, config, request_limits, MemoryAccount::default())
    }

    /// Returns an empty registry that charges the bytes of sessions to this account.
    pub fn with_memory(
        router: Arc<Router>,
        config: &Config,
        request_limits: &RequestLimits,
        memory: MemoryAccount,
    ) -> Self {
        let services = Arc::new(Services::new(router, config, request_limits, memory));
        Self(Arc::new(Registry { services, sessions: Mutex::default() }))
    }

    /// Creates a session. It has no machine, and no kernel before its first cell. Call it inside a runtime.
    ///
    /// # Errors
    /// `LimitReached`: the caller has its maximum number of sessions. `Overloaded`: the server has its maximum number.
    /// `NoSpace`: the caller's share of memory is used up. `Invalid`: the timeout is zero or longer than `max_lifetime`.
    pub async fn create(&self, caller: &Caller, options: CreateSession) -> Result<Arc<Session>, Error> {
        self.create_with_id(self.0.services.ids.session(), caller, options)
    }

    /// Returns the session with this id, and creates it if there is none.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn open_with_id(&self, id: &str, caller: &Caller, options: CreateSession) -> Result<Arc<Session>, Error> {
        match self.find_any(id) {
            Some(session) => Ok(session),
            None => self.create_with_id(id.to_owned(), caller, options),
        }
    }

    fn create_with_id(&self, id: String, caller: &Caller, options: CreateSession) -> Result<Arc<Session>, Error> {
        let max = self.config().max_lifetime;
        if options.timeout.is_zero() || options.timeout > max {
            return Err(Invalid::new("timeout", format!("between 1 and {} seconds", max.as_secs())).into());
        }
        let mut sessions = self.0.sessions();
        sessions.retain(|_, session| session.lifetime().state() != SessionState::Ended);
        self.check_count(&sessions, caller)?;
        let session = Arc::new(Session::new(id, caller.clone(), options, Arc::clone(&self.0.services))?);
        sessions.insert(session.id().to_owned(), Arc::clone(&session));
        drop(sessions);
        tokio::spawn(clear_at_end(Arc::clone(&session), Arc::downgrade(&self.0)));
        Ok(session)
    }

    fn check_count(&self, sessions: &BTreeMap<String, Arc<Session>>, caller: &Caller) -> Result<(), Error> {
        let Config { max_sessions, max_per_caller, .. } = *self.config();
        let of_caller = sessions.values().filter(|session| session.caller() == caller).count();
        if of_caller >= max_per_caller {
            let reason =
                format!("one caller may have {max_per_caller} sessions at once: end one, or wait until one ends");
            return Err(Error::LimitReached { reason, retry_after: Some(RETRY_AFTER) });
        }
        if sessions.len() >= max_sessions {
            let reason = format!("this server may have {max_sessions} sessions at once: wait until one ends");
            return Err(Error::Overloaded { reason, retry_after: RETRY_AFTER });
        }
        Ok(())
    }

    /// Returns the session with this id if it is this caller's and has not ended.
    pub fn find(&self, caller: &Caller, id: &str) -> Option<Arc<Session>> {
        self.find_any(id).filter(|session| session.caller() == caller)
    }

    /// Checks a token for the session with this id, in constant time and without looking up the session.
    pub fn check_token(&self, kind: TokenKind, id: &str, shown: &[u8]) -> TokenCheck {
        self.0.services.tokens.check(kind, id, shown)
    }

    /// Returns the access token of the session with this id, whether or not there is one.
    pub fn access_token(&self, id: &str) -> String {
        self.0.services.tokens.issue(TokenKind::Access, id)
    }

    /// Returns the session with this id if it has not ended, regardless of its owner: for clients with a token for it.
    pub fn find_any(&self, id: &str) -> Option<Arc<Session>> {
        let found = self.0.sessions().get(id).cloned();
        found.filter(|session| session.lifetime().state() != SessionState::Ended)
    }

    /// Returns a caller's sessions that have not ended, the newest first.
    pub fn list(&self, caller: &Caller) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.list_all().into_iter().filter(|session| session.caller() == caller).collect();
        all.sort_by_key(|session| (std::cmp::Reverse(session.lifetime().started_at()), session.id().to_owned()));
        all
    }

    /// Returns all sessions that have not ended.
    pub fn list_all(&self) -> Vec<Arc<Session>> {
        let sessions = self.0.sessions();
        sessions.values().filter(|session| session.lifetime().state() != SessionState::Ended).cloned().collect()
    }

    /// Returns the router that decides for cells and runs programs.
    pub fn router(&self) -> &Arc<Router> {
        &self.0.services.router
    }

    /// Returns the account of the bytes that the server holds for its callers.
    pub fn memory(&self) -> &MemoryAccount {
        &self.0.services.memory
    }

    /// Returns the settings of sessions.
    pub fn config(&self) -> &Config {
        &self.0.services.config
    }

    /// Refuses every cell that waits for a slot, now and from now on; what runs goes on. Call it when the process ends.
    pub fn refuse_waiting(&self) {
        self.0.services.refuse_waiting();
    }

    /// Ends all sessions and waits until their machines, files and contexts are freed.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *self.0.sessions());
        for session in all.values() {
            session.end();
        }
        for session in all.values() {
            session.clear().await;
        }
    }
}

/// Waits for a session's end, removes it from the registry and frees it.
async fn clear_at_end(session: Arc<Session>, registry: Weak<Registry>) {
    loop {
        session.lifetime().stopped().await;
        if session.lifetime().state() == SessionState::Ended {
            break;
        }
        // Paused, because its time is over or by a call: its machine sleeps until the session is resumed.
        if let Err(error) = session.machine_slot().put_to_sleep().await {
            tracing::warn!(session = session.id(), %error, "the machine of a paused session could not be put to sleep");
        }
        session.lifetime().resumed().await;
    }
    if let Some(registry) = registry.upgrade() {
        registry.sessions().remove(session.id());
    }
    session.clear().await;
}
