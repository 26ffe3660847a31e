//! Frames: one byte that names the kind, the length of the payload as four bytes (big-endian), and the payload.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Most bytes of a payload.
const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// Kinds of frames to the backend.
pub(super) mod to_backend {
    pub(crate) const CONTROL: u8 = 0;
    pub(crate) const STDOUT: u8 = 1;
    pub(crate) const STDERR: u8 = 2;
    pub(crate) const END: u8 = 3;
}

/// Kinds of frames from the backend.
pub(super) mod from_backend {
    pub(crate) const CONTROL: u8 = 0;
    pub(crate) const STDIN: u8 = 1;
    pub(crate) const CLOSE_STDIN: u8 = 2;
    pub(crate) const SIGNAL: u8 = 3;
}

/// Reads a frame: its kind and its payload.
pub(super) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let kind = reader.read_u8().await?;
    let length = usize::try_from(reader.read_u32().await?).unwrap_or(usize::MAX);
    if length > MAX_PAYLOAD_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).await?;
    Ok((kind, payload))
}

/// Writes a frame. `payload` has at most [`MAX_PAYLOAD_BYTES`].
pub(super) async fn write(writer: &mut (impl AsyncWrite + Unpin), kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    writer.write_all(&[&[kind], length.to_be_bytes().as_slice(), payload].concat()).await?;
    writer.flush().await
}
