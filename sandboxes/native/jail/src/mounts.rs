//! The file tree of the full profile: libraries and packages, read-only and at their own paths; nothing else.
#![allow(unsafe_code, reason = "namespaces and mounts have no safe wrapper in libc")]

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::sys::{attach, check, detached, mount, with_context};
use crate::system_paths::{self, HOME, TMP};

/// Attributes of linux/mount.h.
const READ_ONLY: u64 = 0x1;
const NO_SETUID: u64 = 0x2;
const NO_DEVICES: u64 = 0x4;
const NO_EXECUTION: u64 = 0x8;

/// Where the tree is put together: it exists everywhere, and what is in it was taken before.
const BUILDING: &str = "/usr";

/// The namespaces of a zygote; each child has more of its own.
pub(crate) const NAMESPACES: i32 = libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
/// Those of a child. With a user namespace of its own a child's threads are counted apart from its siblings'.
pub(crate) const CHILD_NAMESPACES: i32 =
    libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC;

/// What stands at a path of the tree.
enum Part {
    Folder(OwnedFd),
    File(OwnedFd),
    Link(PathBuf),
}

/// Enters namespaces.
pub(crate) fn unshare(namespaces: i32) -> io::Result<()> {
    // SAFETY: the call takes one number.
    check(unsafe { libc::unshare(namespaces) }).map(drop)
}

/// Makes the tree of libraries and of `readable` and enters it; the rest of the machine is gone afterwards.
pub(crate) fn enter(readable: &[PathBuf]) -> io::Result<()> {
    // SAFETY: the string ends with a zero and is as long as is said.
    check(unsafe { libc::sethostname(c"sandbox".as_ptr(), 7) })?;
    mount(c"", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"")?;
    let parts = parts(readable)?;
    let base = Path::new(BUILDING);
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: the call takes one number.
    let mask = unsafe { libc::umask(0o022) };
    mount(c"tmpfs", c_building(), c"tmpfs", flags, c"size=1m,nr_inodes=2048,mode=755")?;
    for (path, part) in &parts {
        with_context(path.display(), place(base, path, part))?;
    }
    for folder in [HOME, TMP] {
        folder_at(&below(base, Path::new(folder)))?;
    }
    let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY | flags;
    mount(c"", c_building(), c"", flags, c"")?;
    std::env::set_current_dir(base)?;
    // The old root comes to lie over the new one, and is taken off.
    // SAFETY: the strings end with zeros; the call to umask takes one number.
    unsafe {
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        check(libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
        libc::umask(mask);
    }
    std::env::set_current_dir("/")
}

const fn c_building() -> &'static std::ffi::CStr {
    c"/usr"
}

fn parts(readable: &[PathBuf]) -> io::Result<Vec<(PathBuf, Part)>> {
    let mut parts = Vec::new();
    let folder = READ_ONLY | NO_SETUID | NO_DEVICES;
    for path in system_paths::outermost(system_paths::folders().chain(readable.iter().cloned())) {
        // Such as /lib, which is a link into /usr.
        let part = match path.read_link() {
            Ok(target) if system_paths::folders().any(|known| known == path) => Part::Link(target),
            _ => Part::Folder(with_context(path.display(), detached(&path, folder))?),
        };
        parts.push((path, part));
    }
    for path in system_paths::files() {
        let file = with_context(path.display(), detached(&path, folder | NO_EXECUTION))?;
        parts.push((path, Part::File(file)));
    }
    for path in system_paths::devices() {
        let device = with_context(path.display(), detached(&path, READ_ONLY | NO_SETUID | NO_EXECUTION))?;
        parts.push((path, Part::File(device)));
    }
    Ok(parts)
}

fn below(base: &Path, path: &Path) -> PathBuf {
    base.join(path.strip_prefix("/").unwrap_or(path))
}

fn folder_at(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn place(base: &Path, path: &Path, part: &Part) -> io::Result<()> {
    let target = below(base, path);
    if let Some(parent) = target.parent() {
        folder_at(parent)?;
    }
    match part {
        Part::Folder(tree) => folder_at(&target).and_then(|()| attach(tree, &target)),
        Part::File(tree) => std::fs::write(&target, "").and_then(|()| attach(tree, &target)),
        Part::Link(to) => std::os::unix::fs::symlink(to, &target),
    }
}
