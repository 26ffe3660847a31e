//! The private folders of children in the reduced profile, where the kernel does not limit their size.

use std::fs::{DirBuilder, read_dir};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

use switchtower_worker::private_folder::remove_tree;

/// A child's private folder, with `home` and `tmp` in it.
#[derive(Debug, Clone)]
pub(crate) struct ChildFolder {
    pub(crate) folder: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl ChildFolder {
    pub(crate) fn make(self) -> io::Result<Self> {
        for folder in [self.folder.clone(), self.home(), self.folder.join("tmp")] {
            DirBuilder::new().mode(0o700).create(folder)?;
        }
        Ok(self)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Returns the bytes and entries in it, counted until either is beyond its limit. A folder that cannot be read counts as
    /// too much: it was made to hide files. A file that was removed while open is not counted.
    pub(crate) fn used(&self) -> (u64, u64) {
        let (mut bytes, mut entries) = (0, 0);
        let mut left = vec![self.home(), self.folder.join("tmp")];
        while let Some(folder) = left.pop() {
            let found = match read_dir(&folder) {
                Ok(found) => found,
                Err(e) if gone(&e) => continue,
                Err(_) => return (self.bytes.saturating_add(1), self.entries.saturating_add(1)),
            };
            for entry in found.flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                entries += 1;
                bytes += metadata.blocks() * 512;
                if entries > self.entries || bytes > self.bytes {
                    return (bytes, entries);
                }
                if metadata.is_dir() {
                    left.push(entry.path());
                }
            }
        }
        (bytes, entries)
    }

    /// Removes it, after its child has ended.
    pub(crate) fn clear(&self) {
        remove_tree(&self.folder);
    }
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> ChildFolder {
        let folder = std::env::temp_dir().join(format!("switchtower-jail-{}-{name}", std::process::id()));
        ChildFolder { folder, bytes: 1 << 20, entries: 50 }.make().unwrap()
    }

    #[test]
    fn a_folder_of_any_depth_is_counted_and_removed() {
        let scratch = scratch("deep");
        let shell = "for i in $(seq 40); do mkdir -p d/d/d && cd d && echo x > f || exit 1; done; chmod 0 .";
        let made = std::process::Command::new("sh").args(["-c", shell]).current_dir(scratch.home()).status().unwrap();
        assert!(made.success());
        assert!(scratch.used().1 > 50);
        scratch.clear();
        assert!(!scratch.folder.exists());
    }
}
