//! Returns memory to the system that is no longer used: that of large requests and of expired results.

use std::sync::Arc;
use std::time::Duration;

use switchtower_core::router::Router;
use switchtower_worker::memory;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(10);
/// How often answers that are past their time are looked for.
const EXPIRED: Duration = Duration::from_secs(60);
/// So many bytes more than after the last time are worth the work.
const WORTH: u64 = 16 << 20;

/// Bytes that this process held at the best of times since memory was given back last.
#[derive(Debug, Default)]
struct LowMark(u64);

impl LowMark {
    /// Whether there may be enough to give back.
    fn is_exceeded(&mut self, resident: u64) -> bool {
        self.0 = self.0.min(resident);
        resident >= self.0.saturating_add(WORTH)
    }
}

/// Gives back what is free, now and then, for as long as it is polled. At most [`WORTH`] bytes that nobody needs are held
/// beyond [`EVERY`], and what lies on pages of memory that is in use.
pub(crate) async fn give_back() {
    let mut tick = tokio::time::interval(EVERY);
    let mut mark = LowMark::default();
    loop {
        tick.tick().await;
        let Some(resident) = memory::resident() else { return };
        if mark.is_exceeded(resident) {
            // It takes the locks of the allocator one after the other, some milliseconds each where there is much.
            if tokio::task::spawn_blocking(memory::release_free_memory).await.is_err() {
                return;
            }
            mark = LowMark(memory::resident().unwrap_or(resident));
        }
    }
}

/// Removes answers from the cache that are past their time, and gives their memory back, for as long as it is polled.
pub(crate) async fn remove_expired_answers(router: Arc<Router>) {
    let mut tick = tokio::time::interval(EXPIRED);
    loop {
        tick.tick().await;
        router.cache().remove_expired();
        // What is freed stays this process's, so it is not seen to hold more.
        if tokio::task::spawn_blocking(memory::release_free_memory).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_when_it_has_grown_by_enough_since_it_was_least() {
        let mut mark = LowMark(100 << 20);
        assert!(!mark.is_exceeded(110 << 20));
        assert!(mark.is_exceeded(116 << 20));
        assert!(!mark.is_exceeded(50 << 20));
        assert!(mark.is_exceeded(66 << 20), "it had become less by itself");
    }
}
