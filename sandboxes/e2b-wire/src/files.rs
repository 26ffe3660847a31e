//! Files and folders as envd describes them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::control::timestamp;

/// A file or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryInfo<'a> {
    /// Absolute.
    pub path: &'a str,
    pub kind: EntryKind,
    /// Bytes.
    pub size: u64,
    /// The permission bits.
    pub mode: u32,
    pub modified: SystemTime,
    /// Where a symbolic link leads.
    pub symlink_target: Option<&'a str>,
    /// The client's own names and values.
    pub metadata: Option<&'a BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Folder,
}

impl EntryInfo<'_> {
    /// Returns the entry in the messages of `filesystem.Filesystem`.
    pub fn json(&self) -> Value {
        let mut entry = json!({
            "name": name(self.path),
            "type": match self.kind {
                EntryKind::File => "FILE_TYPE_FILE",
                EntryKind::Folder => "FILE_TYPE_DIRECTORY",
            },
            "path": self.path,
            // proto3 writes 64-bit numbers as text.
            "size": self.size.to_string(),
            "mode": self.mode,
            "permissions": self.permissions(),
            "owner": "user",
            "group": "user",
            "modifiedTime": timestamp(self.modified),
        });
        if let Some(target) = self.symlink_target {
            entry["symlinkTarget"] = target.into();
        }
        if let Some(metadata) = self.metadata {
            entry["metadata"] = json!(metadata);
        }
        entry
    }

    /// Returns the permissions as `ls -l` writes them.
    fn permissions(&self) -> String {
        let kind = if self.kind == EntryKind::Folder { 'd' } else { '-' };
        let bits = (0..9).rev().map(|bit| if self.mode >> bit & 1 == 1 { char::from(b"xwr"[bit % 3]) } else { '-' });
        std::iter::once(kind).chain(bits).collect()
    }
}

/// Returns a file in the answer to an upload.
pub fn written(path: &str, metadata: Option<&BTreeMap<String, String>>) -> Value {
    let mut entry = json!({ "path": path, "name": name(path), "type": "file" });
    if let Some(metadata) = metadata {
        entry["metadata"] = json!(metadata);
    }
    entry
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn permissions_look_like_those_of_ls() {
        let entry = |kind, mode| EntryInfo {
            path: "/x",
            kind,
            size: 0,
            mode,
            modified: UNIX_EPOCH,
            symlink_target: None,
            metadata: None,
        };
        assert_eq!(entry(EntryKind::File, 0o644).permissions(), "-rw-r--r--");
        assert_eq!(entry(EntryKind::Folder, 0o755).permissions(), "drwxr-xr-x");
    }
}
