//! The limits of each process of a machine (setrlimit(2)).
#![allow(unsafe_code, reason = "rlimits have no safe wrapper in std")]

use std::io;

use crate::config::MachineLimits;
use crate::sys::check;

/// A limit of each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Its name in the OCI runtime specification.
    pub name: &'static str,
    /// Its number for setrlimit(2).
    pub resource: libc::__rlimit_resource_t,
    /// The soft and the hard limit.
    pub most: u64,
}

impl MachineLimits {
    /// Returns the limits of each process. None is above the hard limit of this process, which only a privileged one could raise.
    ///
    /// # Errors
    /// A limit of this process cannot be read.
    pub fn of_processes(&self) -> io::Result<Vec<ResourceLimit>> {
        let limits = [
            ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE, self.descriptors),
            ("RLIMIT_NPROC", libc::RLIMIT_NPROC, self.all_processes()),
            ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE, self.disk),
            // No file: a page is the least. With 1, no program of the host is started for a crash either, see core(5).
            ("RLIMIT_CORE", libc::RLIMIT_CORE, 1),
            ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK, 1 << 20),
            ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE, 1 << 16),
        ];
        let within = |(name, resource, most): (_, _, u64)| {
            let hard = hard_limit(resource)?;
            Ok(ResourceLimit { name, resource, most: most.min(hard) })
        };
        limits.into_iter().map(within).collect()
    }
}

fn hard_limit(resource: libc::__rlimit_resource_t) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local value that outlives the call.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok(limit.rlim_max)
}
