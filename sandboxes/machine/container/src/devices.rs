//! `/proc` and `/dev` of a machine, its loopback and its name.
#![allow(unsafe_code, reason = "network interfaces and host names have no safe wrapper in std")]

use std::fs::{self, File};
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::sys::{NO_EXECUTION, NO_SETUID, READ_ONLY, about, attach, check, detached, mount};

/// Devices that are the host's own.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Files of `/proc` about the host's kernel that no program of a machine needs.
const HIDDEN_FILES: [&str; 8] =
    ["kcore", "keys", "key-users", "kallsyms", "latency_stats", "timer_list", "sched_debug", "sysrq-trigger"];
/// Folders of the same kind.
const HIDDEN_FOLDERS: [&str; 4] = ["acpi", "scsi", "asound", "bus"];

/// The devices, copied while the host's `/dev` can be reached.
pub(crate) struct Devices {
    nodes: Vec<(&'static str, OwnedFd)>,
    shared_memory: OwnedFd,
    null: Vec<(PathBuf, OwnedFd)>,
}

impl Devices {
    /// Copies them. `shared_memory`: the folder that becomes `/dev/shm`.
    pub(crate) fn copy(shared_memory: &Path) -> io::Result<Self> {
        let attributes = NO_SETUID | NO_EXECUTION;
        let node = |name: &'static str| Ok((name, detached(&Path::new("/dev").join(name), attributes, None)?));
        let null = |name: &str| {
            let copy = detached(Path::new("/dev/null"), READ_ONLY | attributes, None)?;
            Ok((Path::new("proc").join(name), copy))
        };
        Ok(Self {
            nodes: DEVICES.into_iter().map(node).collect::<io::Result<_>>()?,
            shared_memory: detached(shared_memory, NO_SETUID, None)?,
            null: HIDDEN_FILES.into_iter().map(null).collect::<io::Result<_>>()?,
        })
    }

    /// Mounts `/proc` and `/dev` below `root`. Call it in the machine's own namespaces.
    pub(crate) fn mount(&self, root: &Path) -> io::Result<()> {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        mount("proc", &root.join("proc"), "proc", flags, "").map_err(hidden)?;
        for (path, copy) in &self.null {
            let path = root.join(path);
            if path.exists() {
                attach(copy, &path)?;
            }
        }
        for name in HIDDEN_FOLDERS {
            let path = root.join("proc").join(name);
            if path.is_dir() {
                mount("tmpfs", &path, "tmpfs", flags | libc::MS_RDONLY, "size=4k,nr_inodes=2")?;
            }
        }
        let dev = root.join("dev");
        mount("tmpfs", &dev, "tmpfs", libc::MS_NOSUID | libc::MS_NOEXEC, "size=64k,nr_inodes=128,mode=755")?;
        for (name, node) in &self.nodes {
            let path = dev.join(name);
            about(path.display(), fs::write(&path, ""))?;
            attach(node, &path)?;
        }
        for name in ["pts", "shm", "mqueue"] {
            about(name, fs::create_dir(dev.join(name)))?;
        }
        let terminals = "newinstance,ptmxmode=0666,mode=0620,max=256";
        mount("devpts", &dev.join("pts"), "devpts", libc::MS_NOSUID | libc::MS_NOEXEC, terminals)?;
        attach(&self.shared_memory, &dev.join("shm"))?;
        mount("mqueue", &dev.join("mqueue"), "mqueue", flags, "")?;
        for (name, to) in [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            about(name, symlink(to, dev.join(name)))?;
        }
        let seal = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NOEXEC;
        mount("", &dev, "", seal, "")
    }
}

/// Folders of `/proc` with settings of the kernel. The machine's root is not their owner, unless this host's root starts machines
/// where it has no other ids.
const SETTINGS: [&str; 3] = ["sys", "irq", "fs"];

/// Makes the settings of the kernel read-only. Call it after all that changes them.
pub(crate) fn seal_settings(root: &Path) -> io::Result<()> {
    for path in SETTINGS.map(|name| root.join("proc").join(name)) {
        if path.is_dir() {
            let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
            mount(&path.to_string_lossy(), &path, "", libc::MS_BIND, "")?;
            mount("", &path, "", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | flags, "")?;
        }
    }
    Ok(())
}

/// Says what to change where a container hides parts of `/proc`, and so forbids new ones.
fn hidden(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    io::Error::other(format!(
        "{error}: a container around this program hides parts of /proc; start it with --security-opt systempaths=unconfined \
         (Docker, Podman) or procMount: Unmasked (Kubernetes)"
    ))
}

/// Starts the loopback interface, and lets every user of the machine use all ports and `ping`.
pub(crate) fn start_loopback(root: &Path) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: the structure is zeroed, its name ends with a zero, and it outlives the calls.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request))?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request))?;
    }
    let settings = root.join("proc/sys/net/ipv4");
    fs::write(settings.join("ip_unprivileged_port_start"), "0")?;
    // Not every kernel has it.
    let _ = fs::write(settings.join("ping_group_range"), "0 2147483647");
    Ok(())
}

pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one text.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Makes the null device the standard streams of this process.
pub(crate) fn null_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for stream in 0..3 {
        // SAFETY: the call takes numbers, and the descriptor is open.
        check(unsafe { libc::dup2(null.as_raw_fd(), stream) })?;
    }
    Ok(())
}
