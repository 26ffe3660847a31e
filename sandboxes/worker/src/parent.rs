//! Ends a process when its parent process ends, however early that happens.
//!
//! `PR_SET_PDEATHSIG` alone leaves four gaps, all of which have left processes behind: the parent may have ended before
//! the call; a change of user, group or capabilities clears the setting; a fork does not inherit it; and it is bound to
//! the thread that started the process. [`ParentProcess::bind`] covers the first three: call it first of all, again
//! after each change of credentials, and in each forked process. `spawn.rs` covers the last one.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

/// The process that this one must not outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentProcess {
    pid: i32,
}

impl ParentProcess {
    /// Returns the process that made a socket pair, as the kernel recorded it; `socket` is either end.
    ///
    /// # Errors
    /// It is no socket, or the system has no such record.
    #[allow(
        unsafe_code,
        reason = "rustix's wrapper cannot represent pid 0, the pid of a peer outside this PID namespace"
    )]
    pub fn of_socket(socket: &UnixStream) -> io::Result<Self> {
        use std::os::fd::AsRawFd as _;

        let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
        let mut length = libc::socklen_t::try_from(size_of_val(&peer)).map_err(io::Error::other)?;
        // SAFETY: the pointers are to a structure of ours, whose size is the given length, and both outlive the call.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut peer).cast(),
                &raw mut length,
            )
        };
        if got == -1 { Err(io::Error::last_os_error()) } else { Ok(Self { pid: peer.pid }) }
    }

    /// Returns the process with this number.
    pub fn with_pid(pid: u32) -> Self {
        Self { pid: i32::try_from(pid).unwrap_or(i32::MAX) }
    }

    /// Returns the current parent of this process. It is the expected one only after a [`bind`](Self::bind) that still
    /// holds.
    pub fn current() -> Self {
        Self::with_pid(std::os::unix::process::parent_id())
    }

    /// Has the kernel kill this process when the parent ends, and checks that the parent has not ended already.
    ///
    /// # Errors
    /// The parent has ended: this process must end too.
    pub fn bind(self) -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        self.check()
    }

    /// An orphan belongs to another process from the moment that its parent ends.
    fn check(self) -> io::Result<()> {
        if Self::current() == self {
            Ok(())
        } else {
            Err(io::Error::other(format!("the parent process {} has ended", self.pid)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_made_a_socket_pair_is_known() {
        let (near, far) = UnixStream::pair().unwrap();
        let own = ParentProcess::with_pid(std::process::id());
        assert_eq!(ParentProcess::of_socket(&near).unwrap(), own);
        assert_eq!(ParentProcess::of_socket(&far).unwrap(), own);
    }

    #[test]
    fn a_process_whose_parent_has_changed_must_end() {
        // Not bound for good: the test's process would end with the thread that started it.
        assert!(ParentProcess::current().check().is_ok());
        let gone = ParentProcess::with_pid(std::process::id()).check();
        assert!(gone.unwrap_err().to_string().contains("has ended"));
    }
}
