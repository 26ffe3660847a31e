//! The most recently used sandboxes: a signed link without a sandbox id can only belong to one of them.
//!
//! A signature is a hash of a sandbox's token, so the sandbox it was made for is found by trying tokens. Their number
//! is bounded here, so that an unauthenticated request costs the same however many sandboxes there are. When the list
//! is full, the caller with the most entries loses its oldest, so a caller with many sandboxes does not make the links
//! of others fail.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use switchtower_core::request::Caller;
use switchtower_core::session::{Session, SessionState};

/// Maximum number of sandboxes, and so of tokens that are tried for one link: about 0.2 ms of hashing.
pub(super) const MAX_SANDBOXES: usize = 1024;

/// Sandboxes whose access token was given out or used, the most recent [`MAX_SANDBOXES`] of them.
#[derive(Default)]
pub(super) struct RecentSandboxes {
    /// Locked for a look-up, and for one pass when it is full.
    uses: Mutex<Uses>,
}

#[derive(Default)]
struct Uses {
    /// By the number of their last use.
    sandboxes: BTreeMap<u64, Entry>,
    last_use: HashMap<String, u64>,
    next: u64,
}

struct Entry {
    session: Weak<Session>,
    caller: Caller,
}

impl Entry {
    /// Returns the session while it has not ended.
    fn alive(&self) -> Option<Arc<Session>> {
        self.session.upgrade().filter(|session| session.lifetime().state() != SessionState::Ended)
    }
}

impl Uses {
    /// Removes sandboxes that have ended and, if that frees no entry, the oldest entry of the caller with the most
    /// entries.
    fn make_place(&mut self) {
        self.sandboxes.retain(|_, entry| entry.alive().is_some());
        if self.sandboxes.len() >= MAX_SANDBOXES {
            let mut counts: HashMap<&Caller, (usize, u64)> = HashMap::new();
            for (number, entry) in &self.sandboxes {
                counts.entry(&entry.caller).or_insert((0, *number)).0 += 1;
            }
            // Of callers with equally many, the one with the oldest entry.
            let most = counts.into_values().max_by_key(|(count, oldest)| (*count, Reverse(*oldest)));
            if let Some((_, oldest)) = most {
                self.sandboxes.remove(&oldest);
            }
        }
        self.last_use.retain(|_, number| self.sandboxes.contains_key(number));
    }
}

impl RecentSandboxes {
    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the access token of a sandbox was given out or used.
    pub(super) fn record_use(&self, session: &Arc<Session>) {
        let mut uses = self.uses();
        if let Some(number) = uses.last_use.get(session.id()).copied() {
            uses.sandboxes.remove(&number);
        } else if uses.last_use.len() >= MAX_SANDBOXES {
            uses.make_place();
        }
        let number = uses.next;
        uses.next += 1;
        uses.sandboxes.insert(number, Entry { session: Arc::downgrade(session), caller: session.caller().clone() });
        uses.last_use.insert(session.id().to_owned(), number);
    }

    /// Returns the sandboxes that have not ended, the most recently used first.
    pub(super) fn list(&self) -> Vec<Arc<Session>> {
        self.uses().sandboxes.values().rev().filter_map(Entry::alive).collect()
    }
}
