//! System calls without a wrapper in std.
#![allow(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Attributes of linux/mount.h.
pub(crate) const READ_ONLY: u64 = 0x1;
pub(crate) const NO_SETUID: u64 = 0x2;
pub(crate) const NO_DEVICES: u64 = 0x4;
pub(crate) const NO_EXECUTION: u64 = 0x8;
/// The mount's owners are mapped by a user namespace.
const ID_MAPPED: u64 = 0x0010_0000;

/// Returns the error of a system call that returned -1.
pub(crate) fn check(result: impl Into<i64>) -> io::Result<i64> {
    let result = result.into();
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Adds what an error is about.
pub(crate) fn about<T>(what: impl std::fmt::Display, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

pub(crate) fn is_root() -> bool {
    // SAFETY: the call takes no argument.
    unsafe { libc::geteuid() == 0 }
}

pub(crate) fn prctl(option: i32, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take one number and no pointer.
    check(unsafe { libc::prctl(option, value, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong) }).map(drop)
}

/// Has this process killed when its parent ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    signal_with_parent(libc::SIGKILL)
}

/// Has this process get a signal when its parent ends.
pub(crate) fn signal_with_parent(signal: i32) -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong)
}

/// Enters new namespaces.
pub(crate) fn unshare(namespaces: i32) -> io::Result<()> {
    // SAFETY: the call takes one number.
    check(unsafe { libc::unshare(namespaces) }).map(drop)
}

pub(crate) fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let text = |text: &str| CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL));
    let (from, to, file_system, options) = (text(source)?, c_path(target)?, text(kind)?, text(data)?);
    // SAFETY: all strings end with a zero and outlive the call.
    let mounted =
        check(unsafe { libc::mount(from.as_ptr(), to.as_ptr(), file_system.as_ptr(), flags, options.as_ptr().cast()) });
    about(format_args!("{kind} at {}", target.display()), mounted.map(drop))
}

/// Returns a detached copy of the mount at `source` and all mounts below it, with these attributes. `ids`: a user namespace by
/// which its owners are mapped.
pub(crate) fn detached(source: &Path, attributes: u64, ids: Option<&OwnedFd>) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user: u64,
    }
    let set = attributes | if ids.is_some() { ID_MAPPED } else { 0 };
    let user = ids.map_or(0, |namespace| namespace.as_raw_fd() as u64);
    let attributes = Attributes { set, clear: 0, propagation: 0, user };
    let path = c_path(source)?;
    // An id-mapped mount has one file system: what is mounted below it is left out.
    let recursive = if ids.is_some() { 0 } else { libc::AT_RECURSIVE };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | recursive as libc::c_uint;
    // SAFETY: the paths end with a zero, the attributes are as large as is said, and all outlive the calls; the descriptor is
    // new and owned by nothing else.
    let detached = unsafe {
        check(libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags)).and_then(|tree| {
            let tree = OwnedFd::from_raw_fd(tree as RawFd);
            check(libc::syscall(
                libc::SYS_mount_setattr,
                tree.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | recursive,
                &raw const attributes,
                size_of::<Attributes>(),
            ))?;
            Ok(tree)
        })
    };
    about(source.display(), detached)
}

/// Attaches a detached mount.
pub(crate) fn attach(tree: &OwnedFd, target: &Path) -> io::Result<()> {
    let to = c_path(target)?;
    // SAFETY: both paths end with a zero and outlive the call.
    let attached = check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    });
    about(target.display(), attached.map(drop))
}

/// Makes `root` the root of this mount namespace, and detaches the old one.
pub(crate) fn pivot(root: &Path) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    // The old root is mounted over the new one, and then unmounted.
    // SAFETY: the strings end with zeros.
    unsafe {
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        check(libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
    }
    std::env::set_current_dir("/")
}

/// Returns a copy of a descriptor with a number above those that are replaced. The original is closed.
pub(crate) fn move_up(descriptor: RawFd) -> io::Result<RawFd> {
    const LOWEST: i32 = 10;
    // SAFETY: the calls take numbers; the descriptor is the caller's to close.
    unsafe {
        let copy = check(libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, LOWEST))?;
        libc::close(descriptor);
        Ok(copy as RawFd)
    }
}

/// Gives all signals their usual effect, except SIGPIPE, which this process ignores as all Rust programs do. A server that was
/// started in the background ignores SIGINT, and programs would inherit that: no interrupt would reach a machine's kernels.
pub(crate) fn reset_signals() {
    for signal in (1..=31).filter(|signal| *signal != libc::SIGPIPE) {
        // SAFETY: no handler is set. It fails for SIGKILL and SIGSTOP, which cannot be ignored.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Returns a pipe: its reading end, then its writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the pointer is to two numbers; the descriptors are new and owned by nothing else.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// Lets the other process go on. No text begins with it.
const GO: u8 = 1;

/// The end of a pair of pipes by which a process and its child wait for each other.
pub(crate) struct Sync {
    read: File,
    write: File,
    /// The beginning of what the other one sends instead of letting this one go on.
    begun: Vec<u8>,
}

impl Sync {
    /// Returns both ends.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let ((a_read, b_write), (b_read, a_write)) = (pipe()?, pipe()?);
        let end = |read: OwnedFd, write: OwnedFd| Self { read: read.into(), write: write.into(), begun: Vec::new() };
        Ok((end(a_read, a_write), end(b_read, b_write)))
    }

    /// Lets the other one go on.
    pub(crate) fn go(&mut self) -> io::Result<()> {
        self.write.write_all(&[GO])
    }

    /// Waits until the other one lets this one go on.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        let mut sent = [0];
        self.read.read_exact(&mut sent)?;
        if sent == [GO] {
            return Ok(());
        }
        self.begun.extend(sent);
        Err(io::Error::other("the other process has failed"))
    }

    /// Reads all that the other one sends until its end.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut all = std::mem::take(&mut self.begun);
        self.read.read_to_end(&mut all)?;
        Ok(all)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes)
    }
}

