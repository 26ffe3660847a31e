//! The files of a session while it is local: a tree in memory.

mod metadata;
mod path;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use switchtower_contract::Change;
use tokio::sync::watch;

pub use metadata::FileMetadata;
pub use path::{MAX_NAME_BYTES, MAX_PATH_BYTES};
use tree::{Edit, Tree};

use crate::clock::WallClock;
use crate::memory::{Charge, NoSpace};

/// The files of one session. A kernel gets the changes of others before each cell, and reports its own after it.
pub struct Files {
    /// Held for one look-up or change.
    tree: Mutex<Tree>,
    wall: WallClock,
    revisions: watch::Sender<Revision>,
}

/// The author of a change: a client, or one of the session's kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    Client,
    Kernel(u64),
}

/// The number of a change to the files. Each change has a greater number than the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A file or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub folder: bool,
    pub size: u64,
    pub modified: SystemTime,
    pub metadata: FileMetadata,
}

/// What a watch compares of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathState {
    /// The revision of its last change.
    pub changed: Revision,
    pub folder: bool,
    /// The author of its last change.
    pub writer: Writer,
}

/// What a call does at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathUse {
    /// It looks for what is there. Outside of the session's folders, nothing is.
    Read,
    /// It changes what is there.
    Write,
}

/// Why a call about files failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("path {0:?} does not exist")]
    NotFound(String),
    #[error("path already exists: {0:?}")]
    AlreadyExists(String),
    #[error("path is a directory: {0:?}")]
    IsFolder(String),
    #[error("path is not a directory: {0:?}")]
    NotFolder(String),
    /// A path that only a machine can have. `remedy`: what would give the session one.
    #[error("path {path:?} is outside {}, the folders of this session: {}", path::ROOTS.join(" and "), advice(.remedy.as_deref()))]
    Outside { path: String, path_use: PathUse, remedy: Option<String> },
    #[error("the files of a session may have {max} bytes together: remove some")]
    Full { max: u64 },
    /// Removed paths take memory too, so removing some does not help.
    #[error("a session may have {max} files and folders, removed ones included: use another session")]
    TooMany { max: usize },
    /// The caller's share of memory, or the server's memory, is used up.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    #[error("{0}")]
    Invalid(String),
    /// The session is moving to a machine, or has moved, and its files with it.
    #[error("the files are on the session's machine")]
    Moved,
}

impl Files {
    /// Returns an empty home folder and an empty /tmp. `max`: maximum bytes of content. The bytes held are charged to `charge`.
    pub fn new(wall: WallClock, max: u64, charge: Charge) -> Self {
        let tree = Tree::new(max, wall.now(), charge);
        Self { revisions: watch::Sender::new(tree.revision()), tree: Mutex::new(tree), wall }
    }

    /// Returns the absolute form of a path, without `.` and `..`. Relative paths start in the home folder, `/home/user`.
    ///
    /// # Errors
    /// `Invalid`: it contains a NUL, or is longer than Linux allows.
    pub fn absolute(path: &str) -> Result<String, FileError> {
        path::absolute(path, path::HOME)
    }

    /// Returns the absolute form of a path for a user with this home folder.
    ///
    /// # Errors
    /// As [`absolute`](Self::absolute).
    pub fn absolute_from(path: &str, home: &str) -> Result<String, FileError> {
        path::absolute(path, home)
    }

    /// Returns whether an absolute path is in the scratch folders, /home/user and /tmp. All other paths exist only on a
    /// machine.
    pub fn is_scratch(absolute: &str) -> bool {
        path::is_scratch(absolute)
    }

    /// Returns the content of a file.
    ///
    /// # Errors
    /// `NotFound`, or `IsFolder`.
    pub fn read(&self, path: &str) -> Result<Bytes, FileError> {
        self.tree().read(&scratch(path, PathUse::Read)?)
    }

    /// Writes a file without metadata, and creates the folders above it.
    ///
    /// # Errors
    /// `Full` or `NoSpace`; `IsFolder`: the path is a folder; `NotFolder`: a path above it is a file.
    pub fn write(&self, path: &str, content: Bytes) -> Result<Entry, FileError> {
        self.write_with(path, content, FileMetadata::default())
    }

