//! Many streams over one connection, such as a machine's standard input.
//!
//! One side opens streams, the other accepts them: [`Opener`], [`Acceptor`]. A [`Stream`] behaves as a connected Unix socket: what was
//! written before it is dropped arrives, and a writer learns that nobody reads any more.
//!
//! The other side may be hostile. It cannot open streams to an `Opener`, and for each stream at most [`WINDOW`] bytes are kept that were
//! not read yet and as many that were not taken yet, however they were cut into frames. That is why no published multiplexer is used: those
//! that were looked at keep a list of frames, and frames of one byte make it take sixty times the memory of its window. The number of
//! streams is limited where they are opened. Nothing is queued in answer to a frame, so reading never waits for writing.
//!
//! # Protocol
//!
//! A frame is one byte for its kind, the stream's number and a value, both four bytes, big endian. `DATA` has as many bytes as its value
//! says. A frame that its kind or the window does not allow ends the connection, and with it all streams; one for a stream that is gone is
//! ignored.
//!
//! | kind | name | meaning |
//! |---|---|---|
//! | 0 | `OPEN` | there is a new stream of this number |
//! | 1 | `DATA` | bytes |
//! | 2 | `CREDIT` | as many more bytes may be sent |
//! | 3 | `END` | no bytes follow |
//! | 4 | `STOP` | bytes are not read any more |

mod connection;
mod entry;
mod frame;
mod stream;

pub use connection::{Acceptor, MAX_STREAMS, Opener};
pub use entry::WINDOW;
pub use stream::Stream;
