//! The ends that a worker holds of what leads to a child.

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// A reading end that never waits.
pub(crate) struct Tap {
    from: Option<std::fs::File>,
}

/// What there was to read.
pub(crate) enum Flow {
    /// Nothing for now.
    Dry,
    /// The other side is closed.
    Over,
}

/// Read at once.
const CHUNK: usize = 64 << 10;
/// Most that is read before somebody else is looked after.
const GULP: usize = 1 << 20;

impl Tap {
    fn new(end: OwnedFd) -> io::Result<Self> {
        unblocks(end.as_raw_fd())?;
        Ok(Self { from: Some(end.into()) })
    }

    /// -1, which nobody waits for, when it is over.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.from.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Reads what there is. `all`: to the last byte; else as much as one may have at a time.
    pub(crate) fn drains(&mut self, all: bool, mut takes: impl FnMut(&[u8])) {
        let Some(from) = &mut self.from else { return };
        let mut buffer = [0; CHUNK];
        let mut read = 0;
        let flow = loop {
            match from.read(&mut buffer) {
                Ok(0) => break Flow::Over,
                Ok(count) => {
                    takes(&buffer[..count]);
                    read += count;
                    if !all && read >= GULP {
                        break Flow::Dry;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Flow::Dry,
                Err(_) => break Flow::Over,
            }
        };
        if matches!(flow, Flow::Over) {
            self.from = None;
        }
    }
}

/// A child's ends, and ours.
pub(crate) struct Pipes {
    pub(crate) speaks: UnixStream,
    pub(crate) stdout: Tap,
    pub(crate) stderr: Tap,
}

/// The ends that become the child's descriptors 1, 2 and 3.
pub(crate) struct Theirs {
    stdout: OwnedFd,
    stderr: OwnedFd,
    speaks: OwnedFd,
}

pub(crate) fn pipes() -> io::Result<(Pipes, Theirs)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let ours = Pipes { speaks: near, stdout: Tap::new(stdout)?, stderr: Tap::new(stderr)? };
    Ok((ours, Theirs { stdout: their_stdout, stderr: their_stderr, speaks: far.into() }))
}

impl Theirs {
    /// In the child: they take their places. Whatever else is open is the jail's to close.
    ///
    /// # Errors
    /// The system has no descriptors left.
    #[allow(unsafe_code, reason = "dup2 has no safe wrapper in std")]
    pub(crate) fn take_their_places(self) -> io::Result<UnixStream> {
        // First out of the way of the places themselves.
        let above = |end: &OwnedFd| {
            // SAFETY: it takes numbers only, and the descriptor is open.
            check(unsafe { libc::fcntl(end.as_raw_fd(), libc::F_DUPFD, 16) })
        };
        let ends = [above(&self.stdout)?, above(&self.stderr)?, above(&self.speaks)?];
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
fn unblocks(descriptor: RawFd) -> io::Result<()> {
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
