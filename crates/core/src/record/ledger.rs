//! The latest records, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Record;

/// A bounded list of the latest records: a new one replaces the oldest.
pub struct Ledger {
    max_records: usize,
    /// Held for a push or a copy of pointers.
    records: Mutex<VecDeque<Arc<Record>>>,
}

impl Ledger {
    pub(super) fn new(max_records: usize) -> Self {
        Self { max_records, records: Mutex::new(VecDeque::new()) }
    }

    pub(super) fn write(&self, record: Arc<Record>) {
        let mut records = self.records();
        records.push_back(record);
        let oldest = if records.len() > self.max_records { records.pop_front() } else { None };
        // The oldest record is freed after the lock is released.
        drop(records);
        drop(oldest);
    }

    /// Returns all records, the oldest first.
    pub fn all(&self) -> Vec<Arc<Record>> {
        self.records().iter().cloned().collect()
    }

    /// Returns the record with this request id.
    pub fn find(&self, id: &str) -> Option<Arc<Record>> {
        self.records().iter().rev().find(|record| record.id == id).cloned()
    }

    fn records(&self) -> MutexGuard<'_, VecDeque<Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
