//! Returns unused memory to the system: that of large requests and of expired results.

use std::sync::Arc;
use std::time::Duration;

use switchtower_core::router::Router;
use switchtower_worker::memory;

/// The interval between two checks of resident memory.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// The interval between two removals of expired answers.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// Growth in bytes, since memory was last released, above which it is released again.
const MIN_GROWTH: u64 = 16 << 20;

/// The lowest number of resident bytes of this process since memory was last released.
#[derive(Debug, Default)]
struct LowMark(u64);

impl LowMark {
    /// Returns whether resident memory has grown enough to release memory.
    fn is_exceeded(&mut self, resident: u64) -> bool {
        self.0 = self.0.min(resident);
        resident >= self.0.saturating_add(MIN_GROWTH)
    }
}

/// Releases free memory for as long as it is polled. At most [`MIN_GROWTH`] unused bytes are held for longer than
/// [`CHECK_INTERVAL`], and free bytes on pages that also hold used ones.
pub(crate) async fn release_unused_memory() {
    let mut tick = tokio::time::interval(CHECK_INTERVAL);
    let mut mark = LowMark::default();
    loop {
        tick.tick().await;
        let Some(resident) = memory::resident() else { return };
        if mark.is_exceeded(resident) {
            // It takes the locks of the allocator one after the other, for some milliseconds each if much memory is
            // free.
            if tokio::task::spawn_blocking(memory::release_free_memory).await.is_err() {
                return;
            }
            mark = LowMark(memory::resident().unwrap_or(resident));
        }
    }
}

/// Removes expired answers from the cache and releases their memory, for as long as it is polled.
pub(crate) async fn remove_expired_answers(router: Arc<Router>) {
    let mut tick = tokio::time::interval(EXPIRY_INTERVAL);
    loop {
        tick.tick().await;
        router.cache().remove_expired();
        // Freed memory stays resident, so the check of resident memory would not notice it.
        if tokio::task::spawn_blocking(memory::release_free_memory).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_released_when_it_has_grown_enough_since_its_lowest_value() {
        let mut mark = LowMark(100 << 20);
        assert!(!mark.is_exceeded(110 << 20));
        assert!(mark.is_exceeded(116 << 20));
        assert!(!mark.is_exceeded(50 << 20));
        assert!(mark.is_exceeded(66 << 20), "the lowest value since then was 50 MiB");
    }
}
