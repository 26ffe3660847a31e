//! What a process was noticed to ask the world for, by way of libc's functions.
//!
//! An executable that calls [`interpose!`](crate::interpose) has libc's clocks, random numbers, names and numbers of
//! processes and hosts called through here, by itself and by every library that it loads. This is no proof of purity: who
//! calls the kernel directly, or reads a clock by other means, is not noticed. It speaks against a result, never for it.

use std::sync::atomic::{AtomicU8, Ordering};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// A clock, used processor time included; but for the monotonic one, which the interpreter's own locks read.
    Clock = 1,
    /// The system's random numbers.
    Chance = 2,
    /// The process, its host or its hardware: numbers, names, loads, and files that describe them.
    Identity = 4,
}

impl Observation {
    const ALL: [Self; 3] = [Self::Clock, Self::Chance, Self::Identity];
}

/// One bit for each kind. A child inherits it at its fork, and clears it before a program.
static OBSERVED: AtomicU8 = AtomicU8::new(0);

/// Folders whose files describe the host or the process.
const DESCRIBING: [&[u8]; 4] = [b"/proc", b"/sys", b"/etc", b"/dev"];

#[doc(hidden)]
pub fn record(kind: Observation) {
    OBSERVED.fetch_or(kind as u8, Ordering::Relaxed);
}

/// A path was given to one of libc's functions.
pub(crate) fn record_path(path: &[u8]) {
    let describes = |folder: &[u8]| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    // Writing to nowhere tells nothing.
    if path.first() == Some(&b'/') && path != b"/dev/null" && DESCRIBING.iter().any(|folder| describes(folder)) {
        record(Observation::Identity);
    }
}

/// Whether a value of sysconf(3) is the hardware's, or tells of its load.
#[doc(hidden)]
#[must_use]
pub fn describes_hardware(name: libc::c_int) -> bool {
    let names = [libc::_SC_NPROCESSORS_CONF, libc::_SC_NPROCESSORS_ONLN, libc::_SC_PHYS_PAGES, libc::_SC_AVPHYS_PAGES];
    names.contains(&name)
}

/// From here on nothing has been noticed.
pub fn clear() {
    OBSERVED.store(0, Ordering::Relaxed);
}

/// Returns what was noticed since the last [`clear`].
pub fn observed() -> impl Iterator<Item = Observation> {
    let observed = OBSERVED.load(Ordering::Relaxed);
    Observation::ALL.into_iter().filter(move |kind| observed & *kind as u8 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_describe_the_host_are_noticed_and_others_are_not() {
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
