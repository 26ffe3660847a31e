//! System calls without a wrapper in std.
#![allow(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{c_int, c_long, c_ulong};

/// Returns the error of a system call that returned -1.
pub(crate) fn check(result: impl Into<i64>) -> io::Result<i64> {
    let result = result.into();
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Adds what an error is about.
pub(crate) fn with_context<T>(what: impl std::fmt::Display, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|e| io::Error::new(e.kind(), format!("{what}: {e}")))
}

pub(crate) fn prctl(option: c_int, value: c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take one number and no pointer.
    check(unsafe { libc::prctl(option, value, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) }).map(drop)
}

/// Returns a path as a C string.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Returns a detached copy of the mount at `source` and all mounts below it, with the attributes `set` of
/// `mount_setattr(2)`. Call it before anything is mounted over `source`.
pub(crate) fn detached(source: &Path, set: u64) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user: u64,
    }
    let attributes = Attributes { set, clear: 0, propagation: 0, user: 0 };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as libc::c_uint;
    let path = c_path(source)?;
    // SAFETY: the paths end with a zero, the attributes are as large as is said, and all outlive the calls; the
    // descriptor is new and owned by nothing else.
    unsafe {
        let tree = check(libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags))?;
        let tree = OwnedFd::from_raw_fd(tree as RawFd);
        check(libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<Attributes>(),
        ))?;
        Ok(tree)
    }
}

/// Attaches a detached mount.
pub(crate) fn attach(tree: &OwnedFd, target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: both paths end with a zero and outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(drop)
}

pub(crate) fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: c_ulong, data: &CStr) -> io::Result<()> {
    // SAFETY: all strings end with a zero and outlive the call.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })
        .map(drop)
}

/// Moves a descriptor to a number above those that children replace.
pub(crate) fn move_above_child_fds(descriptor: RawFd) -> io::Result<RawFd> {
    const FIRST: c_int = 10;
    // SAFETY: the calls take numbers; the descriptor is the caller's to close.
    unsafe {
        let moved = check(libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, FIRST));
        libc::close(descriptor);
        moved.map(|fd| fd as RawFd)
    }
}

/// A descriptor of `/proc`, opened before the jail is entered: afterwards there is no such path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcFs(RawFd);

impl ProcFs {
    /// Opens it. It stays open until the process ends, or until a child closes all inherited descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path ends with a zero.
        move_above_child_fds(check(unsafe { libc::open(c"/proc".as_ptr(), flags) })? as RawFd).map(Self)
    }

    pub(crate) fn file(self, path: &str, flags: c_int) -> io::Result<std::fs::File> {
        let path = c_path(Path::new(path))?;
        // SAFETY: the path ends with a zero; the descriptor is new and owned by nothing else.
        unsafe {
            let fd = check(libc::openat(self.0, path.as_ptr(), flags | libc::O_CLOEXEC))?;
            Ok(std::fs::File::from_raw_fd(fd as RawFd))
        }
    }

    pub(crate) fn read(self, path: &str) -> io::Result<String> {
        let mut text = String::new();
        io::Read::read_to_string(&mut self.file(path, libc::O_RDONLY)?, &mut text)?;
        Ok(text)
    }

    pub(crate) fn write(self, path: &str, text: &str) -> io::Result<()> {
        with_context(
            path,
            self.file(path, libc::O_WRONLY).and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes())),
        )
    }

    /// Returns the number of threads of a process, which may be `self`.
    pub(crate) fn threads(self, process: &str) -> io::Result<u64> {
        let status = self.read(&format!("{process}/status"))?;
        let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
        count.and_then(|n| n.trim().parse().ok()).ok_or_else(|| io::Error::other("/proc reports no number of threads"))
    }

    /// Returns the bytes that a process maps.
    pub(crate) fn mapped(self, process: &str) -> io::Result<u64> {
        let statm = self.read(&format!("{process}/statm"))?;
        let pages = statm.split(' ').next().and_then(|n| n.parse::<u64>().ok());
        // SAFETY: the call takes one number.
        let page = check(unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as c_long)?;
        Ok(pages.ok_or_else(|| io::Error::other("/proc reports no size"))? * page as u64)
    }
}
