//! The parent's handle of a child.
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

/// The result of a fork, in the parent and in the child.
#[derive(Debug)]
pub enum Fork {
    Parent(ForkedProcess),
    Child,
}

/// The parent's handle of a child. Dropping it kills and reaps the child and removes its private folder.
#[derive(Debug)]
pub struct ForkedProcess {
    pub pid: i32,
    pidfd: OwnedFd,
    proc: ProcFs,
    scratch: Option<ChildFolder>,
    /// Its file system in the full profile, where its files are counted.
    files: Option<Arc<PrivateTmpfs>>,
    /// Bytes that it mapped when it was forked; used where `/proc` hides the child.
    mapped: u64,
    /// The process that forked it: a copy of this in a later child does nothing.
    parent: u32,
    reaped: bool,
}

/// How a child ended, as the kernel reports it.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnd {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Processor time of all its threads.
    pub cpu: Duration,
    /// Its peak of resident memory in bytes, including pages that it shares with its parent since the fork.
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

    /// Returns a descriptor that becomes readable when the child has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Limits its address space to what it maps now and `beyond` bytes more, and its processor time, in seconds from its
    /// start, to `cpu`. The child cannot raise the limits; another call can.
    ///
    /// Beyond its processor time it gets SIGXCPU every second. In the full profile a child is the first process of its PID
    /// namespace, which receives no signal without a handler: watch [`cpu`](Self::cpu) and kill it from outside.
    ///
    /// # Errors
    /// The child has ended.
    pub fn limit(&self, beyond: u64, cpu: Option<u64>) -> io::Result<()> {
        let mapped = self.proc.mapped(&self.pid.to_string()).unwrap_or(self.mapped);
        self.set_soft_limit(libc::RLIMIT_AS, mapped.saturating_add(beyond))?;
        self.set_soft_limit(libc::RLIMIT_CPU, cpu.unwrap_or(libc::RLIM_INFINITY))
    }

    fn set_soft_limit(&self, resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
        if self.reaped {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointers are to a local value that outlives the calls; the child is not reaped, so that the pid is
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

    /// Returns the processor time of all its threads so far.
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
            // It returns the error number itself.
            match libc::clock_getcpuclockid(self.pid, &raw mut clock) {
                0 => check(libc::clock_gettime(clock, &raw mut time))?,
                error => return Err(io::Error::from_raw_os_error(error)),
            };
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Returns how it ended, if it has ended, and reaps it.
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

    /// Returns the bytes and entries in its private folder, in the reduced profile: call it often and kill the child beyond
    /// the limits, which nothing else enforces there. `None` in the full profile, where the kernel does.
    pub fn folder_used(&self) -> Option<(u64, u64)> {
        self.scratch.as_ref().map(ChildFolder::used)
    }

    /// Returns the bytes of its private files: in memory in the full profile, on a disk or in memory in the reduced one. Files
    /// that were removed and are still open count in the full profile alone. `None` where it is not known.
    pub fn file_bytes(&self) -> Option<u64> {
        match &self.files {
            Some(files) => files.used().ok(),
            None => self.folder_used().map(|(bytes, _)| bytes),
        }
    }

    /// Releases its file system, after which [`file_bytes`](Self::file_bytes) is not known in the full profile. The last owner
    /// frees the memory of the files, which takes time: after this call that is the child at its end.
    pub fn release_files(&mut self) {
        self.files = None;
    }

    /// Returns the number of its threads, to be watched as [`folder_used`](Self::folder_used) is. `None` in the full profile,
    /// where the kernel enforces the limit, and where `/proc` hides the child.
    pub fn threads(&self) -> Option<u64> {
        self.scratch.as_ref().and_then(|_| self.proc.threads(&self.pid.to_string()).ok())
    }
}

impl Drop for ForkedProcess {
    fn drop(&mut self) {
        // A child has copies of the handles of earlier children.
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
