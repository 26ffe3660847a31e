//! A connection to the parent: one order at a time, and what is reported of it. Nothing here waits.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchtower_contract::Event;
use switchtower_worker::child::has_input_or_eof;
use switchtower_worker::frames::{self, WorkerCommand, WorkerReport};
use switchtower_worker::output::SendEvent;

/// Read at once.
const CHUNK: usize = 64 << 10;
/// When so many bytes of reports wait for a slow parent, the child that they are of is not read any more.
const CONGESTED: usize = 1 << 20;

/// The worker's end of a connection.
pub(crate) struct Connection {
    socket: Arc<UnixStream>,
    /// The beginning of an order.
    orders: Vec<u8>,
    reports: ReportQueue,
}

/// ReportQueue that the parent has not taken yet. A clone is the same queue.
#[derive(Clone)]
pub(crate) struct ReportQueue(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// The parent is gone.
    is_broken: bool,
}

impl Connection {
    /// # Errors
    /// The descriptor is no socket.
    pub(crate) fn new(socket: Arc<UnixStream>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, orders: Vec::new(), reports: ReportQueue(Arc::default()) })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn reports(&self) -> &ReportQueue {
        &self.reports
    }

    /// Whether what is under way is to be ended: the parent has said something, or is gone. Meanwhile it has nothing else
    /// to say.
    pub(crate) fn is_cancelled(&self) -> bool {
        has_input_or_eof(&self.socket)
    }

    /// The next order, where all of it has come.
    ///
    /// # Errors
    /// `UnexpectedEof`: the parent is gone. Any other: what came is no order.
    pub(crate) fn order(&mut self) -> io::Result<Option<WorkerCommand>> {
        loop {
            // No more than this order is read: what comes while it is under way says that it is to be ended.
            let wanted = match self.orders.first_chunk::<4>() {
                None => 4 - self.orders.len(),
                Some(prefix) => {
                    let end = 4 + frames::length(*prefix)?;
                    if self.orders.len() == end {
                        let order = frames::decode(&self.orders[4..]);
                        self.orders = Vec::new();
                        return order.map(Some);
                    }
                    end - self.orders.len()
                }
            };
            let at = self.orders.len();
            self.orders.resize(at + wanted.min(CHUNK), 0);
            let read = (&*self.socket).read(&mut self.orders[at..]);
            self.orders.truncate(at + read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes as much of the reports as the parent takes now.
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

    /// False: the parent is gone.
    pub(crate) fn push(&self, report: &WorkerReport) -> bool {
        let mut queue = self.queue();
        match frames::encode_report(report) {
            Ok(frame) => queue.bytes.extend_from_slice(&frame),
            // Too long for anybody: the parent hears nothing of it.
            Err(_) => return false,
        }
        !queue.is_broken
    }

    /// Takes the events of one run.
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
    fn what_comes_after_an_order_cancels_it_and_is_read_after_it() {
        let (parent, ours) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(Arc::new(ours)).unwrap();
        assert!(connection.order().unwrap().is_none() && !connection.is_cancelled());
        let forgets = |kernel: KernelNumber| frames::encode(&WorkerCommand::CloseKernel { kernel }).unwrap();
        let all = [forgets(1), frames::encode(&WorkerCommand::Cancel).unwrap(), forgets(2)].concat();
        // Byte by byte for a beginning, then all that there is.
        (&parent).write_all(&all[..3]).unwrap();
        assert!(connection.order().unwrap().is_none());
        (&parent).write_all(&all[3..]).unwrap();
        assert!(matches!(connection.order(), Ok(Some(WorkerCommand::CloseKernel { kernel: 1 }))));
        assert!(connection.is_cancelled());
        assert!(matches!(connection.order(), Ok(Some(WorkerCommand::Cancel))));
        assert!(matches!(connection.order(), Ok(Some(WorkerCommand::CloseKernel { kernel: 2 }))));
        assert!(!connection.is_cancelled());
        drop(parent);
        assert!(connection.is_cancelled());
        assert_eq!(connection.order().err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn reports_that_a_slow_parent_does_not_take_wait_and_say_so() {
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
