//! The tree itself: every path that is, or was, with the moment of its last change and who made it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use switchtower_contract::{Change, Content};

use super::path::{self, ROOTS};
use super::{Entry, FileError, Revision, Writer};
use crate::memory::Charge;

/// Paths of one session, those that are gone included: their names take memory too.
const PATHS: usize = 50_000;
/// Bytes that a path takes beside its name and its content.
const NODE: u64 = 192;

/// A path sorts before all that is below it. A call that fails has changed nothing, but for `apply`.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    size: u64,
    /// Bytes that all of it takes: contents, names, and what is around them.
    cost: u64,
    /// What is charged for it; at least its cost. A copy that is tried shares it.
    charge: Arc<Charge>,
    most: u64,
    mark: Revision,
    /// It belongs to a machine now.
    pub(super) left: bool,
}

#[derive(Debug, Clone)]
struct Node {
    what: What,
    changed: Revision,
    writer: Writer,
    modified: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    File(Bytes),
    Folder,
    Gone,
}

impl What {
    fn size(&self) -> u64 {
        match self {
            Self::File(content) => content.len() as u64,
            Self::Folder | Self::Gone => 0,
        }
    }

    fn content(&self) -> Content {
        match self {
            Self::File(content) => Content::File(content.clone()),
            Self::Folder => Content::Folder,
            Self::Gone => Content::Removed,
        }
    }
}

/// Who does something, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    pub(super) writer: Writer,
    pub(super) at: SystemTime,
}

impl Tree {
    pub(super) fn new(most: u64, at: SystemTime, charge: Charge) -> Self {
        let root = |path: &str| {
            let node = Node { what: What::Folder, changed: Revision::default(), writer: Writer::Client, modified: at };
            (path.to_owned(), node)
        };
        // The roots are part of what a session costs.
        let (nodes, charge) = (ROOTS.iter().map(|path| root(path)).collect(), Arc::new(charge));
        Self { nodes, size: 0, cost: 0, charge, most, mark: Revision::default(), left: false }
    }

    /// Charges what it costs now, and no more.
    pub(super) fn settle(&self) {
        self.charge.shrink(self.cost);
    }

