//! How programs start: in a session of their own, as their user.

use std::ffi::CString;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid, getegid, geteuid, setrlimit};
use switchtower_envd::{Launch, Launcher};
use tokio::process::Command;

use super::reaper::Children;

/// Where programs are looked up, unless this process has a list itself.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The priority of programs for the killer of the kernel, when memory is used up: above that of this process.
const OOM_SCORE: &[u8] = b"100";

pub(super) struct MachineLauncher {
    children: Arc<Children>,
    /// The limits that programs get in place of those of this process.
    limits: [(Resource, Rlimit); 2],
}

/// Whom a program belongs to.
struct Credentials {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl MachineLauncher {
    pub(super) fn new(children: Arc<Children>, limits: [(Resource, Rlimit); 2]) -> Self {
        Self { children, limits }
    }
}

#[async_trait]
impl Launcher for MachineLauncher {
    async fn command(&self, launch: &Launch) -> io::Result<Command> {
        let user = &launch.user;
        let mut command = Command::new(&launch.program);
        command.args(&launch.args).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| SEARCH_PATH.into()));
        command.envs([("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name)]).envs(&launch.env);
        let credentials = Credentials {
            uid: Uid::from_raw(user.uid),
            gid: Gid::from_raw(user.gid),
            groups: [user.gid].iter().chain(&user.groups).copied().map(Gid::from_raw).collect(),
        };
        let (cwd, has_terminal, limits) = (CString::new(launch.cwd.clone())?, launch.has_terminal, self.limits);
        let prepare = move || {
            rustix::process::setsid()?;
            if has_terminal {
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            }
            raise_oom_score();
            for (resource, limit) in limits {
                setrlimit(resource, limit)?;
            }
            credentials.assume()?;
            // As the user, who may not be allowed to enter it.
            Ok(rustix::process::chdir(&cwd)?)
        };
        #[allow(unsafe_code, reason = "ids and terminals are set between fork and exec")]
        // SAFETY: it makes system calls and allocates nothing.
        unsafe {
            command.pre_exec(prepare);
        }
        Ok(command)
    }

    fn started(&self, leader: u32) {
        self.children.add(leader);
    }

    fn released(&self, leader: u32) {
        self.children.remove(leader);
    }
}

impl Credentials {
    /// Gives up the rights of this process, unless it is the user already.
    fn assume(&self) -> io::Result<()> {
        if geteuid() == self.uid && getegid() == self.gid {
            return Ok(());
        }
        match rustix::thread::set_thread_groups(&self.groups) {
            // A user namespace with one group only forbids it, and there is no group to give up.
            Ok(()) | Err(Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        rustix::thread::set_thread_res_gid(self.gid, self.gid, self.gid)?;
        Ok(rustix::thread::set_thread_res_uid(self.uid, self.uid, self.uid)?)
    }
}

/// Makes the kernel kill the program before this process.
fn raise_oom_score() {
    // Without `/proc`, the program has the priority of this process.
    if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::io::write(file, OOM_SCORE);
    }
}
