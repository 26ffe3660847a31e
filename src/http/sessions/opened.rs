//! Which sessions were seen here, so that one that has ended is told from one that never was.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::request::Caller;

/// Names that are kept; after it the oldest are forgotten, and their ended sessions are unknown ones.
const MOST: usize = 16_384;

/// The names of sessions with whose they were.
#[derive(Default)]
pub(in crate::http) struct Opened {
    /// Held for a look.
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    callers: BTreeMap<String, Caller>,
    /// The oldest first.
    order: VecDeque<String>,
}

impl Opened {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, caller: &Caller, id: &str) {
        let mut names = self.names();
        if names.callers.contains_key(id) {
            return;
        }
        if names.order.len() >= MOST
            && let Some(oldest) = names.order.pop_front()
        {
            names.callers.remove(&oldest);
        }
        names.callers.insert(id.to_owned(), caller.clone());
        names.order.push_back(id.to_owned());
    }

    pub(super) fn has(&self, caller: &Caller, id: &str) -> bool {
        self.names().callers.get(id) == Some(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_names_are_forgotten_first() {
        let (opened, caller) = (Opened::default(), Caller::default());
        for i in 0..=MOST {
            opened.remember(&caller, &i.to_string());
            opened.remember(&caller, &i.to_string());
        }
        assert!(!opened.has(&caller, "0") && opened.has(&caller, "1") && opened.has(&caller, &MOST.to_string()));
        assert!(!opened.has(&Caller::named("ada"), "1"));
    }
}
