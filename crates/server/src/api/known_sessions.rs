//! The ids of sessions that were seen, so that a session that has ended answers 410 and an unknown one 404.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use switchtower_core::request::Caller;

/// Maximum number of ids. Beyond it the oldest are forgotten, and their ended sessions count as unknown.
const MAX_IDS: usize = 16_384;
/// Maximum number of ids of one caller: a caller that opens many sessions displaces only its own.
const MAX_IDS_OF_CALLER: usize = 4096;

/// The ids of sessions with their callers.
#[derive(Default)]
pub(super) struct KnownSessions {
    /// Locked for a look-up.
    ids: Mutex<Ids>,
}

#[derive(Default)]
struct Ids {
    callers: BTreeMap<String, Caller>,
    /// The ids of each caller with the sequence numbers of their first use, the oldest first.
    order: HashMap<Caller, VecDeque<(u64, String)>>,
    next: u64,
}

impl Ids {
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

impl KnownSessions {
    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, caller: &Caller, id: &str) {
        let mut ids = self.ids();
        if ids.callers.contains_key(id) {
            return;
        }
        if ids.order.get(caller).is_some_and(|own| own.len() >= MAX_IDS_OF_CALLER) {
            ids.forget_oldest_of(caller);
        } else if ids.callers.len() >= MAX_IDS
            && let Some(oldest) = ids.caller_of_oldest()
        {
            ids.forget_oldest_of(&oldest);
        }
        ids.callers.insert(id.to_owned(), caller.clone());
        let number = ids.next;
        ids.next += 1;
        ids.order.entry(caller.clone()).or_default().push_back((number, id.to_owned()));
    }

    pub(super) fn contains(&self, caller: &Caller, id: &str) -> bool {
        self.ids().callers.get(id) == Some(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_ids_are_forgotten_first() {
        let known = KnownSessions::default();
        let callers = ["a", "b", "c", "d", "e"].map(Caller::named);
        for (i, caller) in (0..=MAX_IDS).zip(callers.iter().cycle()) {
            known.record(caller, &i.to_string());
            known.record(caller, &i.to_string());
        }
        assert!(!known.contains(&callers[0], "0") && known.contains(&callers[1], "1"));
        assert!(known.contains(&callers[MAX_IDS % 5], &MAX_IDS.to_string()) && !known.contains(&callers[0], "1"));
    }

    #[test]
    fn a_caller_that_opens_many_sessions_displaces_no_ids_of_others() {
        let known = KnownSessions::default();
        let (ada, bob) = (Caller::named("ada"), Caller::named("bob"));
        known.record(&ada, "of-ada");
        for i in 0..2 * MAX_IDS {
            known.record(&bob, &i.to_string());
        }
        assert!(known.contains(&ada, "of-ada") && !known.contains(&bob, "0"));
        assert!(known.contains(&bob, &(2 * MAX_IDS - MAX_IDS_OF_CALLER).to_string()));
        assert_eq!(known.ids().callers.len(), MAX_IDS_OF_CALLER + 1);
    }
}
