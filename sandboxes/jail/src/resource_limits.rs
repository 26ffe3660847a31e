//! The resource limits of a child (setrlimit(2)) and its signal dispositions.
#![allow(unsafe_code, reason = "rlimits and signals have no safe wrapper in libc")]

use std::io;

use crate::config::JailConfig;
use crate::sys::check;

/// Bytes of the first thread's stack, independent of the operator's limits.
const STACK: u64 = 8 << 20;
/// Most queued signals.
const SIGNALS: u64 = 64;

/// Sets the limits; the parent sets those of memory and time ([`ForkedProcess::limit`](crate::ForkedProcess::limit)).
/// `threads` is `None` where the kernel's count includes other processes.
pub(crate) fn set(config: &JailConfig, threads: Option<u64>) -> io::Result<()> {
    for (resource, most) in [
        (libc::RLIMIT_NOFILE, config.descriptors),
        (libc::RLIMIT_FSIZE, config.scratch_bytes),
        (libc::RLIMIT_STACK, STACK),
        (libc::RLIMIT_SIGPENDING, SIGNALS),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_MEMLOCK, 0),
        (libc::RLIMIT_MSGQUEUE, 0),
    ] {
        limit(resource, most)?;
    }
    if let Some(threads) = threads {
        limit(libc::RLIMIT_NPROC, threads)?;
    }
    // A write beyond the limit is an error and does not kill; Rust's message about its stack must not appear in programs.
    // The worker ignores the signals that end all processes of a service; a program has what every process begins with.
    let dispositions = [
        (libc::SIGXFSZ, libc::SIG_IGN),
        (libc::SIGPIPE, libc::SIG_IGN),
        (libc::SIGSEGV, libc::SIG_DFL),
        (libc::SIGBUS, libc::SIG_DFL),
        (libc::SIGTERM, libc::SIG_DFL),
        (libc::SIGHUP, libc::SIG_DFL),
        (libc::SIGQUIT, libc::SIG_DFL),
    ];
    for (signal, disposition) in dispositions {
        // SAFETY: neither disposition is a function.
        unsafe { libc::signal(signal, disposition) };
    }
    Ok(())
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to a limit of ours that outlives the calls.
    unsafe {
        check(libc::getrlimit(resource, &raw mut limit))?;
        // A lower limit stays.
        let most = most.min(limit.rlim_max);
        limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        check(libc::setrlimit(resource, &raw const limit)).map(drop)
    }
}
