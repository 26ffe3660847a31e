//! The sessions that there are, and how many may be.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::life::Standing;
use super::native_kernels::{self, NativeKernels};
use super::place::makes_again;
use super::session::Session;
use super::tokens::{TokenCheck, TokenKind, Tokens};
use super::transfers::Transfers;
use crate::error::Error;
use crate::memory::MemoryAccount;
use crate::request::{Caller, Ceilings, Invalid};
use crate::route::TierName;
use crate::router::Router;
use crate::tier::Tier;
use crate::tier::queue::{self, FairQueue};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Sessions at once.
    pub most: usize,
    /// Sessions of one caller at once.
    pub per_caller: usize,
    /// Contexts of one session.
    pub contexts: usize,
    /// How long a session lives where nothing is said; each use through the native door begins that time anew.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// Longest that a session may be asked to live.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
    /// Bytes of files that one session may hold here.
    pub files: u64,
    /// Longest that a cell may run where its client sets no limit; a client may not set a longer one.
    #[serde(with = "humantime_serde")]
    pub cell: Duration,
    /// Bytes of stdout and stderr that are kept of a cell.
    pub output: u64,
    /// Bytes that all kernels here may hold; beyond it, those that nobody used for longest are spilled: only their
    /// cells are kept, and run again when they are needed.
    pub memory: u64,
    /// A kernel here that nobody used for so long is spilled too.
    #[serde(with = "humantime_serde")]
    pub spill: Duration,
    /// A kernel whose cells take longer than this to run again is spilled last.
    #[serde(with = "humantime_serde")]
    pub dear: Duration,
    /// A session's machine that nobody used for so long is put to sleep; it wakes with the next use. One on which a
    /// command was started is left awake.
    #[serde(with = "humantime_serde")]
    pub sleep: Duration,
    /// Kernels at once that can be neither made again nor spilled, which are those of tiers outside WebAssembly: each
    /// is held until its context ends, or moves on to a machine.
    pub native: usize,
    /// Such kernels of one caller at once; 0: a quarter of all, at least 1.
    pub native_per_caller: usize,
    /// Such a kernel that nobody used for so long is given up when another caller needs one and there are as many as there
    /// may be; the next cell of its context says so.
    #[serde(with = "humantime_serde")]
    pub native_idle: Duration,
    /// How cells wait for the kernels here; those that can be made again, and those that cannot, wait apart. `slots` is
    /// how many run at once; 0: four per core, 16 to 64. `per_user` is how many of one caller run at once, fewer than all
    /// where there are two or more; 0: one per core, at least 4. With the extra slots there are at most 200.
    pub queue: queue::Config,
}

impl Config {
    /// How cells wait for the kernels here, with the numbers that the settings leave to the machine.
    pub fn cells(&self) -> queue::Config {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        cells_on(&self.queue, cores)
    }

    /// Most cells that run at once in each of the two kinds of kernels, those in extra slots included.
    pub fn cells_at_once(&self) -> usize {
        let cells = self.cells();
        cells.slots.saturating_add(cells.extra_slots)
    }

    /// Why these settings cannot be used, in words that begin with the setting's name; `None` when all is well.
    pub fn objection(&self) -> Option<String> {
        let most = self.cells_at_once();
        let many = || format!("queue.slots and extra_slots are {most} together: at most {MOST_CELLS} are allowed");
        let queue = self.cells().objection().map(|wrong| format!("queue.{wrong}"));
        queue.or_else(|| (most > MOST_CELLS).then(many))
    }

    fn native_kernels(&self) -> native_kernels::Limits {
        let per_caller = if self.native_per_caller == 0 { self.native / 4 } else { self.native_per_caller };
        native_kernels::Limits { total: self.native, per_caller: per_caller.max(1), idle: self.native_idle }
    }
}

/// One caller never has every slot: however long its cells run, those of others find one.
fn cells_on(queue: &queue::Config, cores: usize) -> queue::Config {
    let or = |count, otherwise| if count == 0 { otherwise } else { count };
    let slots = or(queue.slots, (4 * cores).clamp(16, 64));
    let per_user = or(queue.per_user, cores.max(4)).min((slots - 1).max(1));
    queue::Config { slots, per_user, ..queue.clone() }
}

/// Most cells that run at once in each of the two kinds of kernels: each has a connection to its worker process, which can
/// be given so many.
const MOST_CELLS: usize = 200;

