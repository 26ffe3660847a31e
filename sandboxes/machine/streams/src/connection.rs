//! The connection of both sides: its streams, and the task that reads and writes.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::entry::Entry;
use crate::frame::{Frame, Kind, MAX_DATA, invalid};
use crate::stream::Stream;

/// Most streams that are open at once. Further ones wait.
pub const MAX_STREAMS: usize = 1024;
/// Bytes that are read or written at once.
const PIECE: usize = 4 * MAX_DATA;

/// The side that opens streams. When the last copy is dropped, the connection ends.
#[derive(Debug, Clone)]
pub struct Opener {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    _driver: Arc<Driver>,
}

impl Opener {
    /// Opens streams over a connection.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(connection: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (shared, driver) = start(connection, false);
        Self { shared, places: Arc::new(Semaphore::new(MAX_STREAMS)), _driver: Arc::new(driver) }
    }

    /// Opens a stream, which the other side may accept later.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn open(&self) -> io::Result<Stream> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let mut state = self.shared.lock();
        if state.is_closed {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let number = state.next;
        state.next = number.checked_add(1).ok_or_else(|| io::Error::other("the numbers of streams are used up"))?;
        state.streams.insert(number, Entry::opened(place));
        state.queue(number);
        drop(state);
        Ok(Stream::new(Arc::clone(&self.shared), number))
    }
}

/// The side that accepts streams. When it is dropped, the connection ends.
#[derive(Debug)]
pub struct Acceptor {
    shared: Arc<Shared>,
    _driver: Driver,
}

impl Acceptor {
    /// Accepts the streams of a connection.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(connection: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (shared, driver) = start(connection, true);
        Self { shared, _driver: driver }
    }

    /// Returns the next stream; `None`: the connection has ended.
    pub async fn accept(&mut self) -> Option<Stream> {
        let number = poll_fn(|cx| {
            let mut state = self.shared.lock();
            match state.opened.pop_front() {
                Some(number) => Poll::Ready(Some(number)),
                None if state.is_closed => Poll::Ready(None),
                None => {
                    state.acceptor = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        });
        number.await.map(|number| Stream::new(Arc::clone(&self.shared), number))
    }
}

/// The task of a connection. Dropping it ends the connection.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn start(connection: impl AsyncRead + AsyncWrite + Send + 'static, accepts: bool) -> (Arc<Shared>, Driver) {
    let shared = Arc::new(Shared(Mutex::new(State { accepts, ..State::default() })));
    let open = OpenConnection(Arc::clone(&shared));
    let driver = tokio::spawn(async move {
        let (from, to) = tokio::io::split(connection);
        // All streams see the end, whatever it was.
        let _ended = tokio::select! {
            ended = read(&open.0, from) => ended,
            ended = write(&open.0, to) => ended,
        };
    });
    (shared, Driver(driver))
}

/// A connection that has not ended.
struct OpenConnection(Arc<Shared>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.lock().close();
    }
}

async fn read(shared: &Shared, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        while let Some(frame) = Frame::read(&mut buffer)? {
            let length = if frame.kind == Kind::Data { frame.value as usize } else { 0 };
            shared.lock().receive(frame, &buffer[..length])?;
            buffer.advance(length);
        }
        // What is left is less than a frame, so that the buffer does not grow.
        buffer.reserve(PIECE / 2);
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

async fn write(shared: &Shared, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        poll_fn(|cx| shared.lock().poll_frames(cx, &mut buffer)).await;
        to.write_all(&buffer).await?;
        to.flush().await?;
        buffer.clear();
    }
}

/// What the task of a connection and its streams share.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    /// Held for one step of a stream.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    streams: HashMap<u32, Entry>,
    /// Streams with something to send, each once.
    queue: VecDeque<u32>,
    writer: Option<Waker>,
    /// The number of the next stream that this side opens.
    next: u32,
    /// Whether this side accepts streams.
    accepts: bool,
    /// Streams that nobody has taken yet.
    opened: VecDeque<u32>,
    acceptor: Option<Waker>,
    is_closed: bool,
}

impl State {
    /// Does something with a stream and whether the connection has ended, and sends what follows.
    pub(crate) fn with<T>(&mut self, stream: u32, act: impl FnOnce(&mut Entry, bool) -> T) -> Option<T> {
        let done = act(self.streams.get_mut(&stream)?, self.is_closed);
        self.queue(stream);
        Some(done)
    }

    /// Queues a stream if it has something to send, and removes it if it is over.
    fn queue(&mut self, stream: u32) {
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        if entry.is_over() || self.is_closed && !entry.is_owned() {
            self.streams.remove(&stream);
        } else if entry.has_frames() && !entry.is_queued {
            entry.is_queued = true;
            self.queue.push_back(stream);
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
    }

    fn receive(&mut self, frame: Frame, bytes: &[u8]) -> io::Result<()> {
        if self.streams.contains_key(&frame.stream) {
            return self.with(frame.stream, |entry, _| entry.receive(frame, bytes)).unwrap_or(Ok(()));
        }
        if frame.kind == Kind::Open {
            if !self.accepts {
                return Err(invalid("this side opens the streams"));
            }
            self.streams.insert(frame.stream, Entry::accepted());
            self.opened.push_back(frame.stream);
            if let Some(acceptor) = self.acceptor.take() {
                acceptor.wake();
            }
        }
        Ok(())
    }

    /// Takes frames of the streams that have some, in turn.
    fn poll_frames(&mut self, cx: &Context<'_>, to: &mut BytesMut) -> Poll<()> {
        while to.len() < PIECE - 2 * MAX_DATA {
            let Some(stream) = self.queue.pop_front() else { break };
            if let Some(entry) = self.streams.get_mut(&stream) {
                entry.is_queued = false;
                entry.write_frames(stream, to);
            }
            self.queue(stream);
        }
        if to.is_empty() {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.queue.clear();
        self.streams.retain(|_, entry| {
            entry.wake();
            entry.is_owned()
        });
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.wake();
        }
    }
}
