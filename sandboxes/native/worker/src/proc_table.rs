//! The system's table of processes, held from before the jail: what a child uses is looked up there. See proc(5).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// `/proc`, as it was before there were walls.
pub(crate) struct ProcTable(OwnedFd);

impl ProcTable {
    /// # Errors
    /// There is none here.
    pub(crate) fn open() -> io::Result<Self> {
        File::open("/proc").map(|folder| Self(folder.into()))
    }

    /// How many threads this process has.
    pub(crate) fn threads(&self) -> io::Result<u64> {
        self.status("self", "Threads:")
    }

    /// Bytes that a process holds in memory.
    pub(crate) fn resident(&self, process: i32) -> io::Result<u64> {
        self.status(&process.to_string(), "VmRSS:").map(kilobytes)
    }

    /// The most that it has held.
    pub(crate) fn peak(&self, process: i32) -> io::Result<u64> {
        self.status(&process.to_string(), "VmHWM:").map(kilobytes)
    }

    /// A number of a process's status.
    fn status(&self, process: &str, name: &str) -> io::Result<u64> {
        let status = self.read(&format!("{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    #[allow(unsafe_code, reason = "openat has no safe wrapper in std")]
    fn read(&self, path: &str) -> io::Result<String> {
        let path = std::ffi::CString::new(path)?;
        // SAFETY: the path ends with a zero, and the descriptor that comes back is ours.
        let mut file = unsafe {
            let descriptor = libc::openat(self.0.as_raw_fd(), path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if descriptor == -1 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(descriptor)
        };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }
}

fn kilobytes(count: u64) -> u64 {
    count * 1024
}
