//! The files of a session while it is local: a small tree in memory.

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

use crate::clock::WallClock;
use crate::memory::{Charge, NoSpace};
use tree::{Act, Tree};

/// The tree. The kernels of a session get what others did to it before each cell, and tell what they did after it.
pub struct Files {
    /// Every method holds it for one look or one change.
    tree: Mutex<Tree>,
    wall: WallClock,
    marks: watch::Sender<Revision>,
}

/// Who changed something: clients, or one of the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    Client,
    Kernel(u64),
}

/// A moment in the history of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub folder: bool,
    pub size: u64,
    pub modified: SystemTime,
}

/// Why a call about files does not work.
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
    #[error("the files of a session may have {most} bytes together")]
    Full { most: u64 },
    /// The caller, or the server, holds as much as it may.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    #[error("{0}")]
    Invalid(String),
    /// The session has moved, and its files with it.
    #[error("the files are on the session's machine")]
    Moved,
}

impl Files {
    /// An empty home and an empty /tmp; `most` bytes of content. `charge` pays for what it comes to hold.
    pub fn new(wall: WallClock, most: u64, charge: Charge) -> Self {
        let tree = Tree::new(most, wall.now(), charge);
        Self { marks: watch::Sender::new(tree.revision()), tree: Mutex::new(tree), wall }
    }

    /// Absolute and without `.` and `..`; relative paths begin in the home, `/home/user`.
    ///
    /// # Errors
    /// `Invalid`: a NUL is in it, or it is longer than paths are.
    pub fn absolute(path: &str) -> Result<String, FileError> {
        path::absolute(path)
    }

    /// The session's own: below /home/user or /tmp. Any other path belongs to a machine.
    pub fn is_scratch(absolute: &str) -> bool {
        path::is_scratch(absolute)
    }

    /// # Errors
    /// `NotFound`, or `IsFolder`.
    pub fn read(&self, path: &str) -> Result<Bytes, FileError> {
        self.tree().read(&scratch(path)?)
    }

    /// With the folders above it.
    ///
    /// # Errors
    /// `Full` or `NoSpace`; `IsFolder`: there is one; `NotFolder`: a file is where a folder above it would be.
    pub fn write(&self, path: &str, content: Bytes) -> Result<Entry, FileError> {
        self.change(path, |tree, path, act| tree.write(path, content, act))
    }

    /// # Errors
    /// `NotFound`.
    pub fn stat(&self, path: &str) -> Result<Entry, FileError> {
        self.tree().stat(&scratch(path)?)
    }

    /// What is in a folder, so many levels deep, and at least one.
    ///
    /// # Errors
    /// `NotFound`, or `NotFolder`.
    pub fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, FileError> {
        self.tree().list(&scratch(path)?, depth)
    }

    /// With the folders above it.
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFolder`: a file is there, or above it.
    pub fn make_folder(&self, path: &str) -> Result<Entry, FileError> {
        self.change(path, Tree::make_folder)
    }

    /// A file takes the place of a file, a folder that of an empty folder.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists`, `IsFolder`, `NotFolder`: what is at `to` cannot be replaced; `Invalid`: into itself.
    pub fn rename(&self, from: &str, to: &str) -> Result<Entry, FileError> {
        let to = scratch(to)?;
        self.change(from, |tree, from, act| tree.rename(from, &to, act))
    }

    /// A folder with all that is in it.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`: the home and /tmp stay.
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        self.change(path, Tree::remove)
    }

    /// What changed since `mark` by anyone but `reader`, parents before children, each path once with what is there now;
    /// and the mark of now.
    pub fn since(&self, mark: Revision, reader: Writer) -> (Vec<Change>, Revision) {
        let tree = self.tree();
        (tree.since(mark, reader), tree.revision())
    }

    /// All there is, for a kernel that has nothing of it, and the mark of now.
    pub fn whole(&self) -> (Vec<Change>, Revision) {
        let tree = self.tree();
        (tree.everything(), tree.revision())
    }

    /// What a kernel did. Content beyond the limit is refused as a whole. Paths outside the session's folders are the
    /// kernel's own and not kept.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, or `Invalid`: too many files. Nothing has changed then.
    pub fn apply(&self, changes: Vec<Change>, writer: Writer) -> Result<(), FileError> {
        if changes.is_empty() {
            return Ok(());
        }
        let act = Act { writer, at: self.wall.now() };
        let mut tree = self.tree();
        if tree.left {
            return Err(FileError::Moved);
        }
        // As a whole, or not at all. Contents are shared with the copy, so only names are copied.
        let mut next = tree.clone();
        for mut change in changes {
            change.path = path::absolute(&change.path)?;
            if path::is_scratch(&change.path)
                && let Err(error) = next.apply(change, act)
            {
                drop(next);
                tree.settle();
                return Err(error);
            }
        }
        *tree = next;
        tree.settle();
        self.tell(&tree);
        Ok(())
    }

    /// All there is, for a machine.
    pub fn everything(&self) -> Vec<Change> {
        self.tree().everything()
    }

    /// Where there is something.
    pub fn paths(&self) -> Vec<String> {
        self.tree().paths()
    }

    /// All there is, for a machine that has it from now on: nothing is changed here any more.
    pub fn leave(&self) -> Vec<Change> {
        let mut tree = self.tree();
        tree.left = true;
        tree.everything()
    }

    /// They are being taken to a machine, or were.
    pub fn is_closed(&self) -> bool {
        self.tree().left
    }

    /// They stay here after all.
    pub fn stay(&self) {
        self.tree().left = false;
    }

    /// Drops all contents, for a session that has moved or ended. What was there is known by name.
    pub fn forget_contents(&self) {
        self.tree().forget_contents();
    }

    /// Bytes of content held.
    pub fn size(&self) -> u64 {
        self.tree().size()
    }

    /// Counts up with every change; for those who watch.
    pub fn revision(&self) -> Revision {
        self.tree().revision()
    }

    /// Tells every new mark.
    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.marks.subscribe()
    }

    /// Every path below a folder with the moment of its last change, and whether it is a folder. `None`: there is no such
    /// folder.
    pub fn revisions(&self, folder: &str) -> Option<BTreeMap<String, (Revision, bool)>> {
        self.tree().revisions(&scratch(folder).ok()?)
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(
        &self,
        path: &str,
        change: impl FnOnce(&mut Tree, &str, Act) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let path = scratch(path)?;
        let act = Act { writer: Writer::Client, at: self.wall.now() };
        let mut tree = self.tree();
        if tree.left {
            return Err(FileError::Moved);
        }
        let done = change(&mut tree, &path, act);
        tree.settle();
        self.tell(&tree);
        done
    }

    /// Those who watch hear of what changed.
    fn tell(&self, tree: &Tree) {
        self.marks.send_if_modified(|mark| std::mem::replace(mark, tree.revision()) != tree.revision());
    }
}

/// The absolute form of a path that is the session's own.
fn scratch(path: &str) -> Result<String, FileError> {
    let absolute = path::absolute(path)?;
    if path::is_scratch(&absolute) { Ok(absolute) } else { Err(FileError::NotFound(absolute)) }
}
