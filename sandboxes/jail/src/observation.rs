//! Observes which nondeterministic functions of libc a process calls.
//!
//! In an executable that calls [`interpose!`](crate::interpose), libc's functions for clocks, random numbers and the identity
//! of processes and hosts record their calls here, those of every loaded library included. An empty record is no proof of
//! purity: direct system calls and other ways to read a clock are not recorded. A record is evidence against caching a
//! result, never for it.

use std::sync::atomic::{AtomicU8, Ordering};

/// A kind of nondeterministic call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// A clock, used processor time included; not the monotonic clock, which the interpreter's own locks read.
    Clock = 1,
    /// The system's random numbers.
    Randomness = 2,
    /// The process, its host or its hardware: numbers, names, load, and files that describe them.
    Identity = 4,
}

impl Observation {
    const ALL: [Self; 3] = [Self::Clock, Self::Randomness, Self::Identity];
}

/// One bit for each kind. A child inherits it at its fork, and clears it before a program.
static OBSERVED: AtomicU8 = AtomicU8::new(0);

/// Folders whose files describe the host or the process.
const DESCRIBING: [&[u8]; 4] = [b"/proc", b"/sys", b"/etc", b"/dev"];

#[doc(hidden)]
pub fn record(kind: Observation) {
    OBSERVED.fetch_or(kind as u8, Ordering::Relaxed);
}

/// Records the use of a path that describes the host or the process.
pub(crate) fn record_path(path: &[u8]) {
    let describes = |folder: &[u8]| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    // Writing to /dev/null is deterministic.
    if path.first() == Some(&b'/') && path != b"/dev/null" && DESCRIBING.iter().any(|folder| describes(folder)) {
        record(Observation::Identity);
    }
}

/// Returns whether a value of sysconf(3) describes the hardware or its load.
#[doc(hidden)]
#[must_use]
pub fn describes_hardware(name: libc::c_int) -> bool {
    let names = [libc::_SC_NPROCESSORS_CONF, libc::_SC_NPROCESSORS_ONLN, libc::_SC_PHYS_PAGES, libc::_SC_AVPHYS_PAGES];
    names.contains(&name)
}

/// Clears the record.
pub fn clear() {
    OBSERVED.store(0, Ordering::Relaxed);
}

/// Returns what was recorded since the last [`clear`].
pub fn observed() -> impl Iterator<Item = Observation> {
    let observed = OBSERVED.load(Ordering::Relaxed);
    Observation::ALL.into_iter().filter(move |kind| observed & *kind as u8 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_describe_the_host_are_recorded_and_others_are_not() {
        for (path, expected) in [
            ("/proc/self/stat", true),
            ("/etc/hostname", true),
            ("/dev/urandom", true),
            ("/dev/null", false),
            ("/home/user/proc", false),
            ("proc/self", false),
            ("/process", false),
            ("", false),
        ] {
            clear();
            record_path(path.as_bytes());
            assert_eq!(observed().next().is_some(), expected, "{path}");
        }
    }
}
