//! Files of a root file system by their path there: links lead to places inside of it, as they do for its programs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

/// Opens what a path inside of `root` leads to.
fn open(root: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    let root = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = path.strip_prefix("/").unwrap_or(path);
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?.into())
}

/// Opens a regular file.
pub(crate) fn open_file(root: &Path, path: &Path) -> io::Result<File> {
    // A pipe would wait for its other end.
    let file = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a file", path.display())))
}

/// Returns whether `root` has something at a path. Links are followed as if `root` were `/`.
pub fn exists(root: &Path, path: impl AsRef<Path>) -> bool {
    open(root, path.as_ref(), OFlags::PATH).is_ok()
}

/// Returns the content of a regular file of `root`. Links are followed as if `root` were `/`.
///
/// # Errors
/// There is no such file, it cannot be read, or it has more than `max` bytes.
pub fn read(root: &Path, path: impl AsRef<Path>, max: u64) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let mut content = Vec::new();
    open_file(root, path)?.take(max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        return Err(io::Error::other(format!("{} has more than {max} bytes", path.display())));
    }
    Ok(content)
}