impl Default for Config {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            most: 4000,
            per_caller: 2000,
            contexts: 16,
            idle: seconds(15 * 60),
            lifetime: seconds(24 * 3600),
            files: 64 << 20,
            // As long as a cloud sandbox may run one.
            cell: seconds(45 * 60),
            output: 16 << 20,
            memory: 4 << 30,
            spill: seconds(10 * 60),
            dear: seconds(2),
            sleep: seconds(10 * 60),
            native: 32,
            native_per_caller: 0,
            native_idle: seconds(5 * 60),
            queue: queue::Config { slots: 0, per_user: 0, extra_slots: 8, ..queue::Config::default() },
        }
    }
}

/// What every session stands on.
pub(super) struct House {
    pub(super) router: Arc<Router>,
    pub(super) config: Config,
    pub(super) ceilings: Ceilings,
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
    pub fn new(router: Arc<Router>, config: &Config, ceilings: &Ceilings) -> Self {
        Self::charged(router, config, ceilings, MemoryAccount::default())
    }

    /// Sessions that charge what they hold to this account.
    pub fn charged(router: Arc<Router>, config: &Config, ceilings: &Ceilings, memory: MemoryAccount) -> Self {
        let cells = config.cells();
        let queue = |name| FairQueue::new(TierName::from(name), cells.clone());
        let ids = Ids(Mutex::new(router.seed().fork("sessions").strong_rng()));
        let tokens = ids.draw(Tokens::new);
        let house = House {
            router,
            config: config.clone(),
            ceilings: ceilings.clone(),
            queue: queue("kernels"),
            native_queue: queue("native kernels"),
            native_kernels: NativeKernels::new(config.native_kernels()),
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
    /// `Overloaded`: the caller, or the house, has as many as may be. `NoSpace`: or holds as much as may be. `Invalid`: it is
    /// to live too long, or not at all.
    pub async fn create(&self, caller: &Caller, asked: Asked) -> Result<Arc<Session>, Error> {
        self.create_as(self.0.house.ids.session(), caller, asked)
    }

    /// The same under a name that is given: the one that is there under it, where there is one.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn open_as(&self, id: &str, caller: &Caller, asked: Asked) -> Result<Arc<Session>, Error> {
        match self.any(id) {
            Some(session) => Ok(session),
            None => self.create_as(id.to_owned(), caller, asked),
        }
    }

    fn create_as(&self, id: String, caller: &Caller, asked: Asked) -> Result<Arc<Session>, Error> {
        let config = &self.0.house.config;
        if asked.timeout.is_zero() || asked.timeout > config.lifetime {
            return Err(Invalid::new("timeout", format!("1 to {} seconds", config.lifetime.as_secs())).into());
        }
        let mut table = self.0.table();
        table.retain(|_, session| session.standing() != Standing::Ended);
        let of_caller = table.values().filter(|session| session.caller() == caller).count();
        let full = |whose: &str, most: usize| Error::Overloaded {
            reason: format!("{whose} may have {most} sessions at once: end one, or wait until one ends"),
            retry_after: Duration::from_secs(5),
        };
        if of_caller >= config.per_caller {
            return Err(full("one caller", config.per_caller));
        }
        if table.len() >= config.most {
            return Err(full("this server", config.most));
        }
        let session = Arc::new(Session::new(id, caller.clone(), asked, Arc::clone(&self.0.house))?);
        table.insert(session.id().to_owned(), Arc::clone(&session));
        drop(table);
        tokio::spawn(tend(Arc::clone(&session), Arc::downgrade(&self.0)));
        Ok(session)
    }

    /// One of this caller's that has not ended.
    pub fn find(&self, caller: &Caller, id: &str) -> Option<Arc<Session>> {
        self.any(id).filter(|session| session.caller() == caller)
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
    pub fn any(&self, id: &str) -> Option<Arc<Session>> {
        let found = self.0.table().get(id).cloned();
        found.filter(|session| session.standing() != Standing::Ended)
    }

    /// Those of a caller that have not ended, the newest first.
    pub fn all(&self, caller: &Caller) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.every().into_iter().filter(|session| session.caller() == caller).collect();
        all.sort_by_key(|session| (std::cmp::Reverse(session.started_at()), session.id().to_owned()));
        all
    }

    /// All that have not ended.
    pub fn every(&self) -> Vec<Arc<Session>> {
        let table = self.0.table();
        table.values().filter(|session| session.standing() != Standing::Ended).cloned().collect()
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
        if session.standing() == Standing::Ended {
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
