//! How programs start: in a group of their own, as their user.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Gid, Pid, Resource, Rlimit, Uid, WaitOptions, getegid, geteuid, setpgid, setrlimit, waitpid};
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
        let mut command = Command::new(shell_of(&launch.program, |path| Path::new(path).exists()));
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
            if has_terminal {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            } else {
                join_new_group()?;
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

    fn started(&self, process: u32) {
        self.children.add(process);
    }

    fn released(&self, process: u32) {
        self.children.remove(process);
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

/// The shell that clients of E2B name for every command, and one that is in root file systems without it.
const SHELL: &str = "/bin/bash";
const PLAIN_SHELL: &str = "/bin/sh";

/// Returns the program to start: where a root file system has no bash, its other shell runs what clients start by bash.
fn shell_of(program: &str, exists: impl Fn(&str) -> bool) -> &str {
    if program == SHELL && !exists(SHELL) && exists(PLAIN_SHELL) { PLAIN_SHELL } else { program }
}

/// Moves this process, which is between fork and exec, into a new group that it does not lead. The leader is a process that ends at once;
/// its number stays taken as long as the group has members.
///
/// In a leader, as a shell that replaces itself by its last command, the command `setsid` starts a second process and does not wait for it,
/// so that its caller would get neither the exit code nor the end of what it runs.
fn join_new_group() -> io::Result<()> {
    #[allow(unsafe_code, reason = "there is no safe way to make a process")]
    // SAFETY: the new process makes one system call, and has no memory in common with others.
    let leader = match unsafe { libc::fork() } {
        // SAFETY: it ends the process, and runs nothing else in it.
        0 => unsafe { libc::_exit(0) },
        number => Pid::from_raw(number.max(0)).ok_or_else(io::Error::last_os_error)?,
    };
    let joined = setpgid(Some(leader), Some(leader)).and_then(|()| setpgid(None, Some(leader)));
    retry_on_intr(|| waitpid(Some(leader), WaitOptions::empty()))?;
    Ok(joined?)
}

/// Makes the kernel kill the program before this process.
fn raise_oom_score() {
    // Without `/proc`, the program has the priority of this process.
    if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::io::write(file, OOM_SCORE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_start_by_bash_is_run_by_the_other_shell_where_there_is_no_bash() {
        assert_eq!(shell_of("/bin/bash", |_| true), "/bin/bash");
        assert_eq!(shell_of("/bin/bash", |path| path == "/bin/sh"), "/bin/sh");
        // The error names what the client has named.
        assert_eq!(shell_of("/bin/bash", |_| false), "/bin/bash");
        assert_eq!(shell_of("bash", |_| false), "bash");
    }
}
