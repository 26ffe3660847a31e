//! The last records, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Record;

/// The latest records: a new one replaces the oldest.
pub struct Ledger {
    most: usize,
    /// Protects the ring; held for a push or a copy of pointers.
    records: Mutex<VecDeque<Arc<Record>>>,
}

impl Ledger {
    pub(super) fn new(most: usize) -> Self {
        Self { most, records: Mutex::new(VecDeque::new()) }
    }

    pub(super) fn write(&self, record: Arc<Record>) {
        let mut records = self.records();
        records.push_back(record);
        let oldest = if records.len() > self.most { records.pop_front() } else { None };
        // Freed after the lock.
        drop(records);
        drop(oldest);
    }

    /// Returns all of them, the oldest first.
    pub fn all(&self) -> Vec<Arc<Record>> {
        self.records().iter().cloned().collect()
    }

    pub fn find(&self, id: &str) -> Option<Arc<Record>> {
        self.records().iter().rev().find(|record| record.id == id).cloned()
    }

    fn records(&self) -> MutexGuard<'_, VecDeque<Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
