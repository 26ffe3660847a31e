//! A client's own names and values of a file: its extended attributes with the prefix `user.e2b.`.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use axum::http::HeaderMap;
use rustix::fs::{XattrFlags, flistxattr, fremovexattr, fsetxattr, getxattr, listxattr};
use rustix::io::Errno;

/// Names without the prefix, and values.
pub type Metadata = BTreeMap<String, String>;

const ATTRIBUTE_PREFIX: &str = "user.e2b.";
/// Prefix of the headers with the metadata of an upload.
const HEADER_PREFIX: &str = "x-metadata-";
/// Maximum bytes of the metadata of a file together, and of the name of an extended attribute.
const MAX_METADATA_BYTES: usize = 4096;
const MAX_ATTRIBUTE_NAME_BYTES: usize = 255;
/// The most that Linux keeps of all names of a file's extended attributes, and of a value.
const MAX_ATTRIBUTE_BYTES: usize = 64 << 10;
/// Bytes that are tried first.
const FEW_BYTES: usize = 512;

/// Returns the metadata in the headers of an upload. Of several values of a name the first one counts.
///
/// # Errors
/// A name or a value is too long or not printable ASCII. The error is a message.
pub fn of_headers(headers: &HeaderMap) -> Result<Metadata, String> {
    let mut metadata = Metadata::new();
    let mut bytes = 0;
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(HEADER_PREFIX) else { continue };
        let value = value.to_str().map_err(|_| format!("the value of metadata key {key:?} must be printable ASCII"))?;
        if key.is_empty() {
            return Err("a metadata key must not be empty".to_owned());
        }
        if ATTRIBUTE_PREFIX.len() + key.len() > MAX_ATTRIBUTE_NAME_BYTES {
            let most = MAX_ATTRIBUTE_NAME_BYTES - ATTRIBUTE_PREFIX.len();
            return Err(format!("a metadata key may have {most} bytes"));
        }
        if !metadata.contains_key(key) {
            bytes += ATTRIBUTE_PREFIX.len() + key.len() + value.len();
            metadata.insert(key.to_owned(), value.to_owned());
        }
    }
    if bytes > MAX_METADATA_BYTES {
        return Err(format!("the metadata of a file may have {MAX_METADATA_BYTES} bytes together"));
    }
    Ok(metadata)
}

/// Calls with a small buffer, and with a large one where that is too small.
fn read_attribute(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; FEW_BYTES];
    let length = match read(&mut bytes) {
        Err(Errno::RANGE) => {
            bytes.resize(MAX_ATTRIBUTE_BYTES, 0);
            read(&mut bytes)?
        }
        length => length?,
    };
    bytes.truncate(length);
    Ok(bytes)
}

fn keys(names: &[u8]) -> impl Iterator<Item = &str> {
    let names = names.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    names.filter_map(|name| name.strip_prefix(ATTRIBUTE_PREFIX))
}

/// Returns the metadata of a file; none where the file system has no extended attributes. Values that are not text are left out.
pub(crate) fn read(path: &Path) -> Metadata {
    let Ok(names) = read_attribute(|bytes| listxattr(path, bytes)) else { return Metadata::new() };
    let value = |key: &str| {
        let value = read_attribute(|bytes| getxattr(path, format!("{ATTRIBUTE_PREFIX}{key}"), bytes)).ok()?;
        String::from_utf8(value).ok()
    };
    keys(&names).filter_map(|key| Some((key.to_owned(), value(key)?))).collect()
}

/// Replaces the metadata of an open file. A file system without extended attributes has none, which is no error.
pub(crate) fn replace(file: impl AsFd, metadata: &Metadata) -> io::Result<()> {
    let is_supported = |result: Result<(), Errno>| match result {
        Err(Errno::NOTSUP) => Ok(()),
        result => result,
    };
    let names = match read_attribute(|bytes| flistxattr(&file, bytes)) {
        Err(Errno::NOTSUP) => Vec::new(),
        names => names?,
    };
    for key in keys(&names).filter(|key| !metadata.contains_key(*key)) {
        is_supported(fremovexattr(&file, format!("{ATTRIBUTE_PREFIX}{key}")))?;
    }
    for (key, value) in metadata {
        is_supported(fsetxattr(&file, format!("{ATTRIBUTE_PREFIX}{key}"), value.as_bytes(), XattrFlags::empty()))?;
    }
    Ok(())
}
