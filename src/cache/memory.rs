//! Where answers are kept: strictly the most recently used, each for its time, all within a number of bytes.

use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::bars::Subject;
use super::fingerprint::Fingerprint;
use super::{Config, Kept};

pub(super) struct Memory {
    entries: LruCache<Fingerprint, Entry>,
    most: usize,
    most_bytes: usize,
    ttl: Duration,
    bytes: usize,
}

struct Entry {
    kept: Arc<Kept>,
    subject: Subject,
    /// It may be given to others. A candidate waits for an independent run that agrees, and is here for the comparison.
    verified: bool,
    size: usize,
    since: Instant,
}

impl Memory {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            entries: LruCache::unbounded(),
            most: config.entries,
            most_bytes: config.bytes,
            ttl: config.ttl,
            bytes: 0,
        }
    }

    /// A use makes an answer the most recently used; it does not make it live longer.
    pub(super) fn get(&mut self, key: &Fingerprint, now: Instant) -> Option<Arc<Kept>> {
        let entry = self.entries.get(key)?;
        if now - entry.since < self.ttl {
            return entry.verified.then(|| entry.kept.clone());
        }
        self.remove(key);
        None
    }

    /// The result under a key, a candidate too, for a comparison.
    pub(super) fn peek(&self, key: &Fingerprint) -> Option<Arc<Kept>> {
        self.entries.peek(key).map(|entry| entry.kept.clone())
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
        kept: Arc<Kept>,
        verified: bool,
        now: Instant,
    ) -> bool {
        self.remove(&key);
        let size = kept.size();
        if size > self.most_bytes || self.most == 0 || self.ttl.is_zero() {
            return false;
        }
        self.bytes += size;
        self.entries.put(key, Entry { kept, subject, verified, size, since: now });
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
        let is_expired = |entry: &Entry| now - entry.since >= self.ttl;
        let expired = self.entries.iter().filter(|(_, entry)| is_expired(entry)).map(|(key, _)| *key);
        let expired: Vec<Fingerprint> = expired.collect();
        for key in &expired {
            self.remove(key);
        }
    }

    /// Results that may be given to others.
    pub(super) fn len(&self) -> usize {
        self.entries.iter().filter(|(_, entry)| entry.verified).count()
    }
}