    pub(super) fn revision(&self) -> Revision {
        self.mark
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What is there. A path through a file leads nowhere.
    fn live(&self, path: &str) -> Result<&Node, FileError> {
        match self.nodes.get(path) {
            Some(node) if node.what != What::Gone => Ok(node),
            _ => Err(FileError::NotFound(path.to_owned())),
        }
    }

    /// Those below a folder that are not gone.
    fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a String, &'a Node)> + use<'a> {
        // `0` comes after `/`.
        self.nodes.range(format!("{folder}/")..format!("{folder}0")).filter(|(_, node)| node.what != What::Gone)
    }

    fn entry(path: &str, node: &Node) -> Entry {
        let folder = node.what == What::Folder;
        Entry { path: path.to_owned(), folder, size: node.what.size(), modified: node.modified }
    }

    pub(super) fn stat(&self, path: &str) -> Result<Entry, FileError> {
        self.live(path).map(|node| Self::entry(path, node))
    }

    pub(super) fn read(&self, path: &str) -> Result<Bytes, FileError> {
        match &self.live(path)?.what {
            What::File(content) => Ok(content.clone()),
            What::Folder | What::Gone => Err(FileError::IsFolder(path.to_owned())),
        }
    }

    fn folder(&self, path: &str) -> Result<(), FileError> {
        match self.live(path)?.what {
            What::Folder => Ok(()),
            What::File(_) | What::Gone => Err(FileError::NotFolder(path.to_owned())),
        }
    }

    pub(super) fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, FileError> {
        self.folder(path)?;
        let deep = |below: &str| below[path.len() + 1..].split('/').count() as u64 <= u64::from(depth.max(1));
        Ok(self.below(path).filter(|(below, _)| deep(below)).map(|(path, node)| Self::entry(path, node)).collect())
    }

    /// Every path below a folder with the moment of its last change. `None`: there is no such folder.
    pub(super) fn revisions(&self, folder: &str) -> Option<BTreeMap<String, (Revision, bool)>> {
        self.folder(folder).ok()?;
        let mark = |(path, node): (&String, &Node)| (path.clone(), (node.changed, node.what == What::Folder));
        Some(self.below(folder).map(mark).collect())
    }

    /// What all of it takes, counted anew path by path.
    #[cfg(test)]
    pub(super) fn recounted(&self) -> u64 {
        let own = self.nodes.iter().filter(|(path, _)| !ROOTS.contains(&path.as_str()));
        own.map(|(path, node)| NODE + path.len() as u64 + node.what.size()).sum()
    }

    /// Makes sure of room for so many more paths with names of so many bytes, and for new bytes in place of old ones.
    fn room(&self, paths: usize, names: u64, old: u64, new: u64) -> Result<(), FileError> {
        if (self.size - old).saturating_add(new) > self.most {
            return Err(FileError::Full { most: self.most });
        }
        if self.nodes.len().saturating_add(paths) > PATHS {
            let message = format!("a session may have {PATHS} files and folders, removed ones included");
            return Err(FileError::Invalid(message));
        }
        let grows = (names + NODE * paths as u64 + new).saturating_sub(old);
        Ok(self.charge.reach(self.cost.saturating_add(grows))?)
    }

    fn held(&self, path: &str) -> u64 {
        self.nodes.get(path).map_or(0, |node| node.what.size())
    }

    /// Puts something at a path, with no look at what is around it.
    fn put(&mut self, path: &str, what: What, act: Act) -> Result<(), FileError> {
        let (old, new) = (self.held(path), what.size());
        let is_new = !self.nodes.contains_key(path);
        let name = if is_new { path.len() as u64 } else { 0 };
        self.room(usize::from(is_new), name, old, new)?;
        self.size = self.size - old + new;
        self.cost = self.cost - old + new + name + if is_new { NODE } else { 0 };
        self.mark.0 += 1;
        let node = Node { what, changed: self.mark, writer: act.writer, modified: act.at };
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    /// The folders above a path that are not there, the uppermost first.
    fn missing<'a>(&self, path: &'a str) -> Result<Vec<&'a str>, FileError> {
        let mut missing = Vec::new();
        for above in path::above(path) {
            if self.live(above).is_ok() {
                self.folder(above)?;
                break;
            }
            missing.push(above);
        }
        missing.reverse();
        Ok(missing)
    }

    /// Puts something at a path, and folders above it.
    fn grow(&mut self, path: &str, what: What, act: Act) -> Result<(), FileError> {
        let missing = self.missing(path)?;
        let names = missing.iter().map(|folder| folder.len()).sum::<usize>() + path.len();
        self.room(missing.len() + 1, names as u64, self.held(path), what.size())?;
        missing.into_iter().try_for_each(|folder| self.put(folder, What::Folder, act))?;
        self.put(path, what, act)
    }

    pub(super) fn write(&mut self, path: &str, content: Bytes, act: Act) -> Result<Entry, FileError> {
        if self.folder(path).is_ok() {
            return Err(FileError::IsFolder(path.to_owned()));
        }
        self.grow(path, What::File(content), act)?;
        self.stat(path)
    }

