//! Where answers are kept: strictly the most recently used, each for its time, all within a number of bytes.

use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

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
            return Some(entry.kept.clone());
        }
        self.remove(key);
        None
    }

    pub(super) fn put(&mut self, key: Fingerprint, kept: Arc<Kept>, now: Instant) {
        self.remove(&key);
        let size = kept.size();
        if size > self.most_bytes || self.most == 0 {
            return;
        }
        self.bytes += size;
        self.entries.put(key, Entry { kept, size, since: now });
        while self.entries.len() > self.most || self.bytes > self.most_bytes {
            let Some((_, oldest)) = self.entries.pop_lru() else { break };
            self.bytes -= oldest.size;
        }
    }

    fn remove(&mut self, key: &Fingerprint) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= entry.size;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
