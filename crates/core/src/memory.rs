//! An account of the bytes that the server holds for its callers: request bodies, files, cells and their histories, options of
//! sandboxes, watchers.
//!
//! Everything that holds bytes has a [`Charge`], which returns them when it is dropped. A caller may hold no more than its
//! share and no more than it leaves free, so there is always space for another caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use switchtower_contract::byte_size;

use crate::request::Caller;

/// How many bytes the server may hold for its callers: request bodies, files, cells and their histories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Maximum for all callers together.
    #[serde(with = "byte_size")]
    pub total: u64,
    /// Maximum for one caller, at least 1MiB and at most `total`. A caller never holds more than it leaves free, so a single
    /// caller holds at most half of the total.
    #[serde(with = "byte_size")]
    pub per_caller: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { total: 512 << 20, per_caller: 256 << 20 }
    }
}

impl Config {
    /// Returns a message about the first invalid setting, beginning with its name; `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        if self.per_caller < (1 << 20) {
            return Some("per_caller must be at least 1MiB: with less no caller could do anything".to_owned());
        }
        let (per_caller, total) = (byte_size::format(self.per_caller), byte_size::format(self.total));
        (self.per_caller > self.total)
            .then(|| format!("per_caller is {per_caller}: it must be at most memory.total, {total}"))
    }
}

/// The account. Clones share one balance.
#[derive(Debug, Clone)]
pub struct MemoryAccount(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    /// Held for a few instructions.
    balances: Mutex<Balances>,
}

#[derive(Debug, Default)]
struct Balances {
    total: u64,
    /// Without callers that hold nothing.
    by_caller: HashMap<Arc<str>, u64>,
}

/// There is no space for more bytes. Nothing was charged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no space left: {wanted} more bytes do not fit beside the {held} that this caller holds in sandboxes, files, cells and \
     uploads; it may hold {allowed} now: remove files or end sandboxes"
)]
pub struct NoSpace {
    /// Bytes requested in addition.
    pub wanted: u64,
    /// Bytes that the caller holds.
    pub held: u64,
    /// Bytes that the caller may hold now, given its share and what others hold.
    pub allowed: u64,
}

impl Default for MemoryAccount {
    fn default() -> Self {
        Self::new(&Config::default())
    }
}

impl MemoryAccount {
    /// Returns an account with no bytes charged.
    pub fn new(config: &Config) -> Self {
        Self(Arc::new(Inner { config: config.clone(), balances: Mutex::default() }))
    }

    /// Returns a charge of zero bytes to a caller.
    pub fn open(&self, caller: &Caller) -> Charge {
        Charge { account: self.clone(), user: Arc::clone(&caller.user), bytes: Mutex::new(0) }
    }

    /// Charges bytes to a caller.
    ///
    /// # Errors
    /// There is no space for them.
    pub fn charge(&self, caller: &Caller, bytes: u64) -> Result<Charge, NoSpace> {
        let charge = self.open(caller);
        charge.resize(bytes)?;
        Ok(charge)
    }

    /// Returns the bytes that are held for all callers.
    pub fn total(&self) -> u64 {
        self.balances().total
    }

    /// Returns the bytes that are held for one caller.
    pub fn held_by(&self, caller: &Caller) -> u64 {
        self.balances().by_caller.get(&caller.user).copied().unwrap_or_default()
    }

    fn balances(&self) -> MutexGuard<'_, Balances> {
        self.0.balances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, user: &Arc<str>, wanted: u64) -> Result<(), NoSpace> {
        let Config { total, per_caller } = self.0.config;
        let mut balances = self.balances();
        let held = balances.by_caller.get(user).copied().unwrap_or_default();
        // After the charge, the caller holds no more than is free.
        let allowed = per_caller.min(total.saturating_sub(balances.total - held) / 2);
        if held.saturating_add(wanted) > allowed {
            return Err(NoSpace { wanted, held, allowed });
        }
        balances.total += wanted;
        *balances.by_caller.entry(Arc::clone(user)).or_default() += wanted;
        Ok(())
    }

    fn give_back(&self, user: &Arc<str>, bytes: u64) {
        let mut balances = self.balances();
        balances.total = balances.total.saturating_sub(bytes);
        if let Some(held) = balances.by_caller.get_mut(user) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                balances.by_caller.remove(user);
            }
        }
    }
}

