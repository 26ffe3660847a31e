//! Who the walled process is: a user that owns nothing, without capabilities.
#![allow(unsafe_code, reason = "user ids and capabilities have no safe wrapper in libc")]

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::sys::{ProcFs, check, prctl, with_context};

/// The user that programs see inside a user namespace.
const INSIDE: u32 = 1000;
/// The first of the users that a root's worker becomes: a range that neither systems, containers nor dynamic users hand
/// out. Each worker has one to itself, so that the limit of processes counts nobody else's.
const OWN: u32 = 1_937_047_552;
/// The user that is left where the range is not mapped, as in a container whose root is none.
const NOBODY: u32 = 65534;
/// Capabilities of linux/capability.h.
const CHOWN: u32 = 0;
const READ_SEARCH: u32 = 2;
const SETGID: u32 = 6;
const SETUID: u32 = 7;
const HIGHEST_CAPABILITY: libc::c_ulong = 63;

/// The user that a process of root's becomes; or why it stays who it is, as everybody else does.
pub(crate) fn own(proc: ProcFs) -> Result<u32, String> {
    // SAFETY: the call takes no argument.
    if unsafe { libc::geteuid() } != 0 {
        return Err("it is its starter's".to_owned());
    }
    let held = capabilities(proc).map_err(|error| error.to_string())?;
    if [CHOWN, SETGID, SETUID].into_iter().any(|needed| held & (1 << needed) == 0) {
        return Err("it is root's, without the capabilities to become another".to_owned());
    }
    let candidates = [OWN + (std::process::id() & 0xffff), NOBODY];
    let known = |user: &u32| ["self/uid_map", "self/gid_map"].into_iter().all(|map| maps(proc, map, *user));
    candidates.into_iter().find(known).ok_or_else(|| "it is root's, of a namespace that has no other".to_owned())
}

/// The capabilities in effect, a bit for each.
fn capabilities(proc: ProcFs) -> io::Result<u64> {
    let status = proc.read("self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.ok_or_else(|| io::Error::other("/proc names no capabilities"))
}

/// Whether a map of a user namespace, lines of "inside outside count", has a user or group.
fn maps(proc: ProcFs, map: &str, user: u32) -> bool {
    proc.read(map).is_ok_and(|map| {
        map.lines().any(|line| {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            matches!(numbers[..], [first, _, count] if user >= first && user - first < count)
        })
    })
}

/// Becomes another user, for good.
pub(crate) fn become_user(user: u32) -> io::Result<()> {
    // SAFETY: none of these takes a pointer but setgroups, whose length is zero.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(user, user, user))?;
        check(libc::setresuid(user, user, user))?;
    }
    // A change of user hides a process from its own /proc entries, which map users.
    prctl(libc::PR_SET_DUMPABLE, 1)
}

/// User and group of a process, to be asked for before it enters a user namespace, where they have no number yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    user: u32,
    group: u32,
}

impl Ids {
    /// In a user namespace that has been [mapped](Self::map).
    pub(crate) const MAPPED: Self = Self { user: INSIDE, group: INSIDE };

    pub(crate) fn here() -> Self {
        // SAFETY: neither call takes an argument.
        unsafe { Self { user: libc::geteuid(), group: libc::getegid() } }
    }

    /// Maps them into the user namespace that this process just entered.
    pub(crate) fn map(self, proc: ProcFs) -> io::Result<()> {
        proc.write("self/setgroups", "deny")?;
        proc.write("self/uid_map", &format!("{INSIDE} {} 1", self.user))?;
        proc.write("self/gid_map", &format!("{INSIDE} {} 1", self.group))
    }
}

/// Whether a capability is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capabilities {
    None,
    /// Reading what is another user's: Landlock says what that can be.
    Reading,
}

/// Gives up all capabilities but those, in every set.
pub(crate) fn keep(capabilities: Capabilities) -> io::Result<()> {
    let kept = if capabilities == Capabilities::Reading { 1_u32 << READ_SEARCH } else { 0 };
    for capability in 0..=HIGHEST_CAPABILITY {
        // The kernel knows no more of them; or this process may not, and has none.
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

/// Tries to open each folder as the user that this process is now.
pub(crate) fn reads(folders: &[PathBuf]) -> io::Result<()> {
    folders.iter().try_for_each(|folder| {
        with_context(format_args!("the worker's user must be able to read {}", folder.display()), File::open(folder))
            .map(drop)
    })
}
