//! How a zygote enters the jail: user, namespaces or private folder, file access.

use std::cell::RefCell;
use std::fs::{DirBuilder, File, Permissions, set_permissions};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use switchtower_worker::parent::ParentProcess;
use switchtower_worker::private_folder::PrivateFolder;

use super::Jail;
use crate::config::{JailConfig, JailProfile};
use crate::credentials::{Capabilities, Ids};
use crate::error::{JailError, OfLayer};
use crate::file_access::FileAccess;
use crate::oom_priority::OomPriority;
use crate::report_pipe::{pipe, receive, send};
use crate::seccomp::SeccompFilters;
use crate::sys::{ProcFs, check, move_above_child_fds, prctl, with_context};
use crate::{credentials, mounts, path_map};

impl Jail {
    /// Enters the jail without testing it.
    pub(super) fn set_up(
        config: &JailConfig,
        profile: JailProfile,
        proc: ProcFs,
        parent: ParentProcess,
    ) -> Result<Self, JailError> {
        let filters = SeccompFilters::new(profile).of("seccomp")?;
        // SAFETY: the calls take numbers; a failure of setsid is harmless.
        let own_pidfd = unsafe {
            libc::setsid();
            check(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0)).of("jail")?
        };
        let own_pidfd = move_above_child_fds(own_pidfd as RawFd).of("jail")?;
        let (own, no_own_user) = match credentials::choose_user(proc) {
            Ok(own) => (Some(own), String::new()),
            Err(why) => (None, why),
        };
        let mut jail = Self {
            profile,
            config: config.clone(),
            proc,
            own_pidfd,
            filters,
            capabilities: Ok(Capabilities::None),
            own_user: own.is_some(),
            no_own_user,
            folder: None,
            next_child: RefCell::default(),
            layers: Vec::new(),
            oom_priority: OomPriority::set(proc),
            reduced_reason: String::new(),
        };
        match profile {
            JailProfile::Full => jail.set_up_full(own)?,
            JailProfile::Reduced => jail.set_up_reduced(own)?,
        }
        // The change of user has cleared the setting, and the parent may have ended in between.
        parent.bind().of("dies with its parent")?;
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1).of("no new privileges")?;
        match &jail.folder {
            Some(folder) => {
                let mut files = FileAccess { read: jail.readable(), write: vec![folder.path().to_owned()] };
                files.read.push("/proc".into());
                files.restrict().of("landlock")?;
                if let Some(scratch) = jail.new_child_folder().of("private files")? {
                    path_map::start(&scratch.folder, &jail.untranslated());
                }
            }
            None => {
                if let Some(files) = jail.new_tmpfs().of("private files")? {
                    files.attach(&config.readable).of("private files")?;
                }
            }
        }
        Ok(jail)
    }

    fn set_up_full(&mut self, own: Option<u32>) -> Result<(), JailError> {
        let user = if own.is_none() { libc::CLONE_NEWUSER } else { 0 };
        let ids = Ids::current();
        mounts::unshare(mounts::NAMESPACES | user).of("namespaces")?;
        if own.is_none() {
            ids.map(self.proc).of("user namespace")?;
        }
        mounts::enter(&self.config.readable).of("file tree")?;
        if let Some(own) = own {
            // Root has assembled the tree; from here on the process is an own user with a user namespace.
            credentials::become_user(own).of("own user")?;
            let ids = Ids::current();
            mounts::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).of("user namespace")?;
            ids.map(self.proc).of("user namespace")?;
        }
        credentials::check_readable(&self.config.readable).of("own user")
    }

    fn set_up_reduced(&mut self, own: Option<u32>) -> Result<(), JailError> {
        self.folder = Some(make_zygote_folder(&self.config.scratch, own).of("private files")?);
        if let Some(own) = own {
            prctl(libc::PR_SET_KEEPCAPS, 1).of("own user")?;
            credentials::become_user(own).of("own user")?;
            if let Err(unreadable) = credentials::check_readable(&self.config.readable) {
                self.capabilities = Err(format!("one is kept, CAP_DAC_READ_SEARCH: {unreadable}"));
                credentials::drop_capabilities_except(Capabilities::Reading).map_err(|_| unreadable).of("own user")?;
            }
            prctl(libc::PR_SET_KEEPCAPS, 0).of("own user")?;
        }
        if self.capabilities.is_ok() {
            credentials::drop_capabilities_except(Capabilities::None).of("no capabilities")?;
        }
        credentials::check_readable(&self.config.readable).of("own user")
    }

    /// Tries the full profile in a forked process, because layers that have been entered cannot be left.
    pub(super) fn probe_full_profile(config: &JailConfig, proc: ProcFs) -> Result<(), JailError> {
        let layer = "full profile";
        let (from, to) = pipe().of(layer)?;
        let zygote = ParentProcess::with_pid(std::process::id());
        // SAFETY: this process has one thread and no interpreter yet.
        match check(unsafe { libc::fork() }).of(layer)? {
            0 => {
                let result = || {
                    zygote.bind().of(layer)?;
                    Self::set_up(config, JailProfile::Full, proc, zygote)?.test_child().map(drop)
                };
                send(File::from(to), &result())
            }
            pid => {
                drop(to);
                let result = receive(File::from(from), layer);
                let mut status = 0;
                // SAFETY: the pointer is to a number that outlives the call.
                check(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }).of(layer)?;
                result
            }
        }
    }
}

/// The beginning of the names of zygotes' folders.
const ZYGOTE_FOLDER: &str = "zygote-";

/// Makes the folder for the children of one zygote, owned by its future user. Removes what killed zygotes have left first.
fn make_zygote_folder(scratch: &Path, own: Option<u32>) -> io::Result<PrivateFolder> {
    with_context(scratch.display(), DirBuilder::new().recursive(true).mode(0o700).create(scratch))?;
    PrivateFolder::sweep(scratch, ZYGOTE_FOLDER);
    let folder = PrivateFolder::create(scratch, ZYGOTE_FOLDER)?;
    if let Some(own) = own {
        // It may traverse the folder and not list it.
        with_context(scratch.display(), set_permissions(scratch, Permissions::from_mode(0o711)))?;
        with_context(folder.path().display(), std::os::unix::fs::chown(folder.path(), Some(own), Some(own)))?;
    }
    Ok(folder)
}
