//! `/proc`, opened before the jail is entered, to look up what children use. See proc(5).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// `/proc` of the host.
pub(crate) struct ProcTable(OwnedFd);

impl ProcTable {
    /// # Errors
    /// There is no `/proc`.
    pub(crate) fn open() -> io::Result<Self> {
        File::open("/proc").map(|folder| Self(folder.into()))
    }

    /// Returns the number of threads of this process.
    pub(crate) fn threads(&self) -> io::Result<u64> {
        self.status("self", "Threads:")
    }

    /// Returns the resident bytes of a process.
    pub(crate) fn resident(&self, process: i32) -> io::Result<u64> {
        self.status(&process.to_string(), "VmRSS:").map(kilobytes)
    }

    /// Returns the peak of the resident bytes of a process.
    pub(crate) fn peak(&self, process: i32) -> io::Result<u64> {
        self.status(&process.to_string(), "VmHWM:").map(kilobytes)
    }

    /// Returns a number in the status of a process.
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
