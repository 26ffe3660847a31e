//! Gives memory that was freed back to the system.
//!
//! The C library keeps what a large request needed for the next one, in an arena for nearly every thread, and a process
//! that waits would hold it for good.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// A worker that has had nothing to do for this long gives back.
pub const IDLE: Duration = Duration::from_secs(5);

/// Gives back what is free. It takes some milliseconds where that is much.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "malloc_trim has no safe wrapper")]
    // SAFETY: it takes a number, and touches only what nobody has been given.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes that this process holds in memory; none where the system does not say.
pub fn resident() -> Option<u64> {
    /// Of all systems that this runs on, the smallest size; where pages are larger, growth is noticed later.
    const PAGE: u64 = 4096;
    let told = std::fs::read_to_string("/proc/self/statm").ok()?;
    told.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE)
}

/// Waits until the next order can be read, and gives back once if that takes a while. For the thread of a worker that reads
/// orders.
pub fn give_back_while_idle(orders: BorrowedFd<'_>) {
    if !is_readable_within(orders, IDLE) {
        give_back();
    }
}

#[allow(unsafe_code, reason = "poll has no safe wrapper in std")]
fn is_readable_within(descriptor: BorrowedFd<'_>, time: Duration) -> bool {
    let mut wanted = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let time = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer is to one entry of ours.
    unsafe { libc::poll(&raw mut wanted, 1, time) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn what_was_freed_between_memory_that_is_held_is_given_back() {
        // Small enough to come from the heap, large enough to be whole pages; every other one stays.
        let mut held: Vec<Vec<u8>> = (0..6400).map(|_| vec![1; 10_000]).collect();
        let full = resident().unwrap();
        let mut number = 0;
        held.retain(|_| {
            number += 1;
            number % 16 == 0
        });
        give_back();
        let after = resident().unwrap();
        assert!(full - after > 40 << 20, "{full} {after} {}", held.len());
    }
}