    /// Writes a file with metadata, which replaces the metadata that it had, and creates the folders above it.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_with(&self, path: &str, content: Bytes, metadata: FileMetadata) -> Result<Entry, FileError> {
        self.change(path, |tree, path, edit| tree.write(path, content, metadata, edit))
    }

    /// Returns the entry of a file or folder.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn stat(&self, path: &str) -> Result<Entry, FileError> {
        self.tree().stat(&scratch(path, PathUse::Read)?)
    }

    /// Returns the entries below a folder, down to `depth` levels (at least one).
    ///
    /// # Errors
    /// `NotFound`, or `NotFolder`.
    pub fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, FileError> {
        self.tree().list(&scratch(path, PathUse::Read)?, depth)
    }

    /// Creates a folder, and the folders above it.
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFolder`: the path or one above it is a file.
    pub fn make_folder(&self, path: &str) -> Result<Entry, FileError> {
        self.change(path, Tree::make_folder)
    }

    /// Renames a file or folder. A file may replace a file, a folder an empty folder.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists`, `IsFolder`, `NotFolder`: `to` cannot be replaced; `Invalid`: `to` is below `from`.
    pub fn rename(&self, from: &str, to: &str) -> Result<Entry, FileError> {
        let to = scratch(to, PathUse::Write)?;
        self.change(from, |tree, from, edit| tree.rename(from, &to, edit))
    }

    /// Removes a file, or a folder with everything in it.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`: it is the home folder or /tmp.
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        self.change(path, Tree::remove)
    }

    /// Returns the changes of all other writers than `reader` since `revision`, parents before children, each path once with
    /// its current content; and the current revision.
    pub fn changes_since(&self, revision: Revision, reader: Writer) -> (Vec<Change>, Revision) {
        let tree = self.tree();
        (tree.changes_since(revision, reader), tree.revision())
    }

    /// Returns all files and folders, for a kernel that has none of them, and the current revision.
    pub fn snapshot(&self) -> (Vec<Change>, Revision) {
        let tree = self.tree();
        (tree.all(), tree.revision())
    }

    /// Applies a kernel's changes, all or none. Paths outside the scratch folders are private to the kernel and are ignored.
    ///
    /// # Errors
    /// `Full`, `TooMany`, `NoSpace`; `Moved`. Nothing has changed then.
    pub fn apply(&self, changes: Vec<Change>, writer: Writer) -> Result<(), FileError> {
        if changes.is_empty() {
            return Ok(());
        }
        let edit = Edit { writer, at: self.wall.now() };
        let mut tree = self.tree();
        if tree.closed {
            return Err(FileError::Moved);
        }
        // The clone shares the contents; only names are copied.
        let mut next = tree.clone();
        for mut change in changes {
            change.path = Self::absolute(&change.path)?;
            if path::is_scratch(&change.path)
                && let Err(error) = next.apply(change, edit)
            {
                drop(next);
                tree.update_charge();
                return Err(error);
            }
        }
        *tree = next;
        tree.update_charge();
        self.notify(&tree);
        Ok(())
    }

    /// Returns the files that have metadata: paths, contents and metadata.
    pub fn with_metadata(&self) -> Vec<(String, Bytes, BTreeMap<String, String>)> {
        self.tree().with_metadata()
    }

    /// Returns the paths of all files and folders.
    pub fn paths(&self) -> Vec<String> {
        self.tree().paths()
    }

    /// Closes the files for a move to a machine, and returns them. Changes fail with `Moved` until [`reopen`](Self::reopen).
    pub fn close(&self) -> Vec<Change> {
        let mut tree = self.tree();
        tree.closed = true;
        tree.all()
    }

    /// Returns whether the files are moving to a machine, or have moved.
    pub fn is_closed(&self) -> bool {
        self.tree().closed
    }

    /// Opens the files again, after a move that failed.
    pub fn reopen(&self) {
        self.tree().closed = false;
    }

    /// Drops the contents and metadata of all files, for a session that has moved or ended. The names are kept.
    pub fn drop_contents(&self) {
        self.tree().drop_contents();
    }

    /// Returns the bytes of content held.
    pub fn size(&self) -> u64 {
        self.tree().size()
    }

    /// Returns the current revision.
    pub fn revision(&self) -> Revision {
        self.tree().revision()
    }

    /// Returns a receiver of each new revision.
    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.revisions.subscribe()
    }

    /// Returns the state of every path below a folder. `None`: there is no such folder.
    pub fn states(&self, folder: &str) -> Option<BTreeMap<String, PathState>> {
        self.tree().states(&scratch(folder, PathUse::Read).ok()?)
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(
        &self,
        path: &str,
        change: impl FnOnce(&mut Tree, &str, Edit) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let path = scratch(path, PathUse::Write)?;
        let edit = Edit { writer: Writer::Client, at: self.wall.now() };
        let mut tree = self.tree();
        if tree.closed {
            return Err(FileError::Moved);
        }
        let done = change(&mut tree, &path, edit);
        tree.update_charge();
        self.notify(&tree);
        done
    }

    /// Notifies watchers of the current revision.
    fn notify(&self, tree: &Tree) {
        self.revisions.send_if_modified(|revision| std::mem::replace(revision, tree.revision()) != tree.revision());
    }
}

/// Returns the absolute form of a path in the scratch folders.
///
/// # Errors
/// `Outside`; `Invalid`.
fn scratch(path: &str, path_use: PathUse) -> Result<String, FileError> {
    let path = Files::absolute(path)?;
    if path::is_scratch(&path) { Ok(path) } else { Err(FileError::Outside { path, path_use, remedy: None }) }
}

/// Returns what the caller of a path outside of the session's folders can do.
fn advice(remedy: Option<&str>) -> String {
    let other = remedy.map_or_else(String::new, |remedy| format!(", or {remedy}"));
    format!("use a path there{other}")
}
