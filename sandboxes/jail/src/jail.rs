//! The jail: a zygote enters it once, and then each of its children.
#![allow(unsafe_code, reason = "processes have no safe wrapper in libc")]

mod layers;
mod setup;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchtower_worker::jail::Layer;
use switchtower_worker::parent::ParentProcess;
use switchtower_worker::private_folder::PrivateFolder;

use crate::child_folder::ChildFolder;
use crate::clone::clone;
use crate::config::{JailConfig, JailProfile};
use crate::credentials::{Capabilities, Ids};
use crate::error::{JailError, OfLayer};
use crate::file_access::FileAccess;
use crate::forked::{Fork, ForkedProcess};
use crate::oom_priority::OomPriority;
use crate::private_tmpfs::PrivateTmpfs;
use crate::report_pipe::{pipe, receive, send};
use crate::seccomp::SeccompFilters;
use crate::sys::{ProcFs, check, prctl, with_context};
use crate::system_paths::{self, HOME, TMP};
use crate::{cgroup, credentials, mounts, path_map, resource_limits, self_test};

/// The highest descriptor that a child keeps.
const LAST_FD: RawFd = 3;

/// The jail of this process, which has been entered. It lasts until the process ends.
#[derive(Debug)]
pub struct Jail {
    profile: JailProfile,
    config: JailConfig,
    proc: ProcFs,
    /// A pidfd of this process, by which a child checks that its parent still runs.
    own_pidfd: RawFd,
    filters: SeccompFilters,
    capabilities: Result<Capabilities, String>,
    /// The user has no other processes, so that the kernel's count of its threads is that of the children.
    own_user: bool,
    /// Why the user is not its own.
    no_own_user: String,
    /// The folder of the children's folders, in the reduced profile.
    folder: Option<PrivateFolder>,
    /// The private files of the next child.
    next_child: RefCell<NextChild>,
    layers: Vec<Layer>,
    /// Which process the kernel kills first when memory runs out.
    oom_priority: OomPriority,
    /// Why the full profile is not used.
    reduced_reason: String,
}

/// The private files of the next child.
#[derive(Debug, Default)]
struct NextChild {
    /// Counts the children.
    number: u64,
    /// In the reduced profile.
    scratch: Option<ChildFolder>,
    /// In the full one.
    files: Option<Arc<PrivateTmpfs>>,
}

impl Jail {
    /// Enters the jail. Call it from the only thread of the process, before an interpreter starts. It closes no descriptors
    /// of this process.
    ///
    /// Afterwards this process sees no more of the file system than its children will, and has a `/tmp` and a `/home/user`
    /// that they do not see.
    ///
    /// # Errors
    /// A required layer is not in force. The process may have entered other layers, and should end.
    pub fn enter(config: &JailConfig) -> Result<Self, JailError> {
        let proc = ProcFs::open().of("jail")?;
        // First, since the parent may end at any time. A change of user clears it; it is set again then.
        let parent = ParentProcess::current();
        parent.bind().of("dies with its parent")?;
        let threads = proc.threads("self").of("jail")?;
        if threads != 1 {
            return Err(JailError::new("jail", format!("the process has {threads} threads, and only one may fork")));
        }
        // Before the user changes and the file system is out of reach.
        let group = cgroup::enter(config);
        let (profile, reduced) = match config.profile {
            Some(JailProfile::Full) => (JailProfile::Full, String::new()),
            Some(JailProfile::Reduced) => (JailProfile::Reduced, "the reduced profile is configured".to_owned()),
            None => match Self::probe_full_profile(config, proc) {
                Ok(()) => (JailProfile::Full, String::new()),
                Err(why) => (JailProfile::Reduced, why.to_string()),
            },
        };
        let mut jail = Self::set_up(config, profile, proc, parent)?;
        jail.reduced_reason = reduced;
        let landlock = jail.test_child()?;
        jail.layers = jail.report_layers(landlock, group);
        Ok(jail)
    }

    /// Returns the profile.
    pub fn profile(&self) -> JailProfile {
        self.profile
    }

