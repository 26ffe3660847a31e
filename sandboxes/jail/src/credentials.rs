//! The credentials of a jailed process: a user that owns no files, without capabilities.
#![allow(unsafe_code, reason = "user ids and capabilities have no safe wrapper in libc")]

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::sys::{ProcFs, check, prctl, with_context};

/// The user that programs see inside a user namespace.
const INSIDE: u32 = 1000;
/// The first of the users that a worker of root becomes: a range that is assigned neither by systems nor to containers or
/// dynamic users. Each worker has its own, so that the limit of processes counts no other processes.
const OWN: u32 = 1_937_047_552;
/// The user where that range is not mapped, as in a container with a user namespace.
const NOBODY: u32 = 65534;
/// Capabilities of linux/capability.h.
const CHOWN: u32 = 0;
const READ_SEARCH: u32 = 2;
const SETGID: u32 = 6;
const SETUID: u32 = 7;
const HIGHEST_CAPABILITY: libc::c_ulong = 63;

/// Returns the user that a process of root becomes, or why it keeps its user.
pub(crate) fn choose_user(proc: ProcFs) -> Result<u32, String> {
    // SAFETY: the call takes no argument.
    if unsafe { libc::geteuid() } != 0 {
        return Err("the user that started it".to_owned());
    }
    let held = capabilities(proc).map_err(|error| error.to_string())?;
    if [CHOWN, SETGID, SETUID].into_iter().any(|needed| held & (1 << needed) == 0) {
        return Err("root, without the capabilities to become another user".to_owned());
    }
    let candidates = [OWN + (std::process::id() & 0xffff), NOBODY];
    let known = |user: &u32| ["self/uid_map", "self/gid_map"].into_iter().all(|map| maps(proc, map, *user));
    candidates.into_iter().find(known).ok_or_else(|| "root, of a user namespace without other users".to_owned())
}

/// Returns the effective capabilities as a bit set.
fn capabilities(proc: ProcFs) -> io::Result<u64> {
    let status = proc.read("self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.ok_or_else(|| io::Error::other("/proc reports no capabilities"))
}

/// Returns whether a map of a user namespace (lines of "inside outside count") has a user or group.
fn maps(proc: ProcFs, map: &str, user: u32) -> bool {
    proc.read(map).is_ok_and(|map| {
        map.lines().any(|line| {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            matches!(numbers[..], [first, _, count] if user >= first && user - first < count)
        })
    })
}

/// Changes to another user, for good.
pub(crate) fn become_user(user: u32) -> io::Result<()> {
    // SAFETY: none of these takes a pointer but setgroups, whose length is zero.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(user, user, user))?;
        check(libc::setresuid(user, user, user))?;
    }
    // A change of user makes a process's own /proc entries, which map users, inaccessible.
    prctl(libc::PR_SET_DUMPABLE, 1)
}

/// The user and group of a process, read before it enters a user namespace, where they are not mapped yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    user: u32,
    group: u32,
}

impl Ids {
    /// Those in a user namespace that has been [mapped](Self::map).
    pub(crate) const MAPPED: Self = Self { user: INSIDE, group: INSIDE };

    pub(crate) fn current() -> Self {
        // SAFETY: neither call takes an argument.
        unsafe { Self { user: libc::geteuid(), group: libc::getegid() } }
    }

    /// Maps them into the user namespace that this process has just entered.
    pub(crate) fn map(self, proc: ProcFs) -> io::Result<()> {
        proc.write("self/setgroups", "deny")?;
        proc.write("self/uid_map", &format!("{INSIDE} {} 1", self.user))?;
        proc.write("self/gid_map", &format!("{INSIDE} {} 1", self.group))
    }
}

/// The capabilities that a process keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capabilities {
    None,
    /// Reading other users' files, within the limits of Landlock.
    Reading,
}

/// Drops all other capabilities, from every set.
pub(crate) fn drop_capabilities_except(capabilities: Capabilities) -> io::Result<()> {
    let kept = if capabilities == Capabilities::Reading { 1_u32 << READ_SEARCH } else { 0 };
    for capability in 0..=HIGHEST_CAPABILITY {
        // The kernel has no more capabilities; or this process may not drop them, and has none.
        if prctl(libc::PR_CAPBSET_DROP, capability).is_err() {
            break;
        }
    }
    let _ = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong);
    // _LINUX_CAPABILITY_VERSION_3, this process; effective, permitted and inheritable, twice.
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets: [u32; 6] = [kept, kept, 0, 0, 0, 0];
    // SAFETY: the structures are as version 3 has them and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// Checks that the user of this process can read each folder.
pub(crate) fn check_readable(folders: &[PathBuf]) -> io::Result<()> {
    folders.iter().try_for_each(|folder| {
        with_context(format_args!("the worker's user must be able to read {}", folder.display()), File::open(folder))
            .map(drop)
    })
}
