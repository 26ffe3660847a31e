//! The walls: entered once by a zygote, and then by each of its children.
#![allow(unsafe_code, reason = "processes have no safe wrapper in libc")]

use std::cell::RefCell;
use std::fs::{DirBuilder, File, Permissions, set_permissions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchtower_worker::jail::Layer;
use switchtower_worker::parent::ParentProcess;
use switchtower_worker::private_folder::PrivateFolder;

use crate::calls::Filters;
use crate::clone::clone;
use crate::error::{JailError, OfLayer};
use crate::files::Files;
use crate::forked::{Fork, Forked};
use crate::oom::Order;
use crate::private_files::PrivateFiles;
use crate::scratch::Scratch;
use crate::settings::{Profile, Settings};
use crate::sys::{Proc, about, check, out_of_the_way, prctl};
use crate::system::{self, HOME, TMP};
use crate::user::{Capabilities, Ids};
use crate::word::{heard, pipe, report};
use crate::{cgroup, limits, translate, tree, trial, user};

/// The highest descriptor that a child keeps.
const LAST: RawFd = 3;

/// The walls around this process, entered. They last as long as it does.
#[derive(Debug)]
pub struct Walls {
    profile: Profile,
    settings: Settings,
    proc: Proc,
    /// This process, for a child to see whether its parent still lives.
    itself: RawFd,
    filters: Filters,
    capabilities: Result<Capabilities, String>,
    /// Whether the user is one that nobody else is, so that the kernel's count of its threads means something.
    own_user: bool,
    /// Why it is not.
    starters: String,
    /// Folder of the children's folders, in the reduced profile.
    folder: Option<PrivateFolder>,
    /// What the next child's files are in; its number counts the children.
    next: RefCell<Next>,
    layers: Vec<Layer>,
    /// Who is ended first when memory runs out.
    order: Order,
    /// Why the full profile does not stand.
    reduced: String,
}

/// What the next child's files are in.
#[derive(Debug, Default)]
struct Next {
    number: u64,
    /// In the reduced profile.
    scratch: Option<Scratch>,
    /// In the full one.
    files: Option<Arc<PrivateFiles>>,
}

impl Walls {
    /// Enters the walls. Call it from the only thread of the process, before an interpreter starts. It closes nothing:
    /// what is open stays so, in this process.
    ///
    /// Afterwards this process has no more of the file system than its children will have, and a `/tmp` and a
    /// `/home/user` of its own that they do not see.
    ///
    /// # Errors
    /// A layer that must stand does not. The process may be behind some of the walls and should end.
    pub fn enter(settings: &Settings) -> Result<Self, JailError> {
        let proc = Proc::open().of("walls")?;
        // Before anything that takes time: a change of user will clear it, and then it is set again.
        let parent = ParentProcess::current();
        parent.bind().of("dies with its parent")?;
        let threads = proc.threads("self").of("walls")?;
        if threads != 1 {
            return Err(JailError::new("walls", format!("the process has {threads} threads, and only one may fork")));
        }
        // While it is whoever started it, and sees the file system.
        let group = cgroup::enter(settings);
        let (profile, reduced) = match settings.profile {
            Some(Profile::Full) => (Profile::Full, String::new()),
            Some(Profile::Reduced) => (Profile::Reduced, "the reduced profile was asked for".to_owned()),
            None => match Self::rehearse(settings, proc) {
                Ok(()) => (Profile::Full, String::new()),
                Err(why) => (Profile::Reduced, why.to_string()),
            },
        };
        let mut walls = Self::stand(settings, profile, proc, parent)?;
        walls.reduced = reduced;
        let landlock = walls.trial()?;
        walls.layers = walls.standing(landlock, group);
        Ok(walls)
    }

    /// Which profile it is.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The folder in which children have their private folders, in the reduced profile.
    pub fn private_folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(PrivateFolder::path)
    }

    /// The layers, and whether they stand around children: a trial child has been behind them.
    pub fn layers(&self) -> Vec<Layer> {
        self.layers.clone()
    }

    /// Looks for memory that this process shares and can write: children would have it in common. Call it when everything
    /// is loaded that children will find.
    ///
    /// # Errors
    /// There is some: nothing may be forked.
    pub fn nothing_shared(&self) -> Result<(), JailError> {
        let maps = self.proc.read("self/maps").of("memory")?;
        // "address permissions offset device inode path"; the permissions are such as "rw-s".
        let shared = maps.lines().find(|line| {
            line.split(' ').nth(1).is_some_and(|permissions| permissions.contains('w') && permissions.ends_with('s'))
        });
        shared.map_or(Ok(()), |line| {
            Err(JailError::new("memory", format!("children would share what they write: {line}")))
        })
    }

    /// Forks a child, which is to call [`enter_child`](Self::enter_child) next.
    ///
    /// # Safety
    /// The process has one thread, and whatever has to be told of a fork (an interpreter) is told by the caller.
    ///
    /// # Errors
    /// The system has no room for another process, or for its private folder.
    pub unsafe fn fork(&self) -> io::Result<Fork> {
        let (scratch, files) = (self.scratch()?, self.files_in_memory()?);
        {
            let mut next = self.next.borrow_mut();
            next.scratch.clone_from(&scratch);
            next.files.clone_from(&files);
        }
        let mut flags = libc::CLONE_PIDFD;
        if self.profile == Profile::Full {
            flags |= tree::CHILD_NAMESPACES;
        }
        // SAFETY: as the caller promises.
        let cloned = self.order.children_first(|| unsafe { clone(flags) });
        if !matches!(cloned, Ok(None)) {
            // The memory is given back when the last who holds it lets go.
            self.next.borrow_mut().files = None;
        }
        match cloned {
            Ok(None) => Ok(Fork::Child),
            Ok(Some((pid, pidfd))) => Ok(Fork::Parent(Forked::new(pid, pidfd, self.proc, scratch, files))),
            Err(error) => {
                if let Some(scratch) = scratch {
                    scratch.clear();
                }
                Err(error)
            }
        }
    }

    /// Goes behind the walls; for a child that [`fork`](Self::fork) made, which has descriptors 0 to 3 in place. All
    /// others are closed under whoever holds them.
    ///
    /// # Errors
    /// A layer does not stand: the child must end.
    pub fn enter_child(&self) -> Result<(), JailError> {
        self.enter_as_child().map(drop)
    }

    /// Says how Landlock stands, which in the full profile need not.
    fn enter_as_child(&self) -> Result<Result<(), String>, JailError> {
        let (scratch, files) = {
            let next = self.next.borrow();
            (next.scratch.clone(), next.files.clone())
        };
        if self.profile == Profile::Full {
            Ids::MAPPED.map(self.proc).of("user namespace")?;
            let files = files.ok_or("there are none").of("private files")?;
            files.attach(&self.settings.readable).of("private files")?;
            // The descriptor is closed below, as all others are.
            std::mem::forget(files);
        }
        let home = scratch.as_ref().map_or_else(|| PathBuf::from(HOME), Scratch::home);
        std::env::set_current_dir(&home).of("private files")?;
        // SAFETY: the calls take numbers.
        unsafe { libc::umask(0o077) };
        let threads = match self.profile {
            Profile::Full => Some(self.settings.threads),
            Profile::Reduced => self.own_user.then(|| self.settings.threads.saturating_mul(SHARE)),
        };
        limits::set(&self.settings, threads).of("resource limits")?;
        user::keep(*self.capabilities.as_ref().unwrap_or(&Capabilities::Reading)).of("no capabilities")?;
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1).of("no new privileges")?;
        prctl(libc::PR_SET_DUMPABLE, 0).of("not traceable")?;
        prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong).of("dies with its parent")?;
        if ended(self.itself) {
            return Err(JailError::new("dies with its parent", "the parent has gone"));
        }
        // SAFETY: the call takes numbers; nothing that is closed here is used again.
        check(unsafe { libc::syscall(libc::SYS_close_range, LAST + 1, u32::MAX, 0) }).of("descriptors")?;
        let landlock = self.files(scratch.as_ref()).restrict();
        if self.profile == Profile::Reduced {
            landlock.clone().of("landlock")?;
        }
        if let Some(scratch) = &scratch {
            translate::begin(&scratch.folder, &self.real());
        }
        self.filters.apply().of("seccomp")?;
        Ok(landlock)
    }

    fn files(&self, scratch: Option<&Scratch>) -> Files {
        match scratch {
            Some(scratch) => Files { read: self.readable(), write: vec![scratch.home(), scratch.folder.join("tmp")] },
            // The tree has nothing else.
            None => Files { read: vec!["/".into()], write: vec![HOME.into(), TMP.into()] },
        }
    }

    fn readable(&self) -> Vec<PathBuf> {
        let settings = self.settings.readable.iter().cloned();
        system::outermost(system::folders().chain(settings)).into_iter().chain(system::files()).collect()
    }

    /// Paths that are never translated: they may lie below those that are.
    fn real(&self) -> Vec<PathBuf> {
        self.settings.readable.iter().chain([&self.settings.scratch]).cloned().collect()
    }

    /// A new private folder, where the profile needs one.
    fn scratch(&self) -> io::Result<Option<Scratch>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let number = {
            let mut next = self.next.borrow_mut();
            next.number += 1;
            next.number
        };
        let Settings { scratch_bytes: bytes, scratch_entries: entries, .. } = self.settings;
        let folder = folder.path().join(number.to_string());
        about(folder.clone().display(), Scratch { folder, bytes, entries }.make()).map(Some)
    }

    /// A new file system in memory, where the profile has one.
    fn files_in_memory(&self) -> io::Result<Option<Arc<PrivateFiles>>> {
        if self.profile == Profile::Reduced {
            return Ok(None);
        }
        let Settings { scratch_bytes, scratch_entries, readable, .. } = &self.settings;
        PrivateFiles::make(*scratch_bytes, *scratch_entries, readable).map(|files| Some(Arc::new(files)))
    }

    /// Puts the walls up around this process.
    fn stand(settings: &Settings, profile: Profile, proc: Proc, parent: ParentProcess) -> Result<Self, JailError> {
        let filters = Filters::new(profile).of("seccomp")?;
        // SAFETY: the calls take numbers; without a session of its own the process still does all it should.
        let itself = unsafe {
            libc::setsid();
            check(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0)).of("walls")?
        };
        let itself = out_of_the_way(itself as RawFd).of("walls")?;
        let (own, starters) = match user::own(proc) {
            Ok(own) => (Some(own), String::new()),
            Err(why) => (None, why),
        };
        let mut walls = Self {
            profile,
            settings: settings.clone(),
            proc,
            itself,
            filters,
            capabilities: Ok(Capabilities::None),
            own_user: own.is_some(),
            starters,
            folder: None,
            next: RefCell::default(),
            layers: Vec::new(),
            order: Order::take(proc),
            reduced: String::new(),
        };
        match profile {
            Profile::Full => walls.stand_full(own)?,
            Profile::Reduced => walls.stand_reduced(own)?,
        }
        // The change of user has cleared what was set before, and the parent may have ended in between.
        parent.bind().of("dies with its parent")?;
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1).of("no new privileges")?;
        match &walls.folder {
            Some(folder) => {
                let mut files = Files { read: walls.readable(), write: vec![folder.path().to_owned()] };
                files.read.push("/proc".into());
                files.restrict().of("landlock")?;
                if let Some(scratch) = walls.scratch().of("private files")? {
                    translate::begin(&scratch.folder, &walls.real());
                }
            }
            None => {
                if let Some(files) = walls.files_in_memory().of("private files")? {
                    files.attach(&settings.readable).of("private files")?;
                }
            }
        }
        Ok(walls)
    }

    fn stand_full(&mut self, own: Option<u32>) -> Result<(), JailError> {
        let user = if own.is_none() { libc::CLONE_NEWUSER } else { 0 };
        let ids = Ids::here();
        tree::unshare(tree::NAMESPACES | user).of("namespaces")?;
        if own.is_none() {
            ids.map(self.proc).of("user namespace")?;
        }
        tree::enter(&self.settings.readable).of("file tree")?;
        if let Some(own) = own {
            // As root, all of the tree could be put together; what forks children is a user with a namespace.
            user::become_user(own).of("own user")?;
            let ids = Ids::here();
            tree::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).of("user namespace")?;
            ids.map(self.proc).of("user namespace")?;
        }
        user::reads(&self.settings.readable).of("own user")
    }

    fn stand_reduced(&mut self, own: Option<u32>) -> Result<(), JailError> {
        self.folder = Some(prepare(&self.settings.scratch, own).of("private files")?);
        if let Some(own) = own {
            prctl(libc::PR_SET_KEEPCAPS, 1).of("own user")?;
            user::become_user(own).of("own user")?;
            if let Err(unreadable) = user::reads(&self.settings.readable) {
                self.capabilities = Err(format!("one is kept, CAP_DAC_READ_SEARCH: {unreadable}"));
                user::keep(Capabilities::Reading).map_err(|_| unreadable).of("own user")?;
            }
            prctl(libc::PR_SET_KEEPCAPS, 0).of("own user")?;
        }
        if self.capabilities.is_ok() {
            user::keep(Capabilities::None).of("no capabilities")?;
        }
        user::reads(&self.settings.readable).of("own user")
    }

    /// Tries the full profile in a process of its own, since half of it could not be left again.
    fn rehearse(settings: &Settings, proc: Proc) -> Result<(), JailError> {
        let layer = "rehearsal";
        let (from, to) = pipe().of(layer)?;
        let zygote = ParentProcess::with_pid(std::process::id());
        // SAFETY: this process has one thread and no interpreter yet.
        match check(unsafe { libc::fork() }).of(layer)? {
            0 => {
                let stands = || {
                    zygote.bind().of(layer)?;
                    Self::stand(settings, Profile::Full, proc, zygote)?.trial().map(drop)
                };
                report(File::from(to), &stands())
            }
            pid => {
                drop(to);
                let result = heard(File::from(from), layer);
                let mut status = 0;
                // SAFETY: the pointer is to a number that outlives the call.
                check(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }).of(layer)?;
                result
            }
        }
    }

    /// Sends a child behind the walls and tries them. Says how Landlock stands.
    fn trial(&self) -> Result<Result<(), String>, JailError> {
        let layer = "trial child";
        let (from, to) = pipe().of(layer)?;
        // SAFETY: this process has one thread and no interpreter yet.
        match unsafe { self.fork() }.of(layer)? {
            Fork::Child => {
                // SAFETY: the call takes numbers; in this child nobody else needs the descriptor.
                let to = unsafe {
                    libc::dup2(to.as_raw_fd(), LAST);
                    File::from_raw_fd(LAST)
                };
                let result = self.enter_as_child().and_then(|landlock| {
                    let scratch = self.next.borrow().scratch.clone();
                    let (home, tmp) = scratch.map_or_else(
                        || (PathBuf::from(HOME), PathBuf::from(TMP)),
                        |scratch| (scratch.home(), scratch.folder.join("tmp")),
                    );
                    trial::canaries(self.profile, &self.settings.readable, [&home, &tmp])?;
                    Ok(landlock)
                });
                report(to, &result)
            }
            Fork::Parent(_child) => {
                drop(to);
                heard(File::from(from), layer)
            }
        }
    }

    fn standing(&self, landlock: Result<(), String>, group: Result<(), String>) -> Vec<Layer> {
        let layer = |name: &str, status| Layer { name: name.to_owned(), status };
        let full = match self.profile {
            Profile::Full => Ok(()),
            Profile::Reduced => Err(self.reduced.clone()),
        };
        let threads = match (self.profile, self.own_user) {
            (Profile::Full, _) => Ok(()),
            (Profile::Reduced, true) => Err("children share the kernel's count; each is watched".to_owned()),
            (Profile::Reduced, false) => Err("the user has other threads; each child is watched".to_owned()),
        };
        let user = if self.own_user || full.is_ok() { Ok(()) } else { Err(self.starters.clone()) };
        let capabilities = self.capabilities.clone().map(drop);
        let mut layers: Vec<Layer> =
            ["user namespace", "mount namespace", "network namespace", "pid namespace", "ipc namespace", "file tree"]
                .map(|name| layer(name, full.clone()))
                .into();
        layers.extend([
            layer("limit of private files", full.clone().map_err(|_| "each child is watched".to_owned())),
            layer("limit of threads", threads),
            layer("own user", user),
            layer("no capabilities", capabilities),
            layer("resource limits", Ok(())),
            layer("no new privileges", Ok(())),
            layer("dies with its parent", Ok(())),
            layer("not traceable", Ok(())),
            layer("landlock", landlock),
            layer("seccomp", Ok(())),
            layer("cgroup", group),
        ]);
        layers
    }
}

/// Children that the threads of one user are to suffice for, in the reduced profile.
const SHARE: u64 = 16;

/// What the folders of zygotes are called, before what tells them apart.
const ZYGOTE_FOLDER: &str = "zygote-";

/// Makes the folder for the children of one zygote, for the user that it will be. What zygotes have left that were killed
/// is removed first.
fn prepare(scratch: &Path, own: Option<u32>) -> io::Result<PrivateFolder> {
    about(scratch.display(), DirBuilder::new().recursive(true).mode(0o700).create(scratch))?;
    PrivateFolder::sweep(scratch, ZYGOTE_FOLDER);
    let folder = PrivateFolder::create(scratch, ZYGOTE_FOLDER)?;
    if let Some(own) = own {
        // It may pass through, and see nothing.
        about(scratch.display(), set_permissions(scratch, Permissions::from_mode(0o711)))?;
        about(folder.path().display(), std::os::unix::fs::chown(folder.path(), Some(own), Some(own)))?;
    }
    Ok(folder)
}

/// Whether the process behind a pidfd has ended.
fn ended(pidfd: RawFd) -> bool {
    let mut waited = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one entry that outlives the call.
    unsafe { libc::poll(&raw mut waited, 1, 0) == 1 }
}
