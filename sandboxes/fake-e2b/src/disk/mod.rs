//! A sandbox's files.

mod folder;
mod memory;

use std::sync::Arc;

use tokio::time::Instant;

pub(crate) use folder::Folder;
pub(crate) use memory::Memory;

/// Where relative paths begin.
pub(crate) const HOME: &str = "/home/user";

pub(crate) type Disk = Arc<dyn Store>;

/// Files by absolute paths that [`absolute`] has made.
pub(crate) trait Store: Send + Sync {
    fn read(&self, path: &str) -> Result<Vec<u8>, Trouble>;
    /// Makes the folders on the way.
    fn write(&self, path: &str, content: &[u8]) -> Result<Entry, Trouble>;
    fn stat(&self, path: &str) -> Result<Entry, Trouble>;
    /// What is in a folder, and in its folders down to this depth.
    fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, Trouble>;
    /// Makes the folders on the way.
    fn make_dir(&self, path: &str) -> Result<Entry, Trouble>;
    fn rename(&self, from: &str, to: &str) -> Result<Entry, Trouble>;
    /// What is not there is removed already.
    fn remove(&self, path: &str) -> Result<(), Trouble>;
}

/// A file or a folder, as the wire describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) is_dir: bool,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) modified: Modified,
    pub(crate) symlink: Option<String>,
}

/// When something was changed, on either clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modified {
    At(Instant),
    On(std::time::SystemTime),
}

/// A file operation that did not take place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("path '{0}' does not exist")]
    NotFound(String),
    #[error("path already exists: {0}")]
    Exists(String),
    #[error("path is a directory: {0}")]
    IsDir(String),
    #[error("path is not a directory: {0}")]
    NotDir(String),
    #[error("permission denied: {0}")]
    Denied(String),
    #[error("{0}")]
    Other(String),
}

impl Entry {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// As `ls -l` writes it.
    pub(crate) fn permissions(&self) -> String {
        let kind = if self.is_dir { 'd' } else { '-' };
        let bits = (0..9).rev().map(|bit| if self.mode >> bit & 1 == 1 { b"xwr"[bit % 3] as char } else { '-' });
        std::iter::once(kind).chain(bits).collect()
    }
}

/// The absolute path, without dots.
pub(crate) fn absolute(path: &str, cwd: &str) -> String {
    let from_home = path.strip_prefix("~").filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let whole = match from_home {
        Some(rest) => format!("{HOME}/{rest}"),
        None if path.starts_with('/') => path.to_owned(),
        None => format!("{cwd}/{path}"),
    };
    let mut parts = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The folder that holds this.
fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_form() {
        for (path, form) in [
            ("x", "/home/user/x"),
            ("./a/../b//c/", "/home/user/b/c"),
            ("/tmp/../../etc", "/etc"),
            ("~/x", "/home/user/x"),
            ("~", "/home/user"),
            ("/", "/"),
        ] {
            assert_eq!(absolute(path, HOME), form);
        }
    }

    #[test]
    fn permissions_look_like_those_of_ls() {
        let entry = Memory::new("t").stat("/etc/build-tag").unwrap();
        assert_eq!(entry.permissions(), "-rw-r--r--");
    }
}
