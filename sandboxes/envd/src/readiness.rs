//! Descriptors that the runtime waits for: terminals and watches.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Registers a descriptor, which must not block.
#[allow(unsafe_code, reason = "tokio cannot know that a descriptor stays the same")]
pub(crate) fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open, and the same, for as long as it exists.
    unsafe { AsyncFd::register(descriptor) }.map_err(Into::into)
}
