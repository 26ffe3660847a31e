//! A child as its parent holds it.
#![allow(unsafe_code, reason = "pidfds, prlimit and wait4 have no safe wrapper in libc")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use crate::child_folder::ChildFolder;
use crate::private_tmpfs::PrivateTmpfs;
use crate::sys::{ProcFs, check};

/// What a fork comes back as.
#[derive(Debug)]
pub enum Fork {
    Parent(ForkedProcess),
    Child,
}

/// A child as its parent holds it. Dropping it kills it, reaps it and clears its private folder.
#[derive(Debug)]
pub struct ForkedProcess {
    pub pid: i32,
    pidfd: OwnedFd,
    proc: ProcFs,
    scratch: Option<ChildFolder>,
    /// Its files in the full profile, which are counted there.
    files: Option<Arc<PrivateTmpfs>>,
    /// What it mapped when it was forked, in bytes; used where `/proc` hides it.
    mapped: u64,
    /// Who forked it: a copy of this in a later child is nobody's.
    parent: u32,
    reaped: bool,
}

/// How a child ended, as the kernel tells it.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnd {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Processor time of all its threads.
    pub cpu: Duration,
    /// The most bytes of memory that it held at once, those included that it shares with its parent since the fork.
    pub peak: u64,
}

impl ForkedProcess {
    pub(crate) fn new(
        pid: i32,
        pidfd: OwnedFd,
        proc: ProcFs,
        scratch: Option<ChildFolder>,
        files: Option<Arc<PrivateTmpfs>>,
    ) -> Self {
        let mapped = proc.mapped("self").unwrap_or(0);
        Self { pid, pidfd, proc, scratch, files, mapped, parent: std::process::id(), reaped: false }
    }

    /// Becomes readable when the child has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Limits its address space to what it maps now and `beyond` bytes more, and its processor time, in seconds from
    /// its start, to `cpu`. The child cannot raise either, and both can be raised again with another call.
    ///
    /// Beyond its processor time it gets SIGXCPU every second. In the full profile a child is the first process of its
    /// namespace, which gets no signal that it has no handler for: watch [`cpu`](Self::cpu) and end it from outside.
    ///
    /// # Errors
    /// The child has ended.
    pub fn limit(&self, beyond: u64, cpu: Option<u64>) -> io::Result<()> {
        let mapped = self.proc.mapped(&self.pid.to_string()).unwrap_or(self.mapped);
        self.soft(libc::RLIMIT_AS, mapped.saturating_add(beyond))?;
        self.soft(libc::RLIMIT_CPU, cpu.unwrap_or(libc::RLIM_INFINITY))
    }

    fn soft(&self, resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
        if self.reaped {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointers are to a limit of ours that outlives the calls; the child is not reaped, so the pid is
        // its own.
        unsafe {
            check(libc::prlimit(self.pid, resource, std::ptr::null(), &raw mut limit))?;
            limit.rlim_cur = most.min(limit.rlim_max);
            check(libc::prlimit(self.pid, resource, &raw const limit, std::ptr::null_mut())).map(drop)
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// The child has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let pidfd = self.pidfd.as_raw_fd();
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the kernel makes the information where none is given.
        check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, 0) }).map(drop)
    }

    /// Processor time of all its threads so far.
    ///
    /// # Errors
    /// The child has been reaped.
    pub fn cpu(&self) -> io::Result<Duration> {
        if self.reaped {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
        // SAFETY: the pointers are to values of ours that outlive the calls.
        unsafe {
            // Its result is the error itself.
            match libc::clock_getcpuclockid(self.pid, &raw mut clock) {
                0 => check(libc::clock_gettime(clock, &raw mut time))?,
                error => return Err(io::Error::from_raw_os_error(error)),
            };
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Its end, if it has ended. Reaps it.
    ///
    /// # Errors
    /// It was reaped before.
    pub fn ended(&mut self) -> io::Result<Option<ProcessEnd>> {
        self.wait(libc::WNOHANG)
    }

    fn wait(&mut self, options: libc::c_int) -> io::Result<Option<ProcessEnd>> {
        if self.reaped {
            return Err(io::Error::from_raw_os_error(libc::ECHILD));
        }
        let mut status = 0;
        // SAFETY: a usage of zeros is a usage.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the pointers are to values of ours that outlive the call.
        let waited = unsafe { libc::wait4(self.pid, &raw mut status, options | libc::__WALL, &raw mut usage) };
        if check(waited)? == 0 {
            return Ok(None);
        }
        self.reaped = true;
        let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
        let cpu = time(usage.ru_utime) + time(usage.ru_stime);
        Ok(Some(ProcessEnd { status: ExitStatus::from_raw(status), cpu, peak: usage.ru_maxrss as u64 * 1024 }))
    }

    /// Bytes and entries in its private folder: ask every few moments and end it beyond the limits, which nothing else
    /// keeps in the reduced profile. None in the full one, where the kernel keeps them.
    pub fn folder_used(&self) -> Option<(u64, u64)> {
        self.scratch.as_ref().map(ChildFolder::used)
    }

    /// Bytes that its private files take now: of memory in the full profile, of a disk or of memory in the reduced one. What
    /// was removed and is open still counts in the full profile alone. None where it is not known.
    pub fn file_bytes(&self) -> Option<u64> {
        match &self.files {
            Some(files) => files.used().ok(),
            None => self.folder_used().map(|(bytes, _)| bytes),
        }
    }

    /// Stops counting its files in the full profile, when nobody asks any more: whoever lets go last gives their memory
    /// back, and that is work that the child can do at its end.
    pub fn release_files(&mut self) {
        self.files = None;
    }

    /// Its threads: to be watched as [`folder_used`](Self::folder_used) is. None in the full profile, where the kernel
    /// keeps their limit, and where `/proc` hides it.
    pub fn threads(&self) -> Option<u64> {
        self.scratch.as_ref().and_then(|_| self.proc.threads(&self.pid.to_string()).ok())
    }
}

impl Drop for ForkedProcess {
    fn drop(&mut self) {
        // A child has copies of its elder siblings' handles.
        if std::process::id() != self.parent {
            return;
        }
        if !self.reaped {
            let _ = self.signal(libc::SIGKILL);
            while self.wait(0).is_err_and(|e| e.kind() == io::ErrorKind::Interrupted) {}
        }
        if let Some(scratch) = &self.scratch {
            scratch.clear();
        }
    }
}
