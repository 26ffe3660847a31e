//! The sessions that there are, and how many may be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha20Rng;

use super::config::Config;
use super::lifetime::SessionState;
use super::messages::CreateSession;
use super::native_kernels::{self, NativeKernels};
use super::place::makes_again;
use super::session::Session;
use super::tokens::{TokenCheck, TokenKind, Tokens};
use super::transfers::Transfers;
use crate::error::Error;
use crate::memory::MemoryAccount;
use crate::request::{Caller, Invalid, RequestLimits};
use crate::route::TierName;
use crate::router::Router;
use crate::tier::Tier;
use crate::tier::queue::FairQueue;

/// What every session stands on.
pub(super) struct House {
    pub(super) router: Arc<Router>,
    pub(super) config: Config,
    pub(super) request_limits: RequestLimits,
    queue: FairQueue,
    native_queue: FairQueue,
    pub(super) native_kernels: Arc<NativeKernels>,
    pub(super) ids: Ids,
    pub(super) tokens: Tokens,
    pub(super) memory: MemoryAccount,
    pub(super) transfers: Transfers,
}

impl House {
    /// What cells for a kernel of this local tier wait in: a long one in the one kind keeps none of the other waiting.
    pub(super) fn queue(&self, tier: &Tier) -> &FairQueue {
        if makes_again(tier) { &self.queue } else { &self.native_queue }
    }
}

/// Names that nobody can guess.
pub(super) struct Ids(Mutex<ChaCha20Rng>);