/// Forks with new namespaces. Returns the child's number; `None` in the child.
///
/// # Safety
/// As fork(2) in a process of one thread.
pub(crate) unsafe fn fork(namespaces: i32) -> io::Result<Option<i32>> {
    let flags = libc::SIGCHLD as u64 | namespaces as u64;
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: without a stack and pointers, as fork(2); the caller guarantees one thread.
    let process = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) })?;
    Ok((process != 0).then_some(process as i32))
}

/// Waits for the end of a child. Returns its exit code, as a shell would give it.
pub(crate) fn wait_for(process: i32) -> i32 {
    loop {
        match ended(process, 0) {
            Ok(Some(code)) => return code,
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return 1,
        }
    }
}

/// Returns the exit code of a child that has ended, or `None`. `options`: as waitpid(2) has them; `process`: -1 for any child.
pub(crate) fn ended(process: i32, options: i32) -> io::Result<Option<i32>> {
    let mut status = 0;
    // SAFETY: the pointer is to a number that outlives the call.
    let found = check(unsafe { libc::waitpid(process, &raw mut status, options) })?;
    Ok(match found {
        0 => None,
        _ if libc::WIFEXITED(status) => Some(libc::WEXITSTATUS(status)),
        _ if libc::WIFSIGNALED(status) => Some(128 + libc::WTERMSIG(status)),
        _ => None,
    })
}

/// Signals that a process waits for instead of being ended by them.
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// Blocks the end of a child and the request to end, in this process and those that it forks.
    pub(crate) fn block() -> io::Result<Self> {
        // SAFETY: the set is filled before it is read, and outlives the calls.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGCHLD);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()))?;
            Ok(Self(set))
        }
    }

    /// Unblocks all signals.
    pub(crate) fn unblock() -> io::Result<()> {
        // SAFETY: the set is filled before it is read, and outlives the calls.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())).map(drop)
        }
    }

    /// Waits for a signal and returns its number; `None`: none came in time.
    pub(crate) fn wait(&self, time: Option<Duration>) -> Option<i32> {
        let time = time
            .map(|time| libc::timespec { tv_sec: time.as_secs() as libc::time_t, tv_nsec: time.subsec_nanos().into() });
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the pointers are to values that outlive the call, or null.
        check(unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), time) }).ok().map(|it| it as i32)
    }
}

/// Returns whether nobody can read any more what is written to a pipe.
pub(crate) fn has_no_reader(pipe: &impl AsRawFd) -> bool {
    let mut state = libc::pollfd { fd: pipe.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: the pointer is to one structure that outlives the call.
    let found = unsafe { libc::poll(&raw mut state, 1, 0) };
    found == 1 && state.revents & libc::POLLERR != 0
}

/// Kills a process by its number.
pub(crate) fn kill(process: i32) {
    // SAFETY: the call takes numbers.
    unsafe { libc::kill(process, libc::SIGKILL) };
}

/// Kills the process of an open folder of `/proc`, of this namespace or one below it.
pub(crate) fn kill_opened(process: &File) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open; without information the kernel makes its own.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGKILL, none, 0) }).map(drop)
}

/// Returns the bytes in use of the file system at `path`.
pub(crate) fn used_bytes(path: &Path) -> io::Result<u64> {
    let path = c_path(path)?;
    // SAFETY: the path ends with a zero, and the structure is filled by the call, which it outlives.
    unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        check(libc::statvfs(path.as_ptr(), &raw mut found))?;
        Ok((found.f_blocks.saturating_sub(found.f_bfree)) * found.f_frsize)
    }
}

/// Replaces this process. Returns only an error.
pub(crate) fn exec(program: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: the lists end with a null, their strings with a zero, and all outlive the call.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Attaches a detached mount at a path below `root`, whose links are followed as if `root` were `/`.
pub(crate) fn attach_in(tree: &OwnedFd, root: &File, path: &Path) -> io::Result<()> {
    #[repr(C)]
    struct How {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    /// Of linux/openat2.h.
    const IN_ROOT: u64 = 0x10;
    let to = c_path(path.strip_prefix("/").unwrap_or(path))?;
    let how = How { flags: (libc::O_PATH | libc::O_CLOEXEC) as u64, mode: 0, resolve: IN_ROOT };
    // SAFETY: the paths end with a zero, the structure is as large as is said, and all outlive the calls; the descriptor is
    // new and owned by nothing else.
    let attached = unsafe {
        check(libc::syscall(libc::SYS_openat2, root.as_raw_fd(), to.as_ptr(), &raw const how, size_of::<How>()))
            .and_then(|target| {
                let target = OwnedFd::from_raw_fd(target as RawFd);
                check(libc::syscall(
                    libc::SYS_move_mount,
                    tree.as_raw_fd(),
                    c"".as_ptr(),
                    target.as_raw_fd(),
                    c"".as_ptr(),
                    libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH,
                ))
            })
    };
    about(path.display(), attached.map(drop))
}
