//! The signals that a terminal or a service manager sends to all processes at once.
//!
//! A worker ignores them: its parent decides when it ends, so that the programs in it can finish, and it ends with its parent
//! ([`parent`](crate::parent)).
#![allow(unsafe_code, reason = "signal dispositions have no safe wrapper in std or rustix")]

/// The signals that end all processes of a terminal or a service.
pub const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Ignores them in this process. Call it from its only thread. Processes that it forks inherit this.
pub fn ignore_ending() {
    for signal in ENDING {
        // SAFETY: no handler is given.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
