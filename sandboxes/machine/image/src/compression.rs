//! Compressed archives, recognised by their first bytes.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::error::ImportError;

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// The largest window of zstd, as a power of two: 128 MiB, which its own command allows without an option.
const MAX_WINDOW_LOG: u32 = 27;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Formats that are not read: their first bytes, their name, and the command that unpacks them.
const REFUSED: [(&[u8], &str, &str); 4] = [
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz", "xz -d"),
    (b"BZh", "bzip2", "bzip2 -d"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4", "lz4 -d"),
    (b"PK\x03\x04", "zip", "unzip"),
];

/// Returns what an archive is before its compression: gzip, zstd, or none.
///
/// # Errors
/// It cannot be read, or has another compression.
pub(crate) fn decompress<'a>(reader: impl Read + 'a) -> Result<Box<dyn Read + 'a>, ImportError> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let failed = |error: io::Error| ImportError::new(format!("the archive cannot be read: {error}"));
    let start = reader.fill_buf().map_err(failed)?;
    if let Some((_, name, command)) = REFUSED.iter().find(|(magic, _, _)| start.starts_with(magic)) {
        return Err(ImportError::new(format!("it is compressed with {name}: gzip, zstd and plain archives are read"))
            .with_remedy(format!(
                "unpack it with `{command}`; for an image, `skopeo copy --dest-compress-format gzip`"
            )));
    }
    if start.starts_with(GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(reader)));
    }
    if start.starts_with(ZSTD) {
        let mut decoder = zstd::Decoder::with_buffer(reader).map_err(failed)?;
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(failed)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(reader))
}
