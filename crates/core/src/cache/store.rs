//! The stored results: least recently used first out, within a number of entries and of bytes, each for a limited time.

use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::bars::Subject;
use super::fingerprint::Fingerprint;
use super::{Config, StoredResult};

/// The stored results of a cache.
pub(super) struct ResultStore {
    entries: LruCache<Fingerprint, CacheEntry>,
    max_entries: usize,
    max_bytes: usize,
    ttl: Duration,
    bytes: usize,
}

struct CacheEntry {
    result: Arc<StoredResult>,
    subject: Subject,
    evidence: Evidence,
    size: usize,
    since: Instant,
}

/// Why a result is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// For the comparison with an independent run; it answers no request.
    Candidate,
    /// The sandbox observed it to be pure.
    Observed,
    /// Two independent runs agreed, and this many rechecks.
    Agreed { rechecks: u32 },
}

/// Number of rechecks that must agree with a result on which two runs agreed: two runs of a program with few possible
/// outcomes may agree by chance.
const REQUIRED_RECHECKS: u32 = 4;

impl ResultStore {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            entries: LruCache::unbounded(),
            max_entries: config.max_entries,
            max_bytes: config.max_bytes,
            ttl: config.ttl,
            bytes: 0,
        }
    }

    /// Returns a result that may answer a request, and makes it the most recently used. Its time is not extended.
    pub(super) fn get(&mut self, key: &Fingerprint, now: Instant) -> Option<Arc<StoredResult>> {
        let entry = self.entries.get(key)?;
        if now - entry.since < self.ttl {
            return (entry.evidence != Evidence::Candidate).then(|| entry.result.clone());
        }
        self.remove(key);
        None
    }

    /// Returns the result with this key for a comparison, also if it is a candidate.
    pub(super) fn peek(&self, key: &Fingerprint) -> Option<Arc<StoredResult>> {
        self.entries.peek(key).map(|entry| entry.result.clone())
    }

    /// Returns whether each hit of this result must be run again.
    pub(super) fn must_recheck(&self, key: &Fingerprint) -> bool {
        let entry = self.entries.peek(key);
        entry.is_some_and(
            |entry| matches!(entry.evidence, Evidence::Agreed { rechecks } if rechecks < REQUIRED_RECHECKS),
        )
    }

    /// Records a recheck that agreed.
    pub(super) fn confirm(&mut self, key: &Fingerprint) {
        if let Some(CacheEntry { evidence: Evidence::Agreed { rechecks }, .. }) = self.entries.peek_mut(key) {
            *rechecks = rechecks.saturating_add(1);
        }
    }

    /// Removes every result whose subject is barred.
    pub(super) fn remove_all(&mut self, barred: impl Fn(&Subject) -> bool) {
        let keys: Vec<Fingerprint> =
            self.entries.iter().filter(|(_, entry)| barred(&entry.subject)).map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| self.remove(key));
    }

    /// Stores a result. Returns false if it is larger than the store, or the cache is disabled.
    pub(super) fn put(
        &mut self,
        key: Fingerprint,
        subject: Subject,
        result: Arc<StoredResult>,
        evidence: Evidence,
        now: Instant,
    ) -> bool {
        self.remove(&key);
        let size = result.size();
        if size > self.max_bytes || self.max_entries == 0 || self.ttl.is_zero() {
            return false;
        }
        self.bytes += size;
        self.entries.put(key, CacheEntry { result, subject, evidence, size, since: now });
        while self.entries.len() > self.max_entries || self.bytes > self.max_bytes {
            let Some((_, oldest)) = self.entries.pop_lru() else { break };
            self.bytes -= oldest.size;
        }
        true
    }

    fn remove(&mut self, key: &Fingerprint) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= entry.size;
        }
    }

    /// Removes expired results.
    pub(super) fn remove_expired(&mut self, now: Instant) {
        let is_expired = |entry: &CacheEntry| now - entry.since >= self.ttl;
        let expired = self.entries.iter().filter(|(_, entry)| is_expired(entry)).map(|(key, _)| *key);
        let expired: Vec<Fingerprint> = expired.collect();
        for key in &expired {
            self.remove(key);
        }
    }

    /// Returns the number of results that may answer requests.
    pub(super) fn len(&self) -> usize {
        self.entries.iter().filter(|(_, entry)| entry.evidence != Evidence::Candidate).count()
    }
}
