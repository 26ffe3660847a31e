//! The pipe by which a forked copy of this process reports its result.
#![allow(unsafe_code, reason = "pipes and the end of a forked copy have no safe wrapper in libc")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{JailError, OfLayer};
use crate::sys::check;

/// Returns the reading and the writing end of a pipe.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two numbers; both descriptors are new and owned by nothing else.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// Sends the result of a child to its parent and ends the child.
pub(crate) fn send(mut to: File, result: &impl Serialize) -> ! {
    let bytes = postcard::to_stdvec(result).unwrap_or_default();
    let code = i32::from(to.write_all(&bytes).is_err());
    // SAFETY: the call takes a number; nothing of this copy of the process is to be unwound.
    unsafe { libc::_exit(code) }
}

/// Receives the result of a child.
pub(crate) fn receive<T: DeserializeOwned>(mut from: File, layer: &str) -> Result<T, JailError> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).of(layer)?;
    postcard::from_bytes::<Result<T, JailError>>(&bytes)
        .map_err(|_| JailError::new(layer, "it ended without a result"))?
}
