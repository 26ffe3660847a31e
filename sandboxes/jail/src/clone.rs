//! fork(2) with namespaces and a pidfd, which also keeps the C library's record of the thread's number right.
#![allow(unsafe_code, reason = "processes have no safe wrapper in libc")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::sys::check;

/// Calls clone(2) without a stack, as fork(2) does. Returns the pid and pidfd of the child; `None` in the child.
///
/// # Safety
/// As fork(2) in a process of one thread. The C library's fork handlers are not run.
pub(crate) unsafe fn clone(flags: libc::c_int) -> io::Result<Option<(i32, OwnedFd)>> {
    let mut thread: *mut libc::c_int = std::ptr::null_mut();
    let mut pidfd: libc::c_int = -1;
    let mut flags = flags as u64;
    // SAFETY: the pointers are to local values; the one for the child's thread number is the one that libc gave the kernel
    // for this thread: where libc keeps the thread's number, which raise(3) uses.
    unsafe {
        let known = libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut thread, 0, 0, 0) == 0 && !thread.is_null();
        if known {
            flags |= (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID) as u64;
        }
        let mut arguments: libc::clone_args = std::mem::zeroed();
        arguments.flags = flags;
        arguments.pidfd = (&raw mut pidfd) as u64;
        arguments.child_tid = thread as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;
        let mut pid = check(libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()));
        // The filters of containers answer so, because they cannot see the arguments.
        if pid.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::ENOSYS)) {
            let flags = flags | libc::SIGCHLD as u64;
            #[cfg(target_arch = "x86_64")]
            let result = libc::syscall(libc::SYS_clone, flags, 0_usize, &raw mut pidfd, thread, 0_usize);
            #[cfg(not(target_arch = "x86_64"))]
            let result = libc::syscall(libc::SYS_clone, flags, 0_usize, &raw mut pidfd, 0_usize, thread);
            pid = check(result);
        }
        match pid? {
            0 => Ok(None),
            pid => Ok(Some((pid as i32, OwnedFd::from_raw_fd(pidfd)))),
        }
    }
}
