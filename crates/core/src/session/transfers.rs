//! Files on their way to kernels here: how many bytes at once.
//!
//! Contents are shared by all who hold them, but on the way to a kernel's process there are copies: the frame that is
//! written, and what is read there. So many cells at once may not bring so many files that the server's own memory grows
//! beyond what is stated. Nobody tells when a frame has been written, so a transfer is taken to last as long as its bytes
//! take at a slow rate.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Change, Content};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Bytes of a unit; what is smaller passes.
const UNIT: u64 = 1 << 20;
/// Units on their way at once.
const UNITS: u32 = 128;
/// Units a second that a kernel takes in at least.
const RATE: u32 = 32;

/// The room that there is for files on their way.
pub(super) struct Transfers(Arc<Semaphore>);

impl Default for Transfers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS as usize)))
    }
}

impl Transfers {
    /// Waits until there is room for these on the way, first come, first served.
    pub(super) async fn admit(&self, changes: &[Change]) {
        let bytes = |change: &Change| match &change.content {
            Content::File(content) => content.len() as u64,
            Content::Folder | Content::Removed => 0,
        };
        let units = changes.iter().map(bytes).sum::<u64>() / UNIT;
        let units = u32::try_from(units).unwrap_or(UNITS).min(UNITS);
        if units == 0 {
            return;
        }
        // Nobody closes it.
        let Ok(permit) = Arc::clone(&self.0).acquire_many_owned(units).await else { return };
        tokio::spawn(async move {
            sleep(Duration::from_secs(1) * units / RATE).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn change(megabytes: usize) -> Vec<Change> {
        let content = Content::File(vec![0; megabytes << 20].into());
        vec![Change { path: "/tmp/a".to_owned(), content }]
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_bytes_are_on_their_way_and_the_others_wait_and_small_ones_pass() {
        let (transfers, began) = (Transfers::default(), Instant::now());
        for _ in 0..2 {
            transfers.admit(&change(64)).await;
        }
        transfers.admit(&[]).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        transfers.admit(&change(64)).await;
        assert_eq!(began.elapsed().as_secs(), 2);
        // More than there is room for at all takes all of it.
        transfers.admit(&change(200)).await;
        assert_eq!(began.elapsed().as_secs(), 4);
    }
}