    /// Returns the folder of the children's private folders, in the reduced profile.
    pub fn private_folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(PrivateFolder::path)
    }

    /// Returns the layers of the children's jail with their status, as a test child found them.
    pub fn layers(&self) -> Vec<Layer> {
        self.layers.clone()
    }

    /// Checks that this process has no writable shared memory, which its children would share. Call it when everything is
    /// loaded that children use.
    ///
    /// # Errors
    /// There is some: no child may be forked.
    pub fn check_no_shared_memory(&self) -> Result<(), JailError> {
        let maps = self.proc.read("self/maps").of("memory")?;
        // "address permissions offset device inode path"; the permissions are such as "rw-s".
        let shared = maps.lines().find(|line| {
            line.split(' ').nth(1).is_some_and(|permissions| permissions.contains('w') && permissions.ends_with('s'))
        });
        shared.map_or(Ok(()), |line| {
            Err(JailError::new("memory", format!("children would share writable memory: {line}")))
        })
    }

    /// Forks a child, which must call [`enter_child`](Self::enter_child) next.
    ///
    /// # Safety
    /// The process has one thread, and the caller runs the fork handlers of what needs them (an interpreter).
    ///
    /// # Errors
    /// The system cannot make another process or its private files.
    pub unsafe fn fork(&self) -> io::Result<Fork> {
        let (scratch, files) = (self.new_child_folder()?, self.new_tmpfs()?);
        {
            let mut next = self.next_child.borrow_mut();
            next.scratch.clone_from(&scratch);
            next.files.clone_from(&files);
        }
        let mut flags = libc::CLONE_PIDFD;
        if self.profile == JailProfile::Full {
            flags |= mounts::CHILD_NAMESPACES;
        }
        // SAFETY: as the caller promises.
        let cloned = self.oom_priority.with_child_priority(|| unsafe { clone(flags) });
        if !matches!(cloned, Ok(None)) {
            // The last owner frees the memory.
            self.next_child.borrow_mut().files = None;
        }
        match cloned {
            Ok(None) => Ok(Fork::Child),
            Ok(Some((pid, pidfd))) => Ok(Fork::Parent(ForkedProcess::new(pid, pidfd, self.proc, scratch, files))),
            Err(error) => {
                if let Some(scratch) = scratch {
                    scratch.clear();
                }
                Err(error)
            }
        }
    }

    /// Enters the jail in a child that [`fork`](Self::fork) made, with descriptors 0 to 3 in place. All other descriptors are
    /// closed, whatever owns them.
    ///
    /// # Errors
    /// A layer is not in force: the child must end.
    pub fn enter_child(&self) -> Result<(), JailError> {
        self.enter_as_child().map(drop)
    }

    /// Returns the status of Landlock, which is not required in the full profile.
    fn enter_as_child(&self) -> Result<Result<(), String>, JailError> {
        let (scratch, files) = {
            let next = self.next_child.borrow();
            (next.scratch.clone(), next.files.clone())
        };
        if self.profile == JailProfile::Full {
            Ids::MAPPED.map(self.proc).of("user namespace")?;
            let files = files.ok_or("there are none").of("private files")?;
            files.attach(&self.config.readable).of("private files")?;
            // The descriptor is closed below with all others.
            std::mem::forget(files);
        }
        let home = scratch.as_ref().map_or_else(|| PathBuf::from(HOME), ChildFolder::home);
        std::env::set_current_dir(&home).of("private files")?;
        // SAFETY: the calls take numbers.
        unsafe { libc::umask(0o077) };
        let threads = match self.profile {
            JailProfile::Full => Some(self.config.threads),
            JailProfile::Reduced => self.own_user.then(|| self.config.threads.saturating_mul(CHILDREN_PER_USER)),
        };
        resource_limits::set(&self.config, threads).of("resource limits")?;
        credentials::drop_capabilities_except(*self.capabilities.as_ref().unwrap_or(&Capabilities::Reading))
            .of("no capabilities")?;
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1).of("no new privileges")?;
        prctl(libc::PR_SET_DUMPABLE, 0).of("not traceable")?;
        prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong).of("dies with its parent")?;
        if has_ended(self.own_pidfd) {
            return Err(JailError::new("dies with its parent", "the parent has ended"));
        }
        // SAFETY: the call takes numbers; no closed descriptor is used again.
        check(unsafe { libc::syscall(libc::SYS_close_range, LAST_FD + 1, u32::MAX, 0) }).of("descriptors")?;
        let landlock = self.file_access(scratch.as_ref()).restrict();
        if self.profile == JailProfile::Reduced {
            landlock.clone().of("landlock")?;
        }
        if let Some(scratch) = &scratch {
            path_map::start(&scratch.folder, &self.untranslated());
        }
        self.filters.apply().of("seccomp")?;
        Ok(landlock)
    }

    fn file_access(&self, scratch: Option<&ChildFolder>) -> FileAccess {
        match scratch {
            Some(scratch) => {
                FileAccess { read: self.readable(), write: vec![scratch.home(), scratch.folder.join("tmp")] }
            }
            // The tree contains nothing else.
            None => FileAccess { read: vec!["/".into()], write: vec![HOME.into(), TMP.into()] },
        }
    }

    fn readable(&self) -> Vec<PathBuf> {
        let config = self.config.readable.iter().cloned();
        system_paths::outermost(system_paths::folders().chain(config))
            .into_iter()
            .chain(system_paths::files())
            .collect()
    }

    /// Returns paths that are not translated, although they may be below translated ones.
    fn untranslated(&self) -> Vec<PathBuf> {
        self.config.readable.iter().chain([&self.config.scratch]).cloned().collect()
    }

    /// Makes the private folder of the next child, in the reduced profile.
    fn new_child_folder(&self) -> io::Result<Option<ChildFolder>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let number = {
            let mut next = self.next_child.borrow_mut();
            next.number += 1;
            next.number
        };
        let JailConfig { scratch_bytes: bytes, scratch_entries: entries, .. } = self.config;
        let folder = folder.path().join(number.to_string());
        with_context(folder.clone().display(), ChildFolder { folder, bytes, entries }.make()).map(Some)
    }

    /// Makes a tmpfs, in the full profile.
    fn new_tmpfs(&self) -> io::Result<Option<Arc<PrivateTmpfs>>> {
        if self.profile == JailProfile::Reduced {
            return Ok(None);
        }
        let JailConfig { scratch_bytes, scratch_entries, readable, .. } = &self.config;
        PrivateTmpfs::make(*scratch_bytes, *scratch_entries, readable).map(|files| Some(Arc::new(files)))
    }

    /// Runs the self-test in a child in its jail. Returns the status of Landlock there.
    fn test_child(&self) -> Result<Result<(), String>, JailError> {
        let layer = "test child";
        let (from, to) = pipe().of(layer)?;
        // SAFETY: this process has one thread and no interpreter yet.
        match unsafe { self.fork() }.of(layer)? {
            Fork::Child => {
                // SAFETY: the call takes numbers; in this child nothing else uses the descriptor.
                let to = unsafe {
                    libc::dup2(to.as_raw_fd(), LAST_FD);
                    File::from_raw_fd(LAST_FD)
                };
                let result = self.enter_as_child().and_then(|landlock| {
                    let scratch = self.next_child.borrow().scratch.clone();
                    let (home, tmp) = scratch.map_or_else(
                        || (PathBuf::from(HOME), PathBuf::from(TMP)),
                        |scratch| (scratch.home(), scratch.folder.join("tmp")),
                    );
                    self_test::run(self.profile, &self.config.readable, [&home, &tmp])?;
                    Ok(landlock)
                });
                send(to, &result)
            }
            Fork::Parent(_child) => {
                drop(to);
                receive(File::from(from), layer)
            }
        }
    }
}

/// How many children the limit of one user's threads is for, in the reduced profile.
const CHILDREN_PER_USER: u64 = 16;

/// Returns whether the process of a pidfd has ended.
fn has_ended(pidfd: RawFd) -> bool {
    let mut waited = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one entry that outlives the call.
    unsafe { libc::poll(&raw mut waited, 1, 0) == 1 }
}
