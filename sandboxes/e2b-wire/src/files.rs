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
    /// The permission bits; of a symbolic link, those of what it leads to.
    pub mode: u32,
    /// As [`permissions`] writes them.
    pub permissions: String,
    pub owner: &'a str,
    pub group: &'a str,
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
    /// A device, a socket, a pipe, or a symbolic link that leads nowhere.
    Other,
}

impl EntryInfo<'_> {
    /// Returns the entry in the messages of `filesystem.Filesystem`.
    pub fn json(&self) -> Value {
        let mut entry = json!({
            "name": name(self.path),
            "path": self.path,
            // proto3 writes 64-bit numbers as text.
            "size": self.size.to_string(),
            "mode": self.mode,
            "permissions": self.permissions,
            "owner": self.owner,
            "group": self.group,
            "modifiedTime": timestamp(self.modified),
        });
        match self.kind {
            EntryKind::File => entry["type"] = "FILE_TYPE_FILE".into(),
            EntryKind::Folder => entry["type"] = "FILE_TYPE_DIRECTORY".into(),
            // proto3 leaves the type out that means none.
            EntryKind::Other => {}
        }
        if let Some(target) = self.symlink_target {
            entry["symlinkTarget"] = target.into();
        }
        if let Some(metadata) = self.metadata {
            entry["metadata"] = json!(metadata);
        }
        entry
    }
}

/// Letters of the kinds and special bits of a file, as Go writes them before the permissions.
const MODE_LETTERS: [(u32, u32, char); 10] = [
    (0o170_000, 0o040_000, 'd'),
    (0o170_000, 0o120_000, 'L'),
    (0o170_000, 0o060_000, 'D'),
    (0o170_000, 0o020_000, 'D'),
    (0o170_000, 0o010_000, 'p'),
    (0o170_000, 0o140_000, 'S'),
    (0o4_000, 0o4_000, 'u'),
    (0o2_000, 0o2_000, 'g'),
    (0o170_000, 0o020_000, 'c'),
    (0o1_000, 0o1_000, 't'),
];

/// Returns the mode of a file (`st_mode`) as envd writes it: `-rw-r--r--`, `drwxr-xr-x`, `Lrwxrwxrwx`, `dtrwxrwxrwx`.
pub fn permissions(mode: u32) -> String {
    let mut text: String =
        MODE_LETTERS.into_iter().filter(|(mask, bits, _)| mode & mask == *bits).map(|(.., letter)| letter).collect();
    if text.is_empty() {
        text.push('-');
    }
    text.extend((0..9).rev().map(|bit| if mode >> bit & 1 == 1 { char::from(b"xwr"[bit % 3]) } else { '-' }));
    text
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
    use super::*;

    #[test]
    fn permissions_are_written_as_go_writes_them() {
        for (mode, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o041_777, "dtrwxrwxrwx"),
            (0o120_777, "Lrwxrwxrwx"),
            (0o104_755, "urwxr-xr-x"),
            (0o020_666, "Dcrw-rw-rw-"),
            (0o010_600, "prw-------"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }
}
