//! The stack of a thread that runs guests.

use std::mem::MaybeUninit;

/// Bytes below the current frame that stay resident for the next run: more than most programs use.
const KEEP: usize = 8 << 20;

/// Returns the memory that a deep recursion left resident in the calling thread's stack.
#[allow(unsafe_code, reason = "the bounds of a stack and madvise have no safe wrapper in std")]
pub(crate) fn release_unused() {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the pointers are to values of ours, and the attributes are destroyed only where they were made.
    let known = unsafe {
        libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) == 0 && {
            let known = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size) == 0;
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            known
        }
    };
    if !known {
        return;
    }
    let frame = &raw const low as usize;
    // Pages begin at multiples of this on every system that the guest runs on.
    let end = frame.saturating_sub(KEEP) & !((64 << 10) - 1);
    if let Some(unused) = end.checked_sub(low as usize).filter(|unused| *unused < size) {
        // SAFETY: the range is part of this thread's stack and is below every frame that is in use.
        let _ = unsafe { libc::madvise(low, unused, libc::MADV_DONTNEED) };
    }
}
