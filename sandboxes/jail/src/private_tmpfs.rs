//! The private files of a process in the full profile: a tmpfs of its own.
//!
//! The zygote makes it before it forks, and keeps a descriptor to count its files: the mount namespace of the child is not
//! accessible from outside.
#![allow(unsafe_code, reason = "the new calls for mounts have no safe wrapper in libc")]

use std::ffi::{CStr, CString};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::sys::{attach, check, detached, mount};
use crate::system_paths;

/// Constants of linux/mount.h.
const SET_STRING: libc::c_uint = 1;
const CREATE: libc::c_uint = 6;
const CLOSE_ON_EXEC: libc::c_uint = 1;
const NO_SETUID: libc::c_uint = 0x2;
const NO_DEVICES: libc::c_uint = 0x4;
const NO_EXECUTION: libc::c_uint = 0x8;

/// The root of the file system and its two folders.
const OWN_ENTRIES: u64 = 3;

/// One tmpfs for `/tmp` and `/home/user`, so that both count against one limit.
#[derive(Debug)]
pub(crate) struct PrivateTmpfs {
    root: OwnedFd,
}

impl PrivateTmpfs {
    /// Makes a tmpfs for so many bytes, and for so many files and folders beside the mount points of those folders of
    /// `readable` that are below `/tmp` or `/home/user`.
    pub(crate) fn make(bytes: u64, entries: u64, readable: &[PathBuf]) -> io::Result<Self> {
        let kept = readable.iter().filter(|path| system_paths::is_private(path));
        let mount_points = kept.map(|path| path.components().count() as u64).sum::<u64>();
        let entries = entries.saturating_add(OWN_ENTRIES + mount_points);
        // SAFETY: every string ends with a zero and outlives the calls; the descriptors are new and owned by nothing else.
        unsafe {
            let context = check(libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), CLOSE_ON_EXEC))?;
            let context = OwnedFd::from_raw_fd(context as RawFd);
            set(&context, c"size", &CString::new(bytes.to_string())?)?;
            set(&context, c"nr_inodes", &CString::new(entries.to_string())?)?;
            set(&context, c"mode", c"700")?;
            let none = std::ptr::null::<libc::c_char>();
            check(libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CREATE, none, none, 0))?;
            let attributes = NO_SETUID | NO_DEVICES | NO_EXECUTION;
            let root = check(libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOSE_ON_EXEC, attributes))?;
            Ok(Self { root: OwnedFd::from_raw_fd(root as RawFd) })
        }
    }

    /// Mounts it at `/tmp` and `/home/user` in this process's mount namespace, and the folders of `readable` that are below
    /// these over it again.
    pub(crate) fn attach(&self, readable: &[PathBuf]) -> io::Result<()> {
        let kept = readable
            .iter()
            .filter(|path| system_paths::is_private(path))
            .map(|path| Ok((path, detached(path, 0)?)))
            .collect::<io::Result<Vec<_>>>()?;
        attach(&self.root, Path::new("/tmp"))?;
        for folder in ["/tmp/home", "/tmp/tmp"] {
            DirBuilder::new().mode(0o700).create(folder)?;
        }
        mount(c"/tmp/home", c"/home/user", c"", libc::MS_BIND, c"")?;
        mount(c"/tmp/tmp", c"/tmp", c"", libc::MS_BIND, c"")?;
        for (path, tree) in kept {
            DirBuilder::new().recursive(true).mode(0o755).create(path)?;
            attach(&tree, path)?;
        }
        Ok(())
    }

    /// Returns the bytes of memory of its files, including files that were removed and are still open.
    pub(crate) fn used(&self) -> io::Result<u64> {
        // SAFETY: a structure of zeros is one; the pointer is to it, and it outlives the call.
        unsafe {
            let mut found: libc::statfs = std::mem::zeroed();
            check(libc::fstatfs(self.root.as_raw_fd(), &raw mut found))?;
            Ok(found.f_blocks.saturating_sub(found.f_bfree).saturating_mul(found.f_bsize as u64))
        }
    }
}

/// # Safety
/// None is needed; it is a call of the system with strings that end with a zero.
unsafe fn set(context: &OwnedFd, key: &CStr, value: &CStr) -> io::Result<()> {
    let (key, value) = (key.as_ptr(), value.as_ptr());
    // SAFETY: both strings outlive the call.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), SET_STRING, key, value, 0) }).map(drop)
}