    pub(super) fn make_folder(&mut self, path: &str, act: Act) -> Result<Entry, FileError> {
        match self.live(path).map(|node| &node.what) {
            Ok(What::Folder) => return Err(FileError::AlreadyExists(path.to_owned())),
            Ok(What::File(_) | What::Gone) => return Err(FileError::NotFolder(path.to_owned())),
            Err(_) => {}
        }
        self.grow(path, What::Folder, act)?;
        self.stat(path)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, act: Act) -> Result<Entry, FileError> {
        let moved = self.live(from)?.what.clone();
        let stays = |path: &str| path::is_root(path).then(|| FileError::Invalid(format!("{path} stays where it is")));
        if let Some(error) = stays(from).or_else(|| stays(to)) {
            return Err(error);
        }
        if to == from {
            return self.stat(from);
        }
        if to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
            return Err(FileError::Invalid(format!("{from} cannot move into itself")));
        }
        match (&moved, self.live(to).map(|node| &node.what)) {
            (What::Folder, Ok(What::File(_))) => return Err(FileError::NotFolder(to.to_owned())),
            (What::File(_), Ok(What::Folder)) => return Err(FileError::IsFolder(to.to_owned())),
            (What::Folder, Ok(What::Folder)) if self.below(to).next().is_some() => {
                return Err(FileError::AlreadyExists(to.to_owned()));
            }
            _ => {}
        }
        let below: Vec<(String, What)> =
            self.below(from).map(|(path, node)| (format!("{to}{}", &path[from.len()..]), node.what.clone())).collect();
        let missing = self.missing(to)?;
        let names = missing.iter().copied().chain([to]).chain(below.iter().map(|(path, _)| path.as_str()));
        let names = names.map(str::len).sum::<usize>() as u64;
        self.room(missing.len() + 1 + below.len(), names, 0, 0)?;
        self.clear(from, act)?;
        self.grow(to, moved, act)?;
        for (path, what) in below {
            self.put(&path, what, act)?;
        }
        self.stat(to)
    }

    /// A path that is not there is removed already.
    pub(super) fn remove(&mut self, path: &str, act: Act) -> Result<(), FileError> {
        if path::is_root(path) {
            return Err(FileError::Invalid(format!("{path} cannot be removed")));
        }
        self.live(path)?;
        self.clear(path, act)
    }

    /// A path and all below it is gone.
    fn clear(&mut self, path: &str, act: Act) -> Result<(), FileError> {
        let below: Vec<String> = self.below(path).map(|(path, _)| path.clone()).collect();
        below.iter().map(String::as_str).chain([path]).try_for_each(|path| self.put(path, What::Gone, act))
    }

    /// Brings a path into the state that a change says, whatever was there.
    pub(super) fn apply(&mut self, change: Change, act: Act) -> Result<(), FileError> {
        let path = change.path.as_str();
        let there = self.live(path).map(|node| node.what.clone()).unwrap_or(What::Gone);
        let what = match change.content {
            Content::File(content) => What::File(content),
            Content::Folder => What::Folder,
            Content::Removed => What::Gone,
        };
        if there == what || path::is_root(path) {
            return Ok(());
        }
        if there != What::Gone {
            self.clear(path, act)?;
        }
        if what == What::Gone {
            return Ok(());
        }
        let in_the_way = path::above(path).find(|above| self.read(above).is_ok()).map(str::to_owned);
        if let Some(file) = in_the_way {
            self.clear(&file, act)?;
        }
        self.grow(path, what, act)
    }

    /// What changed since `mark` by anyone but `reader`. What is below something that is gone, or that is a file now, goes
    /// without saying.
    pub(super) fn since(&self, mark: Revision, reader: Writer) -> Vec<Change> {
        let mut ends: BTreeSet<&str> = BTreeSet::new();
        let mut changes = Vec::new();
        for (path, node) in self.nodes.iter().filter(|(_, node)| node.changed > mark && node.writer != reader) {
            if node.what == What::Gone && path::above(path).any(|above| ends.contains(above)) {
                continue;
            }
            if node.what != What::Folder {
                ends.insert(path);
            }
            changes.push(Change { path: path.clone(), content: node.what.content() });
        }
        changes
    }

    /// Drops all contents: what is there is known by name alone.
    pub(super) fn forget_contents(&mut self) {
        for node in self.nodes.values_mut() {
            if let What::File(content) = &mut node.what {
                *content = Bytes::new();
            }
        }
        self.cost -= self.size;
        self.size = 0;
        self.settle();
    }

    pub(super) fn paths(&self) -> Vec<String> {
        let there = |(path, node): &(&String, &Node)| node.what != What::Gone && !path::is_root(path);
        self.nodes.iter().filter(there).map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn everything(&self) -> Vec<Change> {
        let change = |(path, node): (&String, &Node)| Change { path: path.clone(), content: node.what.content() };
        let there = |(path, node): &(&String, &Node)| node.what != What::Gone && !path::is_root(path);
        self.nodes.iter().filter(there).map(change).collect()
    }
}
