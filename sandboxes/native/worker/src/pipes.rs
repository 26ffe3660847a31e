//! The socket and the pipes between a worker and a child.

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// The reading end of a pipe, which never blocks.
pub(crate) struct NonblockingReader {
    from: Option<std::fs::File>,
}

/// The state of a pipe after reading.
pub(crate) enum ReadState {
    /// There is no more to read for now.
    WouldBlock,
    /// The writing end is closed.
    Closed,
}

/// Most bytes of one read.
const CHUNK: usize = 64 << 10;
/// Most bytes that are read from one child before the next is served.
const MAX_PER_STEP: usize = 1 << 20;

impl NonblockingReader {
    fn new(end: OwnedFd) -> io::Result<Self> {
        set_nonblocking_fd(end.as_raw_fd())?;
        Ok(Self { from: Some(end.into()) })
    }

    /// Returns the descriptor; -1, which poll(2) ignores, after the writing end was closed.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.from.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Reads what is available. `all`: everything; else no more than one step's share.
    pub(crate) fn read_available(&mut self, all: bool, mut take: impl FnMut(&[u8])) {
        let Some(from) = &mut self.from else { return };
        let mut buffer = [0; CHUNK];
        let mut read = 0;
        let flow = loop {
            match from.read(&mut buffer) {
                Ok(0) => break ReadState::Closed,
                Ok(count) => {
                    take(&buffer[..count]);
                    read += count;
                    if !all && read >= MAX_PER_STEP {
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

/// The worker's ends.
pub(crate) struct WorkerEnds {
    pub(crate) socket: UnixStream,
    pub(crate) stdout: NonblockingReader,
    pub(crate) stderr: NonblockingReader,
}

/// The child's ends, which become its descriptors 1, 2 and 3.
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
    /// Installs the ends as descriptors 1, 2 and 3, in the child. The jail closes all others.
    ///
    /// # Errors
    /// The system has no descriptors left.
    #[allow(unsafe_code, reason = "dup2 has no safe wrapper in std")]
    pub(crate) fn install(self) -> io::Result<UnixStream> {
        // First moved above the target numbers.
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
