//! The frames of a connection.

use std::io;

use bytes::{Buf as _, BufMut as _, BytesMut};

/// Bytes before those of `DATA`.
const HEADER: usize = 9;
/// Most bytes of one `DATA`: the others of a connection wait for no more.
pub(crate) const MAX_DATA: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Open,
    Data,
    Credit,
    End,
    Stop,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Open, Self::Data, Self::Credit, Self::End, Self::Stop];
}

/// A frame without the bytes of `DATA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) stream: u32,
    pub(crate) value: u32,
}

impl Frame {
    pub(crate) fn write(self, to: &mut BytesMut) {
        to.put_u8(self.kind as u8);
        to.put_u32(self.stream);
        to.put_u32(self.value);
    }

    /// Takes a frame from the beginning of what was read, if it is there whole. The bytes of `DATA` follow.
    ///
    /// # Errors
    /// It is no frame.
    pub(crate) fn read(from: &mut BytesMut) -> io::Result<Option<Self>> {
        let Some((mut header, rest)) = from.split_at_checked(HEADER) else { return Ok(None) };
        let (kind, stream, value) = (header.get_u8(), header.get_u32(), header.get_u32());
        let kind = Kind::ALL.get(usize::from(kind)).copied().ok_or_else(|| invalid("its kind is unknown"))?;
        if kind == Kind::Data {
            if value as usize > MAX_DATA {
                return Err(invalid("it is too long"));
            }
            if rest.len() < value as usize {
                return Ok(None);
            }
        }
        from.advance(HEADER);
        Ok(Some(Self { kind, stream, value }))
    }
}

/// Returns the error of a frame that the protocol does not allow.
pub(crate) fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an invalid frame of a machine's streams: {why}"))
}
