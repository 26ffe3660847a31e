//! The share of each caller in the machines of this host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the machines of each caller.
pub(super) struct MachineShares {
    max: usize,
    /// Held for a few instructions. Only callers with machines are in it.
    held: Mutex<BTreeMap<Arc<str>, usize>>,
}

/// One machine of a caller. Dropping it frees the place.
pub(super) struct MachineShare {
    of: Arc<MachineShares>,
    user: Arc<str>,
}

impl MachineShares {
    /// Returns shares of at most `max` machines for each caller.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, held: Mutex::default() })
    }

    /// Returns the most machines of one caller.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Takes a place for a machine; `None`: the caller has the maximum.
    pub(super) fn take(self: &Arc<Self>, user: &Arc<str>) -> Option<MachineShare> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(Arc::clone(user)).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(MachineShare { of: Arc::clone(self), user: Arc::clone(user) })
    }
}

impl Drop for MachineShare {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_its_share_and_others_are_unaffected() {
        let shares = MachineShares::new(2);
        let (ada, bob): (Arc<str>, Arc<str>) = ("ada".into(), "bob".into());
        let (one, two) = (shares.take(&ada).unwrap(), shares.take(&ada).unwrap());
        assert!(shares.take(&ada).is_none() && shares.take(&bob).is_some());
        drop(one);
        assert!(shares.take(&ada).is_some());
        drop(two);
        assert!(shares.held.lock().unwrap().is_empty());
    }
}
