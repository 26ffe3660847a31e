//! A jailed child, as the worker holds it.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::time::Duration;

use switchtower_contract::Change;
use switchtower_jail::{ForkedProcess, ProcessEnd};
use switchtower_worker::frames;

use crate::child_protocol::{FrameBuffer, FromChild, ToChild, VALUE_TAKEN};
use crate::pipes::{NonblockingReader, WorkerEnds};
use crate::proc_table::ProcTable;

/// A forked child with the ends of its pipes. Dropping it kills it.
pub(crate) struct Child {
    forked: ForkedProcess,
    socket: std::os::unix::net::UnixStream,
    pub(crate) stdout: NonblockingReader,
    pub(crate) stderr: NonblockingReader,
    heard: FrameBuffer,
    /// What it is given and has not read yet.
    given: Vec<u8>,
    /// What it did to files, and nobody has been told yet.
    pub(crate) unreported_changes: Vec<Change>,
    warm: bool,
    /// Processor time at the beginning of what it does now.
    cpu: Duration,
    /// Bytes of memory that it held then.
    held: u64,
    files: Files,
}

/// What a child has in its private files, in bytes.
#[derive(Default)]
struct Files {
    /// At the beginning of what it does now.
    before: u64,
    /// The most that was seen since.
    most: u64,
}

impl Child {
    pub(crate) fn new(forked: ForkedProcess, pipes: WorkerEnds) -> Self {
        let WorkerEnds { socket, stdout, stderr } = pipes;
        Self {
            forked,
            socket,
            stdout,
            stderr,
            heard: FrameBuffer::default(),
            given: Vec::new(),
            unreported_changes: Vec::new(),
            warm: false,
            cpu: Duration::ZERO,
            held: 0,
            files: Files::default(),
        }
    }

    pub(crate) fn forked(&self) -> &ForkedProcess {
        &self.forked
    }

    /// What to wait for: what it says, prints, prints as errors, and its end.
    pub(crate) fn descriptors(&self) -> [i32; 4] {
        let pidfd = self.forked.pidfd().as_raw_fd();
        [self.socket.as_raw_fd(), self.stdout.descriptor(), self.stderr.descriptor(), pidfd]
    }

    /// Hands it what to do.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn give(&mut self, given: &ToChild, processes: &ProcTable) -> io::Result<()> {
        // Afterwards it may be over before anybody looks.
        (self.cpu, self.held) = (self.processor_time(), self.resident(processes));
        let before = self.forked.file_bytes().unwrap_or(0);
        self.files = Files { before, most: before };
        self.hand(given)
    }

    fn hand(&mut self, given: &ToChild) -> io::Result<()> {
        self.given.extend(frames::encode(given)?);
        self.write_pending()
    }

    /// Writes what it is given, as far as it reads.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn write_pending(&mut self) -> io::Result<()> {
        let mut written = 0;
        let passed = loop {
            if written == self.given.len() {
                break Ok(());
            }
            match self.socket.write(&self.given[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.given.drain(..written);
        passed
    }

    /// Bytes of what it was given that it has not read.
    pub(crate) fn unread(&self) -> usize {
        self.given.len()
    }

    /// Reads what it has said; false: it says nothing more.
    pub(crate) fn read_socket(&mut self) -> bool {
        let mut buffer = [0; 64 << 10];
        loop {
            match io::Read::read(&mut self.socket, &mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.heard.push(&buffer[..count]);
                    // One thing at a time: a flood is stopped by looking at what it says.
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    pub(crate) fn next_report(&mut self) -> io::Result<Option<FromChild>> {
        self.heard.next()
    }

    /// A shown value is taken: it may go on.
    pub(crate) fn confirm_value(&mut self) {
        self.given.push(VALUE_TAKEN);
        // One that is gone is found out by its end.
        let _ = self.write_pending();
    }

    /// Its end, where it has ended.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ProcessEnd>> {
        self.forked.ended()
    }

    pub(crate) fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    pub(crate) fn signal(&self, signal: i32) {
        // It may be gone, and that is as good.
        let _ = self.forked.signal(signal);
    }

    /// Bytes of memory that it held when it was given what it does now.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Looks at what it has in files now, so that [`files`](Self::files) knows. Returns bytes and entries, in the profile in
    /// which nothing but this keeps it to their limits.
    pub(crate) fn count_files(&mut self) -> Option<(u64, u64)> {
        let watched = self.forked.folder_used();
        let bytes = watched.map(|(bytes, _)| bytes).or_else(|| self.forked.file_bytes());
        self.files.most = self.files.most.max(bytes.unwrap_or(0));
        watched
    }

    /// Counts its files for the last time.
    pub(crate) fn count_files_at_the_end(&mut self) {
        self.count_files();
        self.forked.release_files();
    }

    /// The most bytes that it was seen to have in files since it was given what it does now, beyond what it had then.
    pub(crate) fn files(&self) -> u64 {
        self.files.most - self.files.before
    }

    /// Processor time since it was given what it does now.
    pub(crate) fn used(&self) -> Duration {
        self.processor_time().saturating_sub(self.cpu)
    }

    /// Processor time since it was forked; zero where it is gone.
    fn processor_time(&self) -> Duration {
        self.forked.cpu().unwrap_or_default()
    }

    /// Bytes of memory that it holds now; zero where that cannot be looked up.
    pub(crate) fn resident(&self, processes: &ProcTable) -> u64 {
        processes.resident(self.forked.pid).unwrap_or(0)
    }

    /// The most that it has held.
    pub(crate) fn peak(&self, processes: &ProcTable) -> u64 {
        processes.peak(self.forked.pid).unwrap_or(0)
    }

    /// It has not been warmed up yet.
    pub(crate) fn is_unwarmed(&self) -> bool {
        !self.warm
    }

    /// Begins to warm it up, once. One that is gone is found out when it is needed.
    pub(crate) fn warm_up(&mut self) {
        if !std::mem::replace(&mut self.warm, true) {
            let _ = self.hand(&ToChild::WarmUp);
        }
    }

    /// It lives, and has said nothing.
    pub(crate) fn is_waiting(&mut self) -> bool {
        matches!(self.ended(), Ok(None))
    }
}
