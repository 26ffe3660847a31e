//! The ends that a worker holds of what leads to a child.

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// A reading end that never waits.
pub(crate) struct NonblockingReader {
    from: Option<std::fs::File>,
}

/// What there was to read.
pub(crate) enum ReadState {
    /// Nothing for now.
    WouldBlock,
    /// The other side is closed.
    Closed,
}

/// Read at once.
const CHUNK: usize = 64 << 10;
/// Most that is read before somebody else is looked after.
const GULP: usize = 1 << 20;

impl NonblockingReader {
    fn new(end: OwnedFd) -> io::Result<Self> {
        set_nonblocking_fd(end.as_raw_fd())?;
        Ok(Self { from: Some(end.into()) })
    }

    /// -1, which nobody waits for, when it is over.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.from.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Reads what there is. `all`: to the last byte; else as much as one may have at a time.
    pub(crate) fn read_available(&mut self, all: bool, mut takes: impl FnMut(&[u8])) {
        let Some(from) = &mut self.from else { return };
        let mut buffer = [0; CHUNK];
        let mut read = 0;
        let flow = loop {
            match from.read(&mut buffer) {
                Ok(0) => break ReadState::Closed,
                Ok(count) => {
                    takes(&buffer[..count]);
                    read += count;
                    if !all && read >= GULP {
                        break ReadState::WouldBlock;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break ReadState::WouldBlock,
                Err(_) => break ReadState::Closed,
            }
        };
        if matches!(flow, ReadState::Closed) {
            self.from = None;
        }
    }
}

/// A child's ends, and ours.
pub(crate) struct WorkerEnds {
    pub(crate) socket: UnixStream,
    pub(crate) stdout: NonblockingReader,
    pub(crate) stderr: NonblockingReader,
}

/// The ends that become the child's descriptors 1, 2 and 3.
pub(crate) struct ChildEnds {
    stdout: OwnedFd,
    stderr: OwnedFd,
    socket: OwnedFd,
}

pub(crate) fn pipes() -> io::Result<(WorkerEnds, ChildEnds)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let ours =
        WorkerEnds { socket: near, stdout: NonblockingReader::new(stdout)?, stderr: NonblockingReader::new(stderr)? };
    Ok((ours, ChildEnds { stdout: their_stdout, stderr: their_stderr, socket: far.into() }))
}

impl ChildEnds {
    /// In the child: they take their places. Whatever else is open is the jail's to close.
    ///
    /// # Errors
    /// The system has no descriptors left.
    #[allow(unsafe_code, reason = "dup2 has no safe wrapper in std")]
    pub(crate) fn install(self) -> io::Result<UnixStream> {
        // First out of the way of the places themselves.
        let above = |end: &OwnedFd| {
            // SAFETY: it takes numbers only, and the descriptor is open.
            check(unsafe { libc::fcntl(end.as_raw_fd(), libc::F_DUPFD, 16) })
        };
        let ends = [above(&self.stdout)?, above(&self.stderr)?, above(&self.socket)?];
        for (place, end) in (1..).zip(ends) {
            // SAFETY: as above.
            check(unsafe { libc::dup2(end, place) })?;
        }
        // SAFETY: descriptor 3 has just been made, and nothing else in this process owns it.
        Ok(unsafe { UnixStream::from_raw_fd(3) })
    }
}

#[allow(unsafe_code, reason = "pipe2 has no safe wrapper in std that keeps both ends apart")]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the pointer is to two numbers of ours.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both are new and ours.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

#[allow(unsafe_code, reason = "fcntl has no safe wrapper in std")]
fn set_nonblocking_fd(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: it takes numbers only.
    unsafe {
        let flags = check(libc::fcntl(descriptor, libc::F_GETFL))?;
        check(libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK))?;
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
