//! The worker's handle of a jailed child.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::time::Duration;

use switchtower_contract::Change;
use switchtower_jail::{ForkedProcess, ProcessEnd};
use switchtower_worker::frames;

use crate::child_protocol::{FrameBuffer, FromChild, ToChild, VALUE_TAKEN};
use crate::pipes::{NonblockingReader, WorkerEnds};
use crate::proc_table::ProcTable;

/// A forked child and the worker's ends of its socket and pipes. Dropping it kills it.
pub(crate) struct Child {
    forked: ForkedProcess,
    socket: std::os::unix::net::UnixStream,
    pub(crate) stdout: NonblockingReader,
    pub(crate) stderr: NonblockingReader,
    incoming: FrameBuffer,
    /// Bytes for it that do not fit into the socket yet.
    outgoing: Vec<u8>,
    /// Its changes of files that have not been reported to the parent yet.
    pub(crate) unreported_changes: Vec<Change>,
    warm: bool,
    /// Processor time at the start of the current run.
    cpu: Duration,
    /// Bytes of its memory then.
    memory_at_start: u64,
    files: Files,
}

/// The bytes of a child's private files.
#[derive(Default)]
struct Files {
    /// At the start of the current run.
    before: u64,
    /// The maximum seen since.
    max: u64,
}

impl Child {
    pub(crate) fn new(forked: ForkedProcess, pipes: WorkerEnds) -> Self {
        let WorkerEnds { socket, stdout, stderr } = pipes;
        Self {
            forked,
            socket,
            stdout,
            stderr,
            incoming: FrameBuffer::default(),
            outgoing: Vec::new(),
            unreported_changes: Vec::new(),
            warm: false,
            cpu: Duration::ZERO,
            memory_at_start: 0,
            files: Files::default(),
        }
    }

    pub(crate) fn forked(&self) -> &ForkedProcess {
        &self.forked
    }

    /// Returns its socket, standard output, standard error and pidfd.
    pub(crate) fn descriptors(&self) -> [i32; 4] {
        let pidfd = self.forked.pidfd().as_raw_fd();
        [self.socket.as_raw_fd(), self.stdout.descriptor(), self.stderr.descriptor(), pidfd]
    }

    /// Gives it something to run.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn assign(&mut self, message: &ToChild, processes: &ProcTable) -> io::Result<()> {
        // It may end before the next step.
        (self.cpu, self.memory_at_start) = (self.processor_time(), self.resident(processes));
        let before = self.forked.file_bytes().unwrap_or(0);
        self.files = Files { before, max: before };
        self.send(message)
    }

    fn send(&mut self, message: &ToChild) -> io::Result<()> {
        self.outgoing.extend(frames::encode(message)?);
        self.write_pending()
    }

    /// Writes as much of its message as fits into the socket.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn write_pending(&mut self) -> io::Result<()> {
        let mut written = 0;
        let passed = loop {
            if written == self.outgoing.len() {
                break Ok(());
            }
            match self.socket.write(&self.outgoing[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.outgoing.drain(..written);
        passed
    }

    /// Returns the bytes of its message that do not fit into the socket yet.
    pub(crate) fn unread(&self) -> usize {
        self.outgoing.len()
    }

    /// Reads from its socket. Returns false where it has closed it.
    pub(crate) fn read_socket(&mut self) -> bool {
        let mut buffer = [0; 64 << 10];
        loop {
            match io::Read::read(&mut self.socket, &mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.incoming.push(&buffer[..count]);
                    // One read at a time: a flood is stopped by decoding what it sent.
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    pub(crate) fn next_report(&mut self) -> io::Result<Option<FromChild>> {
        self.incoming.next()
    }

    /// Confirms a shown value, so that the child continues.
    pub(crate) fn confirm_value(&mut self) {
        self.outgoing.push(VALUE_TAKEN);
        // Where it has ended, the pidfd says so.
        let _ = self.write_pending();
    }

    /// Returns how it ended, if it has ended.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ProcessEnd>> {
        self.forked.ended()
    }

    pub(crate) fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    pub(crate) fn signal(&self, signal: i32) {
        // It may have ended already.
        let _ = self.forked.signal(signal);
    }

    /// Returns the bytes of its memory at the start of the current run.
    pub(crate) fn memory_at_start(&self) -> u64 {
        self.memory_at_start
    }

    /// Counts its files, for [`files`](Self::files). Returns bytes and entries in the reduced profile, where the worker
    /// enforces their limits.
    pub(crate) fn count_files(&mut self) -> Option<(u64, u64)> {
        let watched = self.forked.folder_used();
        let bytes = watched.map(|(bytes, _)| bytes).or_else(|| self.forked.file_bytes());
        self.files.max = self.files.max.max(bytes.unwrap_or(0));
        watched
    }

    /// Counts its files for the last time.
    pub(crate) fn count_files_finally(&mut self) {
        self.count_files();
        self.forked.release_files();
    }

    /// Returns the maximum of bytes in files seen during the current run, beyond those at its start.
    pub(crate) fn files(&self) -> u64 {
        self.files.max - self.files.before
    }

    /// Returns the processor time of the current run.
    pub(crate) fn used(&self) -> Duration {
        self.processor_time().saturating_sub(self.cpu)
    }

    /// Returns its processor time since the fork; zero where it has ended.
    fn processor_time(&self) -> Duration {
        self.forked.cpu().unwrap_or_default()
    }

    /// Returns the bytes of its memory; zero where that is not known.
    pub(crate) fn resident(&self, processes: &ProcTable) -> u64 {
        processes.resident(self.forked.pid).unwrap_or(0)
    }

    /// Returns the peak of its memory in bytes.
    pub(crate) fn peak(&self, processes: &ProcTable) -> u64 {
        processes.peak(self.forked.pid).unwrap_or(0)
    }

    /// Returns whether it has not been warmed up yet.
    pub(crate) fn is_unwarmed(&self) -> bool {
        !self.warm
    }

    /// Tells it to warm up, once. Where it has ended, that is noticed when it is needed.
    pub(crate) fn warm_up(&mut self) {
        if !std::mem::replace(&mut self.warm, true) {
            let _ = self.send(&ToChild::WarmUp);
        }
    }

    /// Returns whether it runs.
    pub(crate) fn is_waiting(&mut self) -> bool {
        matches!(self.ended(), Ok(None))
    }
}
