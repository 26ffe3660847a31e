//! Returns freed memory to the system.
//!
//! The C library keeps freed memory for later requests, in an arena for nearly every thread; without this an idle
//! process would never return it.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A worker that has been idle for this long returns its free memory.
pub const IDLE: Duration = Duration::from_secs(5);

/// Returns free memory to the system. Takes some milliseconds if much memory is free.
pub fn release_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "malloc_trim has no safe wrapper")]
    // SAFETY: it takes a number, and touches only memory that is not allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Returns the resident bytes of this process; `None` if the system does not report them.
pub fn resident() -> Option<u64> {
    /// The smallest page size of all supported systems; where pages are larger, growth is noticed later.
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE)
}

/// Waits until the next command can be read, and returns free memory once if that takes longer than [`IDLE`]. For a
/// worker's thread that reads commands.
pub fn release_while_idle(commands: BorrowedFd<'_>) {
    if !is_readable_within(commands, IDLE) {
        release_free_memory();
    }
}

fn is_readable_within(descriptor: BorrowedFd<'_>, time: Duration) -> bool {
    let time = Timespec::try_from(time).ok();
    // The read that follows reports an error.
    poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], time.as_ref()).map_or(true, |ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn memory_that_was_freed_between_allocations_is_returned() {
        // Small enough to come from the heap, large enough to be whole pages; one of sixteen stays.
        let mut held: Vec<Vec<u8>> = (0..6400).map(|_| vec![1; 10_000]).collect();
        let full = resident().unwrap();
        let mut number = 0;
        held.retain(|_| {
            number += 1;
            number % 16 == 0
        });
        release_free_memory();
        let after = resident().unwrap();
        assert!(full - after > 40 << 20, "{full} {after} {}", held.len());
    }
}
