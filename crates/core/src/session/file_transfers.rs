//! A limit on the bytes of files in transfer to local kernels.
//!
//! File contents are shared within the server, but a transfer to a kernel's process copies them: into the frame that is written,
//! and into the process. Without a limit, many cells with many files at once would exceed the memory settings. Nothing reports
//! when a frame has been written, so a transfer is assumed to last as long as its bytes take at a slow rate.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Change, Content};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Bytes of a unit. Transfers of less than one unit are not limited.
const UNIT_BYTES: u64 = 1 << 20;
/// Maximum number of units in transfer.
const MAX_UNITS: u32 = 128;
/// Assumed transfer rate, in units per second.
const UNITS_PER_SECOND: u32 = 32;

/// The free units.
pub(super) struct FileTransfers(Arc<Semaphore>);

impl Default for FileTransfers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_UNITS as usize)))
    }
}

impl FileTransfers {
    /// Waits until these changes may be transferred, in order of arrival.
    pub(super) async fn admit(&self, changes: &[Change]) {
        let bytes = |change: &Change| match &change.content {
            Content::File(content) => content.len() as u64,
            Content::Folder | Content::Removed => 0,
        };
        let units = changes.iter().map(bytes).sum::<u64>() / UNIT_BYTES;
        let units = u32::try_from(units).unwrap_or(MAX_UNITS).min(MAX_UNITS);
        if units == 0 {
            return;
        }
        // Cannot fail: the semaphore is never closed.
        let Ok(permit) = Arc::clone(&self.0).acquire_many_owned(units).await else { return };
        tokio::spawn(async move {
            sleep(Duration::from_secs(1) * units / UNITS_PER_SECOND).await;
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
    async fn transfers_beyond_the_limit_wait_and_small_ones_do_not() {
        let (transfers, began) = (FileTransfers::default(), Instant::now());
        for _ in 0..2 {
            transfers.admit(&change(64)).await;
        }
        transfers.admit(&[]).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        transfers.admit(&change(64)).await;
        assert_eq!(began.elapsed().as_secs(), 2);
        // A transfer that exceeds the limit takes all units.
        transfers.admit(&change(200)).await;
        assert_eq!(began.elapsed().as_secs(), 4);
    }
}
