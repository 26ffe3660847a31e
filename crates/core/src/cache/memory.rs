//! Where answers are kept: strictly the most recently used, each for its time, all within a number of bytes.

use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::bars::Subject;
use super::fingerprint::Fingerprint;
use super::{Config, StoredResult};

pub(super) struct Memory {
    entries: LruCache<Fingerprint, CacheEntry>,
    most: usize,
    most_bytes: usize,
    ttl: Duration,
    bytes: usize,
}

struct CacheEntry {
    kept: Arc<StoredResult>,
    subject: Subject,
    evidence: Evidence,
    size: usize,
    since: Instant,
}

/// Why a result is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It waits for an independent run that agrees, and is here for the comparison: nobody is given it.
    Candidate,
    /// The sandbox saw that it must be the same again.
    Observed,
    /// Two runs agreed, and so many more beside a hit.
    Agreed { rechecks: u32 },
}

/// A result on which two runs agreed is run again beside each of its first hits, until so many agreed: where a program has
/// few outcomes, two runs agree by luck.
const RECHECKED: u32 = 4;

impl Memory {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            entries: LruCache::unbounded(),
            most: config.max_entries,
            most_bytes: config.max_bytes,
            ttl: config.ttl,
            bytes: 0,
        }
    }

    /// A use makes an answer the most recently used; it does not make it live longer.
    pub(super) fn get(&mut self, key: &Fingerprint, now: Instant) -> Option<Arc<StoredResult>> {
        let entry = self.entries.get(key)?;
        if now - entry.since < self.ttl {
            return (entry.evidence != Evidence::Candidate).then(|| entry.kept.clone());
        }
        self.remove(key);
        None
    }

    /// The result under a key, a candidate too, for a comparison.
    pub(super) fn peek(&self, key: &Fingerprint) -> Option<Arc<StoredResult>> {
        self.entries.peek(key).map(|entry| entry.kept.clone())
    }

    /// True where a hit of this result is to be run again in any case.
    pub(super) fn is_to_be_rechecked(&self, key: &Fingerprint) -> bool {
        let entry = self.entries.peek(key);
        entry.is_some_and(|entry| matches!(entry.evidence, Evidence::Agreed { rechecks } if rechecks < RECHECKED))
    }

    /// One more run agreed.
    pub(super) fn confirm(&mut self, key: &Fingerprint) {
        if let Some(CacheEntry { evidence: Evidence::Agreed { rechecks }, .. }) = self.entries.peek_mut(key) {
            *rechecks = rechecks.saturating_add(1);
        }
    }

    /// Drops every result of what a difference has barred.
    pub(super) fn remove_all(&mut self, barred: impl Fn(&Subject) -> bool) {
        let keys: Vec<Fingerprint> =
            self.entries.iter().filter(|(_, entry)| barred(&entry.subject)).map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| self.remove(key));
    }

    /// False: there is no room for it, or the cache is off.
    pub(super) fn put(
        &mut self,
        key: Fingerprint,
        subject: Subject,
        kept: Arc<StoredResult>,
        evidence: Evidence,
        now: Instant,
    ) -> bool {
        self.remove(&key);
        let size = kept.size();
        if size > self.most_bytes || self.most == 0 || self.ttl.is_zero() {
            return false;
        }
        self.bytes += size;
        self.entries.put(key, CacheEntry { kept, subject, evidence, size, since: now });
        while self.entries.len() > self.most || self.bytes > self.most_bytes {
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

    /// Removes what nobody will get any more.
    pub(super) fn remove_expired(&mut self, now: Instant) {
        let is_expired = |entry: &CacheEntry| now - entry.since >= self.ttl;
        let expired = self.entries.iter().filter(|(_, entry)| is_expired(entry)).map(|(key, _)| *key);
        let expired: Vec<Fingerprint> = expired.collect();
        for key in &expired {
            self.remove(key);
        }
    }

    /// Results that may be given to others.
    pub(super) fn len(&self) -> usize {
        self.entries.iter().filter(|(_, entry)| entry.evidence != Evidence::Candidate).count()
    }
}
