//! Which sessions were seen here, so that one that has ended is told from one that never was.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use switchtower_core::request::Caller;

/// Names that are kept; after it the oldest are forgotten, and their ended sessions are unknown ones.
const MOST: usize = 16_384;
/// Names of one caller that are kept: whoever opens many pushes out its own.
const OF_CALLER: usize = 4096;

/// The names of sessions with whose they were.
#[derive(Default)]
pub(in crate::api) struct Opened {
    /// Locked for a look-up.
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    callers: BTreeMap<String, Caller>,
    /// Those of each caller with the numbers that they came in, the oldest first.
    order: HashMap<Caller, VecDeque<(u64, String)>>,
    next: u64,
}

impl Names {
    fn forget_oldest_of(&mut self, caller: &Caller) {
        let Some(own) = self.order.get_mut(caller) else { return };
        if let Some((_, oldest)) = own.pop_front() {
            self.callers.remove(&oldest);
        }
        if own.is_empty() {
            self.order.remove(caller);
        }
    }

    fn caller_of_oldest(&self) -> Option<Caller> {
        let oldest = self.order.iter().min_by_key(|(_, own)| own.front().map(|(number, _)| *number));
        oldest.map(|(caller, _)| caller.clone())
    }
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
        if names.order.get(caller).is_some_and(|own| own.len() >= OF_CALLER) {
            names.forget_oldest_of(caller);
        } else if names.callers.len() >= MOST
            && let Some(oldest) = names.caller_of_oldest()
        {
            names.forget_oldest_of(&oldest);
        }
        names.callers.insert(id.to_owned(), caller.clone());
        let number = names.next;
        names.next += 1;
        names.order.entry(caller.clone()).or_default().push_back((number, id.to_owned()));
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
        let opened = Opened::default();
        let callers = ["a", "b", "c", "d", "e"].map(Caller::named);
        for (i, caller) in (0..=MOST).zip(callers.iter().cycle()) {
            opened.remember(caller, &i.to_string());
            opened.remember(caller, &i.to_string());
        }
        assert!(!opened.has(&callers[0], "0") && opened.has(&callers[1], "1"));
        assert!(opened.has(&callers[MOST % 5], &MOST.to_string()) && !opened.has(&callers[0], "1"));
    }

    #[test]
    fn a_caller_who_opens_many_pushes_out_none_of_another() {
        let opened = Opened::default();
        let (ada, bob) = (Caller::named("ada"), Caller::named("bob"));
        opened.remember(&ada, "of-ada");
        for i in 0..2 * MOST {
            opened.remember(&bob, &i.to_string());
        }
        assert!(opened.has(&ada, "of-ada") && !opened.has(&bob, "0"));
        assert!(opened.has(&bob, &(2 * MOST - OF_CALLER).to_string()));
        assert_eq!(opened.names().callers.len(), OF_CALLER + 1);
    }
}
