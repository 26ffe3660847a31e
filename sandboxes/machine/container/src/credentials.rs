//! Users, capabilities and resource limits of a machine's first process.
#![allow(unsafe_code, reason = "user ids and capabilities have no safe wrapper in std")]

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;

use crate::config::{Ids, MachineLimits};
use crate::resource_limits::ResourceLimit;
use crate::sys::{Sync, about, check, fork, prctl, unshare, wait_for};

/// Capabilities of linux/capability.h that the machine's root has inside: those of files, of other users' processes, of its
/// own ids, and of low ports. Not: mounts, network interfaces, devices, tracing of others, the clock, modules.
const KEPT: [u32; 10] = [
    0,  // chown
    1,  // dac_override
    3,  // fowner
    4,  // fsetid
    5,  // kill
    6,  // setgid
    7,  // setuid
    8,  // setpcap
    10, // net_bind_service
    18, // sys_chroot
];
const HIGHEST: u32 = 63;

/// Returns the lines of a user namespace's map.
fn map(ids: Ids, own: u32) -> String {
    match ids {
        Ids::Range { first, count } => format!("0 {first} {count}"),
        Ids::Single => format!("0 {own} 1"),
    }
}

/// Writes the maps of the user namespace of a child of this process.
pub(crate) fn write_maps(process: i32, ids: Ids) -> io::Result<()> {
    // SAFETY: neither call takes an argument.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    if ids == Ids::Single {
        // Without a range the kernel lets a group be mapped only by a process that gives up other groups.
        write(process, "setgroups", "deny")?;
    }
    write(process, "uid_map", &map(ids, user))?;
    write(process, "gid_map", &map(ids, group))
}

/// Writes the maps of a child with the host's helpers, which know the ranges that its user may map. The child's root is that
/// user, whose files it reads, and the range follows.
pub(crate) fn write_maps_with_helpers(process: i32, ids: Ids) -> io::Result<()> {
    let Ids::Range { first, count } = ids else { return write_maps(process, ids) };
    // SAFETY: neither call takes an argument.
    let own = unsafe { [("newuidmap", libc::geteuid()), ("newgidmap", libc::getegid())] };
    for (helper, own) in own {
        let mut command = Command::new(helper);
        command.arg(process.to_string()).args(["0", &own.to_string(), "1"]);
        let done = command
            .args(["1", &first.to_string(), &count.to_string()])
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("{helper}: {error}")))?;
        if !done.status.success() {
            return Err(io::Error::other(format!("{helper}: {}", String::from_utf8_lossy(&done.stderr).trim())));
        }
    }
    Ok(())
}

fn write(process: i32, file: &str, text: &str) -> io::Result<()> {
    let path = format!("/proc/{process}/{file}");
    about(&path, std::fs::write(&path, text))
}

/// Returns a user namespace with the map of `ids`, by which mounts can be mapped.
pub(crate) fn namespace(ids: Ids) -> io::Result<OwnedFd> {
    let (mut here, mut there) = Sync::pair()?;
    // SAFETY: this process has one thread.
    match unsafe { fork(0) }? {
        None => {
            drop(here);
            let _ = unshare(libc::CLONE_NEWUSER).and_then(|()| there.go()).and_then(|()| there.wait());
            // SAFETY: it does not return.
            unsafe { libc::_exit(0) }
        }
        Some(process) => {
            drop(there);
            let opened = here
                .wait()
                .and_then(|()| write_maps(process, ids))
                .and_then(|()| File::open(format!("/proc/{process}/ns/user")));
            drop(here);
            wait_for(process);
            opened.map(OwnedFd::from)
        }
    }
}

/// Becomes the root of the user namespace that this process has entered.
pub(crate) fn become_root(ids: Ids) -> io::Result<()> {
    // SAFETY: none of these takes a pointer but setgroups, whose length is zero.
    unsafe {
        if ids != Ids::Single {
            check(libc::setgroups(0, std::ptr::null()))?;
        }
        check(libc::setresgid(0, 0, 0))?;
        check(libc::setresuid(0, 0, 0)).map(drop)
    }
}

/// Drops all capabilities but those of a machine's root, from every set.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    for capability in (0..=HIGHEST).filter(|capability| !KEPT.contains(capability)) {
        // The kernel has no more capabilities.
        if prctl(libc::PR_CAPBSET_DROP, capability.into()).is_err() {
            break;
        }
    }
    let _ = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong);
    let kept: u32 = KEPT.iter().map(|capability| 1 << capability).sum();
    // _LINUX_CAPABILITY_VERSION_3, this process; effective, permitted and inheritable, twice.
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets: [u32; 6] = [kept, kept, 0, 0, 0, 0];
    // SAFETY: the structures are as version 3 has them and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// Limits each process of the machine.
pub(crate) fn limit_resources(limits: &MachineLimits) -> io::Result<()> {
    for ResourceLimit { resource, most, .. } in limits.of_processes()? {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: the pointer is to a local value that outlives the call.
        check(unsafe { libc::setrlimit(resource, &raw const limit) })?;
    }
    Ok(())
}
