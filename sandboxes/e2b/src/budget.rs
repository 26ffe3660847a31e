//! The hourly budget of creations. It is a limit of Switchtower, below E2B's, and outlives the process.

mod alerts;
mod file;
mod hourly_counts;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use switchtower_contract::rounded;

use self::file::File;
use self::hourly_counts::{HOUR, HourlyCounts};

/// Returns the wall time. When the clock jumps forward, creations are forgotten too early; when it is set back, too
/// late.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Creations in a sliding hour, to the second, and counts of other operations.
///
/// A budget in a file writes it at each creation, before the creation starts: some kilobytes. Other operations are
/// written with the next creation or sweep, or when the budget is dropped. The file is for one process. Where several
/// use it by accident, the last writer wins, so each can spend nearly the whole budget.
pub struct Budget {
    limit: HourlyLimit,
    now: Now,
    /// Held to count. Taken inside the file's lock where both are held.
    counts: Mutex<HourlyCounts>,
    /// `None`: in memory only. Held for a write, never over an await.
    file: Option<Mutex<File>>,
}

/// A number of creations in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourlyLimit {
    pub creations: u32,
    /// Whether creations beyond it are refused. If not, the log has warnings.
    pub is_enforced: bool,
}

/// The usage of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BudgetStatus {
    /// Creations in the last hour.
    pub count: u32,
    /// Creations in an hour that are allowed, or above which the log has warnings.
    pub limit: u32,
    /// Whether the limit is reached. Where it is enforced, the next creation is refused.
    pub exceeded: bool,
    /// Creations until the limit is reached.
    pub remaining: u32,
}

/// The operations of the last hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationCounts {
    pub total_requests: u64,
    /// Creations are counted as `sandbox_create`.
    pub by_operation: BTreeMap<String, u64>,
}

/// The budget is used up. Nothing was counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hourly budget of {limit} sandboxes used up, {count} created; retry after {}", rounded(*.retry_after))]
pub struct BudgetExceeded {
    pub count: u32,
    pub limit: u32,
    pub retry_after: Duration,
}

impl Budget {
    /// Returns a budget in memory, which a restart forgets.
    pub fn in_memory(limit: HourlyLimit, now: Now) -> Self {
        Self { limit, now, counts: Mutex::default(), file: None }
    }

    /// Returns a budget in this file: JSON, replaced atomically, created with its folders, readable only by its owner
    /// (0600). It survives the process, but not always the machine: writes are not forced to disk.
    ///
    /// A file that cannot be read is renamed to `….damaged` with a warning, and the budget starts at zero. Where the
    /// file cannot be written, one warning is logged, and the budget continues in memory.
    pub fn in_file(path: PathBuf, limit: HourlyLimit, now: Now) -> Self {
        let file = File::new(path);
        let counts = file.read();
        Self { limit, now, counts: Mutex::new(counts), file: Some(Mutex::new(file)) }
    }

    /// Returns the usage.
    pub fn check(&self) -> BudgetStatus {
        let now = (self.now)();
        let count = self.counts().creations(now);
        let limit = self.limit.creations;
        let remaining = limit.saturating_sub(count);
        BudgetStatus { count, limit, exceeded: remaining == 0, remaining }
    }

    /// Counts one creation.
    ///
    /// # Errors
    /// The budget is used up. The error has the time until the next creation is allowed.
    pub fn spend(&self) -> Result<(), BudgetExceeded> {
        let now = (self.now)();
        {
            let mut counts = self.counts();
            let count = counts.creations(now);
            self.check_limit(&counts, count, now)?;
            counts.count_creation(now);
            alerts::log_creation(count, self.limit.creations);
        }
        self.save();
        Ok(())
    }

    /// Checks whether a creation is allowed now, without counting one.
    ///
    /// # Errors
    /// The budget is used up, as for [`Budget::spend`].
    pub(crate) fn check_creation(&self) -> Result<(), BudgetExceeded> {
        let now = (self.now)();
        let mut counts = self.counts();
        let count = counts.creations(now);
        self.check_limit(&counts, count, now)
    }

    /// Counts another operation by minute, for the statistics only.
    pub fn count(&self, operation: &'static str) {
        let now = (self.now)();
        self.counts().count(operation, now);
    }

    /// Returns the operations of the last hour.
    pub fn operations(&self) -> OperationCounts {
        let now = (self.now)();
        let by_operation = self.counts().by_operation(now);
        OperationCounts {
            total_requests: by_operation.values().fold(0, |all, more| all.saturating_add(*more)),
            by_operation,
        }
    }

    /// Forgets what is older than an hour. This only keeps the file small while there are no creations.
    pub fn sweep(&self) {
        let now = (self.now)();
        self.counts().forget(now);
        self.save();
    }

    fn check_limit(&self, counts: &HourlyCounts, count: u32, now: SystemTime) -> Result<(), BudgetExceeded> {
        let limit = self.limit.creations;
        if count < limit || !self.limit.is_enforced {
            return Ok(());
        }
        alerts::log_refusal(count, limit);
        // With a limit that was lowered, more than the oldest creation has to leave the hour; with one of 0, none
        // helps.
        let retry_after = counts.time_until_below(limit, now).unwrap_or(HOUR);
        Err(BudgetExceeded { count, limit, retry_after })
    }

    fn save(&self) {
        if let Some(file) = &self.file {
            // The file's lock first: the last writer then writes the latest counts.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let text = serde_json::to_vec(&*self.counts());
            file.write(text);
        }
    }

    fn counts(&self) -> MutexGuard<'_, HourlyCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.save();
    }
}

#[cfg(test)]
mod tests;
