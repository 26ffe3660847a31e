//! A connection to the parent: one command at a time, and its reports. Nothing here blocks.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchtower_contract::Event;
use switchtower_worker::child::has_input_or_eof;
use switchtower_worker::frames::{self, WorkerCommand, WorkerReport};
use switchtower_worker::output::SendEvent;

/// Most bytes of one read.
const CHUNK: usize = 64 << 10;
/// When so many bytes of reports wait for a slow parent, no more is read from the child.
const CONGESTED: usize = 1 << 20;

/// The worker's end of a connection.
pub(crate) struct Connection {
    socket: Arc<UnixStream>,
    /// The beginning of a command.
    incoming: Vec<u8>,
    reports: ReportQueue,
}

/// ReportQueue that the parent has not taken yet. A clone is the same queue.
#[derive(Clone)]
pub(crate) struct ReportQueue(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// The parent has closed the connection.
    is_broken: bool,
}

impl Connection {
    /// # Errors
    /// The descriptor is no socket.
    pub(crate) fn new(socket: Arc<UnixStream>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, incoming: Vec::new(), reports: ReportQueue(Arc::default()) })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn reports(&self) -> &ReportQueue {
        &self.reports
    }

    /// Returns whether the current command is cancelled: the parent has sent something, or has closed the connection. While a
    /// command runs it sends nothing but a cancellation.
    pub(crate) fn is_cancelled(&self) -> bool {
        has_input_or_eof(&self.socket)
    }

    /// Returns the next command, once it is complete.
    ///
    /// # Errors
    /// `UnexpectedEof`: the parent has closed the connection. Any other: the bytes are no command.
    pub(crate) fn next_command(&mut self) -> io::Result<Option<WorkerCommand>> {
        loop {
            // Reads no further than this command: bytes that come while it runs cancel it.
            let wanted = match self.incoming.first_chunk::<4>() {
                None => 4 - self.incoming.len(),
                Some(prefix) => {
                    let end = 4 + frames::length(*prefix)?;
                    if self.incoming.len() == end {
                        let command = frames::decode(&self.incoming[4..]);
                        self.incoming = Vec::new();
                        return command.map(Some);
                    }
                    end - self.incoming.len()
                }
            };
            let at = self.incoming.len();
            self.incoming.resize(at + wanted.min(CHUNK), 0);
            let read = (&*self.socket).read(&mut self.incoming[at..]);
            self.incoming.truncate(at + read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes as much of the reports as fits into the socket.
    pub(crate) fn flush(&self) {
        let mut queue = self.reports.queue();
        let mut written = 0;
        while written < queue.bytes.len() && !queue.is_broken {
            match (&*self.socket).write(&queue.bytes[written..]) {
                Ok(0) => queue.is_broken = true,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => queue.is_broken = true,
            }
        }
        queue.bytes.drain(..written);
    }
}

impl ReportQueue {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a report. Returns false where the parent has closed the connection.
    pub(crate) fn push(&self, report: &WorkerReport) -> bool {
        let mut queue = self.queue();
        match frames::encode_report(report) {
            Ok(frame) => queue.bytes.extend_from_slice(&frame),
            // Too long for a frame: it is not sent.
            Err(_) => return false,
        }
        !queue.is_broken
    }

    /// Returns a function that adds the events of one run.
    pub(crate) fn sending(&self) -> SendEvent {
        let reports = self.clone();
        Box::new(move |event: Event| reports.push(&WorkerReport::Event(event)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.queue();
        queue.bytes.is_empty() || queue.is_broken
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.queue().bytes.len() >= CONGESTED
    }
}

#[cfg(test)]
mod tests {
    use switchtower_worker::frames::KernelNumber;

    use super::*;

    #[test]
    fn bytes_after_a_command_cancel_it_and_are_read_after_it() {
        let (parent, ours) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(Arc::new(ours)).unwrap();
        assert!(connection.next_command().unwrap().is_none() && !connection.is_cancelled());
        let forgets = |kernel: KernelNumber| frames::encode(&WorkerCommand::CloseKernel { kernel }).unwrap();
        let all = [forgets(1), frames::encode(&WorkerCommand::Cancel).unwrap(), forgets(2)].concat();
        // Byte by byte for a beginning, then all that there is.
        (&parent).write_all(&all[..3]).unwrap();
        assert!(connection.next_command().unwrap().is_none());
        (&parent).write_all(&all[3..]).unwrap();
        assert!(matches!(connection.next_command(), Ok(Some(WorkerCommand::CloseKernel { kernel: 1 }))));
        assert!(connection.is_cancelled());
        assert!(matches!(connection.next_command(), Ok(Some(WorkerCommand::Cancel))));
        assert!(matches!(connection.next_command(), Ok(Some(WorkerCommand::CloseKernel { kernel: 2 }))));
        assert!(!connection.is_cancelled());
        drop(parent);
        assert!(connection.is_cancelled());
        assert_eq!(connection.next_command().err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn reports_wait_for_a_slow_parent_and_the_queue_is_congested() {
        let (parent, ours) = UnixStream::pair().unwrap();
        let connection = Connection::new(Arc::new(ours)).unwrap();
        let mut sends = connection.reports().sending();
        while !connection.reports().is_congested() {
            assert!(sends(Event::Stdout("x".repeat(1000))));
            connection.flush();
        }
        let mut buffer = [0; CHUNK];
        while !connection.reports().is_empty() {
            assert!((&parent).read(&mut buffer).unwrap() > 0);
            connection.flush();
        }
        drop(parent);
        connection.reports().push(&WorkerReport::KernelClosed);
        connection.flush();
        assert!(!sends(Event::Stdout(String::new())) && connection.reports().is_empty());
    }
}
