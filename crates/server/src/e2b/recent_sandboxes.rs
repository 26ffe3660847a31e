//! The most recently used sandboxes: a signed link without a sandbox id can only belong to one of them.
//!
//! A signature is a hash of a sandbox's token, so the sandbox it was made for is found by trying tokens. Their number is
//! bounded here, so that an unauthenticated request costs the same however many sandboxes there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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
    sandboxes: BTreeMap<u64, Weak<Session>>,
    last_use: HashMap<String, u64>,
    next: u64,
}

fn is_alive(session: &Weak<Session>) -> bool {
    session.upgrade().is_some_and(|session| session.state() != SessionState::Ended)
}

impl RecentSandboxes {
    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the access token of a sandbox was given out or used.
    pub(super) fn record_use(&self, session: &Arc<Session>) {
        let mut uses = self.uses();
        let Uses { sandboxes, last_use, next } = &mut *uses;
        match last_use.get(session.id()) {
            Some(number) => drop(sandboxes.remove(number)),
            None if last_use.len() < MAX_SANDBOXES => {}
            None => {
                sandboxes.retain(|_, session| is_alive(session));
                if sandboxes.len() >= MAX_SANDBOXES {
                    sandboxes.pop_first();
                }
                last_use.retain(|_, number| sandboxes.contains_key(number));
            }
        }
        sandboxes.insert(*next, Arc::downgrade(session));
        last_use.insert(session.id().to_owned(), *next);
        *next += 1;
    }

    /// Returns the sandboxes that have not ended, the most recently used first.
    pub(super) fn list(&self) -> Vec<Arc<Session>> {
        let alive = |session: &Weak<Session>| session.upgrade().filter(|it| it.state() != SessionState::Ended);
        self.uses().sandboxes.values().rev().filter_map(alive).collect()
    }
}
