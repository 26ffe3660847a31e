//! The files of a sandbox: a folder of this machine for sandboxes with processes, memory for scripted ones.

mod folder;
mod memory;

use std::collections::BTreeMap;

use tokio::time::Instant;

pub(crate) use folder::HostFolder;
pub(crate) use memory::MemoryDisk;

/// The home folder, where relative paths begin.
pub(crate) use switchtower_contract::python::HOME;

/// Names and values of a client's own, which a file has until it is uploaded again: its extended attributes, without their prefix.
pub(crate) type Metadata = BTreeMap<String, String>;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) is_folder: bool,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    /// By the runtime's clock.
    pub(crate) modified: Instant,
    pub(crate) metadata: Metadata,
}

/// Why a file operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("path '{0}' does not exist")]
    NotFound(String),
    #[error("path already exists: {0}")]
    Exists(String),
    #[error("path is a directory: {0}")]
    IsFolder(String),
    #[error("path is not a directory: {0}")]
    NotFolder(String),
}

/// Returns the absolute path, without `.` and `..`.
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

/// Returns the folder of a path.
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

    #[tokio::test]
    async fn metadata_of_a_file_moves_with_it_and_lasts_until_its_next_upload() {
        let store = MemoryDisk::new("tag");
        let author = Metadata::from([("author".to_owned(), "ada".to_owned())]);
        assert_eq!(store.write("/tmp/a", b"1", &author).unwrap().metadata, author);
        assert_eq!(store.write("/tmp/b", b"1", &Metadata::new()).unwrap().metadata, Metadata::new());
        assert_eq!(store.rename("/tmp/a", "/tmp/d/a").unwrap().metadata, author);
        assert_eq!(store.list("/tmp/d", 1).unwrap()[0].metadata, author);
        assert_eq!(store.write("/tmp/d/a", b"2", &Metadata::new()).unwrap().metadata, Metadata::new());
        assert_eq!(store.stat("/tmp/d/a").unwrap().metadata, Metadata::new());
    }
}