/// Bytes charged to a caller until this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: MemoryAccount,
    user: Arc<str>,
    /// Held for one call of the account.
    bytes: Mutex<u64>,
}

impl Charge {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes charged.
    pub fn bytes(&self) -> u64 {
        *self.lock()
    }

    /// Returns a charge of zero bytes to the same caller.
    pub fn another(&self) -> Self {
        Self { account: self.account.clone(), user: Arc::clone(&self.user), bytes: Mutex::new(0) }
    }

    /// Sets the charge to this many bytes. Reducing it never fails.
    ///
    /// # Errors
    /// There is no space for more; the charge is unchanged.
    pub fn resize(&self, to: u64) -> Result<(), NoSpace> {
        let mut bytes = self.lock();
        if to > *bytes {
            self.account.take(&self.user, to - *bytes)?;
        } else {
            self.account.give_back(&self.user, *bytes - to);
        }
        *bytes = to;
        Ok(())
    }

    /// Raises the charge to at least this many bytes.
    ///
    /// # Errors
    /// There is no space for them; the charge is unchanged.
    pub fn reach(&self, at_least: u64) -> Result<(), NoSpace> {
        if at_least > self.bytes() { self.resize(at_least) } else { Ok(()) }
    }

    /// Reduces the charge to at most this many bytes.
    pub fn shrink(&self, at_most: u64) {
        if at_most < self.bytes() {
            // Reducing a charge never fails.
            let _ = self.resize(at_most);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(&self.user, self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn caller(name: &str) -> Caller {
        Caller::named(name)
    }

    fn account(total: u64, per_caller: u64) -> MemoryAccount {
        MemoryAccount::new(&Config { total, per_caller })
    }

    #[test]
    fn a_caller_is_limited_to_its_share_and_dropping_charges_returns_it() {
        let account = account(1000, 300);
        let ada = account.charge(&caller("ada"), 300).unwrap();
        let refused = account.charge(&caller("ada"), 1).unwrap_err();
        assert_eq!(refused, NoSpace { wanted: 1, held: 300, allowed: 300 });
        account.charge(&caller("bob"), 300).unwrap();
        assert_eq!((account.total(), account.held_by(&caller("bob"))), (300, 0));
        ada.resize(100).unwrap();
        let more = ada.another();
        more.resize(200).unwrap();
        assert!(more.resize(201).is_err() && more.bytes() == 200);
        drop((ada, more));
        assert_eq!((account.total(), account.balances().by_caller.len()), (0, 0));
    }

    #[test]
    fn a_later_caller_always_finds_space_however_much_others_hold() {
        let account = account(1 << 20, 1 << 20);
        let mut charges = Vec::new();
        for number in 0..8 {
            let charge = account.open(&caller(&number.to_string()));
            // As much as fits.
            let mut bytes = 1 << 20;
            while charge.resize(bytes).is_err() {
                bytes /= 2;
            }
            assert!(bytes >= 1 << (19 - number), "{number}: {bytes}");
            charges.push(charge);
        }
        assert!(account.total() < 1 << 20);
    }

    #[test]
    fn the_error_has_all_numbers_and_says_what_to_do() {
        let text = account(100, 50).charge(&caller("ada"), 60).unwrap_err().to_string();
        insta::assert_snapshot!(text, @"no space left: 60 more bytes do not fit beside the 0 that this caller holds in sandboxes, files, cells and uploads; it may hold 50 now: remove files or end sandboxes");
    }

    proptest! {
        #[test]
        fn the_total_and_the_shares_are_never_exceeded(steps in prop::collection::vec((0..6_usize, 0..700_u64), 0..60)) {
            let account = account(1000, 400);
            let charges: Vec<_> = (0..6).map(|at| account.open(&caller(["a", "b", "c"][at % 3]))).collect();
            for (at, bytes) in steps {
                let _ = charges[at].resize(bytes);
                let all: u64 = charges.iter().map(Charge::bytes).sum();
                prop_assert_eq!(account.total(), all);
                prop_assert!(all <= 1000);
                for name in ["a", "b", "c"] {
                    prop_assert!(account.held_by(&caller(name)) <= 400);
                }
            }
            drop(charges);
            prop_assert_eq!(account.total(), 0);
        }
    }
}
