//! One stream of a connection: what is kept of it, and what is to be sent.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::ReadBuf;
use tokio::sync::OwnedSemaphorePermit;

use crate::frame::{Frame, Kind, MAX_DATA, invalid};

/// Most bytes of a stream that one side keeps in each direction.
pub const WINDOW: usize = 64 << 10;
/// Bytes that were read before more are allowed to the other side.
const CREDIT_STEP: usize = WINDOW / 2;

/// A frame without bytes that is sent once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    None,
    Due,
    Sent,
}

/// One stream, until both sides have given it up.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Whether the stream's owner has it.
    is_owned: bool,
    /// What was received and not read.
    received: VecDeque<u8>,
    /// Bytes that the other side may send.
    allowed: usize,
    /// Bytes that were read, and that the other side does not know of.
    owed: usize,
    /// Whether the other side sends no more.
    has_ended: bool,
    reader: Option<Waker>,
    /// What was written and not sent.
    written: VecDeque<u8>,
    /// Bytes that may be sent.
    credit: usize,
    /// Whether the other side reads no more.
    is_stopped: bool,
    writer: Option<Waker>,
    open: Notice,
    end: Notice,
    stop: Notice,
    /// Whether it is in the queue of those that have something to send.
    pub(crate) is_queued: bool,
    /// The place of an opened stream among those of its connection.
    _place: Option<OwnedSemaphorePermit>,
}

impl Entry {
    /// Returns a stream that this side opens, with its place.
    pub(crate) fn opened(place: OwnedSemaphorePermit) -> Self {
        Self { open: Notice::Due, _place: Some(place), ..Self::accepted() }
    }

    /// Returns a stream that the other side has opened.
    pub(crate) fn accepted() -> Self {
        Self {
            is_owned: true,
            received: VecDeque::new(),
            allowed: WINDOW,
            owed: 0,
            has_ended: false,
            reader: None,
            written: VecDeque::new(),
            credit: WINDOW,
            is_stopped: false,
            writer: None,
            open: Notice::None,
            end: Notice::None,
            stop: Notice::None,
            is_queued: false,
            _place: None,
        }
    }

    /// Takes a frame of the other side, with the bytes of `DATA`.
    ///
    /// # Errors
    /// The other side must not send it.
    pub(crate) fn receive(&mut self, frame: Frame, bytes: &[u8]) -> io::Result<()> {
        match frame.kind {
            Kind::Open => return Err(invalid("it opens a stream that is open")),
            Kind::Data if self.has_ended => return Err(invalid("it follows the end of its stream")),
            Kind::Data => {
                let left = self.allowed.checked_sub(bytes.len());
                self.allowed = left.ok_or_else(|| invalid("it is beyond the window of its stream"))?;
                // Nobody reads what comes after its owner has left.
                if self.is_owned {
                    self.received.extend(bytes);
                    wake(&mut self.reader);
                }
            }
            Kind::Credit => {
                let credit = self.credit + frame.value as usize;
                if credit > WINDOW {
                    return Err(invalid("it allows more than the window"));
                }
                self.credit = credit;
            }
            Kind::End => {
                self.has_ended = true;
                wake(&mut self.reader);
            }
            Kind::Stop => {
                self.is_stopped = true;
                self.written.clear();
                wake(&mut self.writer);
            }
        }
        Ok(())
    }

    /// Returns whether there is something to send.
    pub(crate) fn has_frames(&self) -> bool {
        self.open == Notice::Due
            || self.stop == Notice::Due
            || (self.end == Notice::Due && self.written.is_empty())
            || (!self.written.is_empty() && self.credit > 0)
            || self.is_credit_due()
    }

    fn is_credit_due(&self) -> bool {
        self.owed >= CREDIT_STEP && self.is_owned && !self.has_ended
    }

    /// Writes what there is to send, up to one `DATA`.
    pub(crate) fn write_frames(&mut self, stream: u32, to: &mut BytesMut) {
        let mut write = |kind, value: usize| Frame { kind, stream, value: value as u32 }.write(to);
        if self.open == Notice::Due {
            self.open = Notice::Sent;
            write(Kind::Open, 0);
        }
        if self.stop == Notice::Due {
            self.stop = Notice::Sent;
            write(Kind::Stop, 0);
        }
        if self.is_credit_due() {
            write(Kind::Credit, self.owed);
            self.allowed += std::mem::take(&mut self.owed);
        }
        let length = self.written.len().min(self.credit).min(MAX_DATA);
        if length > 0 {
            write(Kind::Data, length);
            let (first, second) = self.written.as_slices();
            let of_first = first.len().min(length);
            to.extend_from_slice(&first[..of_first]);
            to.extend_from_slice(&second[..length - of_first]);
            self.written.drain(..length);
            self.credit -= length;
            wake(&mut self.writer);
        }
        if self.end == Notice::Due && self.written.is_empty() {
            self.end = Notice::Sent;
            Frame { kind: Kind::End, stream, value: 0 }.write(to);
        }
    }

    /// Returns whether its owner has not left it.
    pub(crate) fn is_owned(&self) -> bool {
        self.is_owned
    }

    /// Returns whether both sides have given it up.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_owned && self.has_ended && self.end == Notice::Sent && self.stop != Notice::Due
    }

    /// Reads what there is. `is_closed`: the connection has ended.
    pub(crate) fn poll_read(
        &mut self,
        cx: &Context<'_>,
        to: &mut ReadBuf<'_>,
        is_closed: bool,
    ) -> Poll<io::Result<()>> {
        if !self.received.is_empty() {
            let (first, second) = self.received.as_slices();
            let of_first = first.len().min(to.remaining());
            to.put_slice(&first[..of_first]);
            let of_second = second.len().min(to.remaining());
            to.put_slice(&second[..of_second]);
            self.received.drain(..of_first + of_second);
            self.owed += of_first + of_second;
            return Poll::Ready(Ok(()));
        }
        if self.has_ended {
            return Poll::Ready(Ok(()));
        }
        if is_closed {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes bytes to send, as many as there is room for.
    pub(crate) fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8], is_closed: bool) -> Poll<io::Result<usize>> {
        if self.is_stopped || is_closed || self.end != Notice::None {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bytes.len().min(WINDOW - self.written.len());
        if length == 0 && !bytes.is_empty() {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.written.extend(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    /// Nothing is written any more.
    pub(crate) fn end(&mut self) {
        if self.end == Notice::None {
            self.end = Notice::Due;
        }
    }

    /// Its owner has left it.
    pub(crate) fn leave(&mut self) {
        self.is_owned = false;
        self.received = VecDeque::new();
        (self.reader, self.writer) = (None, None);
        self.end();
        if !self.has_ended {
            self.stop = Notice::Due;
        }
    }

    /// The connection has ended.
    pub(crate) fn wake(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
