//! The self-test of the jail: tries what it must refuse, by the same system calls that an intruder would make.
#![allow(unsafe_code, reason = "the self-test makes the system calls that the jail must refuse")]

use std::fs::{File, read_dir};
use std::path::{Path, PathBuf};

use crate::config::JailProfile;
use crate::error::{JailError, OfLayer};

/// Tries what must fail and what must succeed, in a child in its jail. `own` are its private folders.
pub(crate) fn run(profile: JailProfile, readable: &[PathBuf], own: [&Path; 2]) -> Result<(), JailError> {
    let hole = |what: &str| Err(JailError::new("self-test", format!("the jail does not hold: it allowed {what}")));
    if File::open("/etc/passwd").is_ok() {
        return hole("a file of the system to be read");
    }
    if profile == JailProfile::Full && Path::new("/etc/passwd").exists() {
        return hole("a file of the system to be seen");
    }
    for path in readable.iter().map(PathBuf::as_path).chain([Path::new("/usr/lib"), Path::new("/")]) {
        if File::create(path.join(".switchtower-canary")).is_ok() {
            return hole("a file to be written outside the private folders");
        }
    }
    for folder in readable {
        read_dir(folder).of("file tree")?;
    }
    for folder in own {
        std::fs::write(folder.join("canary"), "x").of("private files")?;
        std::fs::remove_file(folder.join("canary")).of("private files")?;
    }
    // SAFETY: each call is given plain numbers, null pointers or strings that end with a zero, and is expected to be
    // refused; a child that came of a fork would end at once.
    unsafe {
        for family in [libc::AF_INET, libc::AF_NETLINK, libc::AF_UNIX, libc::AF_VSOCK] {
            if libc::socket(family, libc::SOCK_DGRAM, 0) != -1 {
                return hole("a socket");
            }
        }
        match libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
            -1 => {}
            0 => libc::_exit(0),
            _ => return hole("another process"),
        }
        if libc::execve(c"/usr/bin/true".as_ptr(), std::ptr::null(), std::ptr::null()) == 0 {
            return hole("another program");
        }
        if libc::kill(libc::getppid(), 0) != -1 || libc::kill(-1, 0) != -1 {
            return hole("a signal");
        }
        let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        if libc::setrlimit(libc::RLIMIT_AS, &raw const limit) != -1 {
            return hole("a limit to be changed");
        }
        if libc::syscall(libc::SYS_memfd_create, c"canary".as_ptr(), 0) != -1 {
            return hole("memory without a limit");
        }
        if libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 {
            return hole("new privileges");
        }
    }
    Ok(())
}
