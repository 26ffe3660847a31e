//! The file tree of the full profile: libraries and packages, read-only at their own paths, and nothing else.
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

/// Where the tree is assembled: the folder exists everywhere, and its mounts are copied before.
const ASSEMBLY: &str = "/usr";

/// The namespaces of a zygote.
pub(crate) const NAMESPACES: i32 = libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
/// The further namespaces of a child. With its own user namespace a child's threads are counted separately.
pub(crate) const CHILD_NAMESPACES: i32 =
    libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC;

/// An entry of the tree.
enum Entry {
    Folder(OwnedFd),
    File(OwnedFd),
    Link(PathBuf),
}

/// Enters namespaces.
pub(crate) fn unshare(namespaces: i32) -> io::Result<()> {
    // SAFETY: the call takes one number.
    check(unsafe { libc::unshare(namespaces) }).map(drop)
}

/// Makes the tree of libraries and of `readable`, and enters it; no other file of the machine is accessible afterwards.
pub(crate) fn enter(readable: &[PathBuf]) -> io::Result<()> {
    // SAFETY: the string ends with a zero and is as long as is said.
    check(unsafe { libc::sethostname(c"sandbox".as_ptr(), 7) })?;
    mount(c"", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"")?;
    let entries = entries(readable)?;
    let base = Path::new(ASSEMBLY);
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: the call takes one number.
    let mask = unsafe { libc::umask(0o022) };
    mount(c"tmpfs", c_assembly(), c"tmpfs", flags, c"size=1m,nr_inodes=2048,mode=755")?;
    for (path, part) in &entries {
        with_context(path.display(), place(base, path, part))?;
    }
    for folder in [HOME, TMP] {
        folder_at(&below(base, Path::new(folder)))?;
    }
    let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY | flags;
    mount(c"", c_assembly(), c"", flags, c"")?;
    std::env::set_current_dir(base)?;
    // The old root is mounted over the new one, and then unmounted.
    // SAFETY: the strings end with zeros; the call to umask takes one number.
    unsafe {
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        check(libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
        libc::umask(mask);
    }
    std::env::set_current_dir("/")
}

const fn c_assembly() -> &'static std::ffi::CStr {
    c"/usr"
}

fn entries(readable: &[PathBuf]) -> io::Result<Vec<(PathBuf, Entry)>> {
    let mut entries = Vec::new();
    let folder = READ_ONLY | NO_SETUID | NO_DEVICES;
    for path in system_paths::outermost(system_paths::folders().chain(readable.iter().cloned())) {
        // A link such as /lib, into /usr.
        let part = match path.read_link() {
            Ok(target) if system_paths::folders().any(|known| known == path) => Entry::Link(target),
            _ => Entry::Folder(with_context(path.display(), detached(&path, folder))?),
        };
        entries.push((path, part));
    }
    for path in system_paths::files() {
        let file = with_context(path.display(), detached(&path, folder | NO_EXECUTION))?;
        entries.push((path, Entry::File(file)));
    }
    for path in system_paths::devices() {
        let device = with_context(path.display(), detached(&path, READ_ONLY | NO_SETUID | NO_EXECUTION))?;
        entries.push((path, Entry::File(device)));
    }
    Ok(entries)
}

fn below(base: &Path, path: &Path) -> PathBuf {
    base.join(path.strip_prefix("/").unwrap_or(path))
}

fn folder_at(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn place(base: &Path, path: &Path, part: &Entry) -> io::Result<()> {
    let target = below(base, path);
    if let Some(parent) = target.parent() {
        folder_at(parent)?;
    }
    match part {
        Entry::Folder(tree) => folder_at(&target).and_then(|()| attach(tree, &target)),
        Entry::File(tree) => std::fs::write(&target, "").and_then(|()| attach(tree, &target)),
        Entry::Link(to) => std::os::unix::fs::symlink(to, &target),
    }
}