impl Ids {
    fn draw<T>(&self, draw: impl FnOnce(&mut ChaCha20Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As E2B names sandboxes.
    fn session(&self) -> String {
        const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut id = String::from("i");
        self.draw(|chance| id.extend((0..20).map(|_| char::from(LETTERS[chance.random_range(0..LETTERS.len())]))));
        id
    }

    /// A random UUID (RFC 9562, version 4).
    pub(super) fn uuid(&self) -> String {
        let (high, low) = self.draw(|chance| (chance.next_u64(), chance.next_u64()));
        let (high, low) = (high & !0xf000 | 0x4000, low & !(0b11 << 62) | (0b10 << 62));
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// All sessions. Clones are the same table.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    house: Arc<House>,
    /// Protects the table; held for a look.
    table: Mutex<BTreeMap<String, Arc<Session>>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("count", &self.0.table().len()).finish()
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Sessions with a memory account of their own.
    pub fn new(router: Arc<Router>, config: &Config, request_limits: &RequestLimits) -> Self {
        Self::with_memory(router, config, request_limits, MemoryAccount::default())
    }

    /// Sessions that charge what they hold to this account.
    pub fn with_memory(
        router: Arc<Router>,
        config: &Config,
        request_limits: &RequestLimits,
        memory: MemoryAccount,
    ) -> Self {
        let cells = config.cells();
        let queue = |name| FairQueue::new(TierName::from(name), cells.clone());
        let ids = Ids(Mutex::new(router.seed().fork("sessions").strong_rng()));
        let tokens = ids.draw(Tokens::new);
        let house = House {
            router,
            config: config.clone(),
            request_limits: request_limits.clone(),
            queue: queue("kernels"),
            native_queue: queue("native kernels"),
            native_kernels: NativeKernels::new(native_kernels::Limits {
                total: config.max_native_kernels,
                per_caller: config.native_kernels_per_caller(),
                idle: config.native_kernel_idle,
            }),
            ids,
            tokens,
            memory,
            transfers: Transfers::default(),
        };
        Self(Arc::new(Inner { house: Arc::new(house), table: Mutex::default() }))
    }

    /// Creates a session. It costs no machine, and no kernel before its first cell. Call it inside a runtime.
    ///
    /// # Errors
    /// `LimitReached`: the caller has as many as it may have. `Overloaded`: so has the server. `NoSpace`: or holds as much as may be. `Invalid`: it is
    /// to live too long, or not at all.
    pub async fn create(&self, caller: &Caller, asked: CreateSession) -> Result<Arc<Session>, Error> {
        self.create_as(self.0.house.ids.session(), caller, asked)
    }

    /// The same under a name that is given: the one that is there under it, where there is one.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn open_with_id(&self, id: &str, caller: &Caller, asked: CreateSession) -> Result<Arc<Session>, Error> {
        match self.find_any(id) {
            Some(session) => Ok(session),
            None => self.create_as(id.to_owned(), caller, asked),
        }
    }

    fn create_as(&self, id: String, caller: &Caller, asked: CreateSession) -> Result<Arc<Session>, Error> {
        let config = &self.0.house.config;
        if asked.timeout.is_zero() || asked.timeout > config.max_lifetime {
            return Err(
                Invalid::new("timeout", format!("between 1 and {} seconds", config.max_lifetime.as_secs())).into()
            );
        }
        let mut table = self.0.table();
        table.retain(|_, session| session.state() != SessionState::Ended);
        let of_caller = table.values().filter(|session| session.caller() == caller).count();
        let retry_after = Duration::from_secs(5);
        if of_caller >= config.max_per_caller {
            let reason = format!(
                "one caller may have {} sessions at once: end one, or wait until one ends",
                config.max_per_caller
            );
            return Err(Error::LimitReached { reason, retry_after: Some(retry_after) });
        }
        if table.len() >= config.max_sessions {
            let reason = format!("this server may have {} sessions at once: wait until one ends", config.max_sessions);
            return Err(Error::Overloaded { reason, retry_after });
        }
        let session = Arc::new(Session::new(id, caller.clone(), asked, Arc::clone(&self.0.house))?);
        table.insert(session.id().to_owned(), Arc::clone(&session));
        drop(table);
        tokio::spawn(tend(Arc::clone(&session), Arc::downgrade(&self.0)));
        Ok(session)
    }

    /// One of this caller's that has not ended.
    pub fn find(&self, caller: &Caller, id: &str) -> Option<Arc<Session>> {
        self.find_any(id).filter(|session| session.caller() == caller)
    }

    /// Checks a token that was shown for the session with this id, in constant time and without a look at the session.
    pub fn check_token(&self, kind: TokenKind, id: &str, shown: &[u8]) -> TokenCheck {
        self.0.house.tokens.check(kind, id, shown)
    }

    /// The access token of the session with this id, whether or not there is one.
    pub fn access_token(&self, id: &str) -> String {
        self.0.house.tokens.issue(TokenKind::Access, id)
    }

    /// For the data plane, where the session's own token is what counts.
    pub fn find_any(&self, id: &str) -> Option<Arc<Session>> {
        let found = self.0.table().get(id).cloned();
        found.filter(|session| session.state() != SessionState::Ended)
    }

    /// Those of a caller that have not ended, the newest first.
    pub fn list(&self, caller: &Caller) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.list_all().into_iter().filter(|session| session.caller() == caller).collect();
        all.sort_by_key(|session| (std::cmp::Reverse(session.started_at()), session.id().to_owned()));
        all
    }

    /// All that have not ended.
    pub fn list_all(&self) -> Vec<Arc<Session>> {
        let table = self.0.table();
        table.values().filter(|session| session.state() != SessionState::Ended).cloned().collect()
    }

    pub fn router(&self) -> &Arc<Router> {
        &self.0.house.router
    }

    /// The account that all that callers hold is charged to.
    pub fn memory(&self) -> &MemoryAccount {
        &self.0.house.memory
    }

    pub fn config(&self) -> &Config {
        &self.0.house.config
    }

    /// Ends all of them and waits until they have let go of what they had.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *self.0.table());
        for session in all.values() {
            session.end();
        }
        for session in all.values() {
            session.clear().await;
        }
    }
}

/// Waits for a session's end, and clears it away.
async fn tend(session: Arc<Session>, table: Weak<Inner>) {
    loop {
        session.stopped().await;
        if session.state() == SessionState::Ended {
            break;
        }
        // Its time made it pause, or somebody did: either way its machine sleeps until it is resumed.
        if let Err(error) = session.sleeps().await {
            tracing::warn!(session = session.id(), %error, "a session's machine does not go to sleep");
        }
        session.resumed().await;
    }
    if let Some(table) = table.upgrade() {
        table.table().remove(session.id());
    }
    session.clear().await;
}
