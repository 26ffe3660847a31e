//! A budget of our own: how many sandboxes are created in an hour, whatever E2B would allow. It outlives the process.

mod alarm;
mod file;
mod ledger;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use switchtower_contract::rounded;

use self::file::File;
use self::ledger::{HOUR, Ledger};

/// What time it is. A clock that jumps forward forgets creations too early; one that is set back, too late.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Creations in a sliding hour, to the second, and how many other operations there were.
///
/// Where it is kept in a file, each creation writes the file: some kilobytes, before the creation starts. Other
/// operations are written along with the next creation or sweep, or when the budget is dropped. The file is for one
/// process. Several that share it by accident do each other no harm but that the last writer wins, so each spends
/// nearly the whole budget.
pub struct Budget {
    limit: Option<u32>,
    now: Now,
    /// Protects the figures; held to count. Taken inside the file's lock where both are.
    ledger: Mutex<Ledger>,
    /// None: in memory only. Protects the order of writes; held for a write, never over an await.
    file: Option<Mutex<File>>,
}

/// How much of the budget is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BudgetStatus {
    /// Creations in the last hour.
    pub count: u32,
    /// Creations an hour. None: as many as they like.
    pub limit: Option<u32>,
    /// The next creation is refused.
    pub exceeded: bool,
    /// Creations that are left now. None without a limit.
    pub remaining: Option<u32>,
}

/// What was asked of E2B in the last hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub total_requests: u64,
    /// Creations are `sandbox_create`.
    pub by_operation: BTreeMap<String, u64>,
}

/// The budget is used up; nothing was counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no more than {limit} sandboxes an hour, and there were {count}: come back in {}", rounded(*.retry_after))]
pub struct Spent {
    pub count: u32,
    pub limit: u32,
    pub retry_after: Duration,
}

impl Budget {
    /// In memory only: a restart forgets it.
    pub fn in_memory(limit: Option<u32>, now: Now) -> Self {
        Self { limit, now, ledger: Mutex::default(), file: None }
    }

    /// Kept in this file: JSON, written whole and renamed, created with its folders, for its owner's eyes only (0600).
    /// It survives the process, not the machine: writes are not forced to the disk.
    ///
    /// A file that cannot be read is set aside as `….damaged` with a warning, and the budget starts at zero. A file
    /// that cannot be written is a warning once, and the budget goes on in memory.
    pub fn kept_in(path: PathBuf, limit: Option<u32>, now: Now) -> Self {
        let file = File::new(path);
        let ledger = file.read();
        Self { limit, now, ledger: Mutex::new(ledger), file: Some(Mutex::new(file)) }
    }

    /// How much is used.
    pub fn check(&self) -> BudgetStatus {
        let now = (self.now)();
        let count = self.ledger().creations(now);
        let remaining = self.limit.map(|limit| limit.saturating_sub(count));
        BudgetStatus { count, limit: self.limit, exceeded: remaining == Some(0), remaining }
    }

    /// Counts one creation.
    ///
    /// # Errors
    /// The budget is used up; says when the next creation fits into the hour.
    pub fn spend(&self) -> Result<(), Spent> {
        let now = (self.now)();
        {
            let mut ledger = self.ledger();
            let count = ledger.creations(now);
            self.room(&ledger, count, now)?;
            ledger.create(now);
            if let Some(limit) = self.limit {
                alarm::spent(count, limit);
            }
        }
        self.keep();
        Ok(())
    }

    /// Whether a creation would be counted now.
    ///
    /// # Errors
    /// The budget is used up, as [`Budget::spend`] would say.
    pub(crate) fn admit(&self) -> Result<(), Spent> {
        let now = (self.now)();
        let mut ledger = self.ledger();
        let count = ledger.creations(now);
        self.room(&ledger, count, now)
    }

    /// Counts another operation, to the minute and only for the statistics.
    pub fn count(&self, operation: &'static str) {
        let now = (self.now)();
        self.ledger().count(operation, now);
    }

    /// What was asked of E2B in the last hour.
    pub fn stats(&self) -> Stats {
        let now = (self.now)();
        let by_operation = self.ledger().by_operation(now);
        Stats { total_requests: by_operation.values().fold(0, |all, more| all.saturating_add(*more)), by_operation }
    }

    /// Forgets what is older than an hour. Answers are right without it: it keeps the file small while nothing happens.
    pub fn sweep(&self) {
        let now = (self.now)();
        self.ledger().forget(now);
        self.keep();
    }

    fn room(&self, ledger: &Ledger, count: u32, now: SystemTime) -> Result<(), Spent> {
        match self.limit {
            Some(limit) if count >= limit => {
                alarm::refused(count, limit);
                // A limit that was lowered since needs more than the oldest to leave, and one of nothing never has room.
                let retry_after = ledger.until_under(limit, now).unwrap_or(HOUR);
                Err(Spent { count, limit, retry_after })
            }
            _ => Ok(()),
        }
    }

    fn keep(&self) {
        if let Some(file) = &self.file {
            // The file first: who writes last has read last.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let text = serde_json::to_vec(&*self.ledger());
            file.write(text);
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.keep();
    }
}

#[cfg(test)]
mod tests;
