//! The tree of files: every path that exists or existed, with the revision and the writer of its last change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use switchtower_contract::{Change, Content};

use super::path::{self, ROOTS};
use super::{Entry, FileError, FileMetadata, PathState, Revision, Writer};
use crate::memory::Charge;

/// Maximum number of paths of one session. Removed ones are included, because their names take memory too.
const MAX_PATHS: usize = 50_000;
/// Bytes charged for a path in addition to its name and content.
const NODE_BYTES: u64 = 192;

/// The files of one session. A path sorts before all paths below it. A method that fails has changed nothing, except `apply`.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Bytes of all contents.
    size: u64,
    /// Bytes of contents, names and nodes.
    cost: u64,
    /// The bytes charged, at least `cost`. Shared with the clone that `Files::apply` makes.
    charge: Arc<Charge>,
    /// Maximum of `size`.
    max: u64,
    revision: Revision,
    /// Whether the files are on a machine, or moving to one.
    pub(super) closed: bool,
}

#[derive(Debug, Clone)]
struct Node {
    kind: NodeKind,
    /// Of a file.
    metadata: FileMetadata,
    changed: Revision,
    writer: Writer,
    modified: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NodeKind {
    File(Bytes),
    Folder,
    Removed,
}

impl NodeKind {
    fn size(&self) -> u64 {
        match self {
            Self::File(content) => content.len() as u64,
            Self::Folder | Self::Removed => 0,
        }
    }

    fn content(&self) -> Content {
        match self {
            Self::File(content) => Content::File(content.clone()),
            Self::Folder => Content::Folder,
            Self::Removed => Content::Removed,
        }
    }
}

/// The writer and the time of a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    pub(super) writer: Writer,
    pub(super) at: SystemTime,
}

impl Tree {
    pub(super) fn new(max: u64, at: SystemTime, charge: Charge) -> Self {
        let root = |path: &str| {
            let node = Node {
                kind: NodeKind::Folder,
                metadata: FileMetadata::default(),
                changed: Revision::default(),
                writer: Writer::Client,
                modified: at,
            };
            (path.to_owned(), node)
        };
        // The scratch folders are not charged: they are part of the cost of a session.
        let (nodes, charge) = (ROOTS.iter().map(|path| root(path)).collect(), Arc::new(charge));
        Self { nodes, size: 0, cost: 0, charge, max, revision: Revision::default(), closed: false }
    }

    /// Reduces the charge to the current cost.
    pub(super) fn update_charge(&self) {
        self.charge.shrink(self.cost);
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the node of an existing path.
    ///
    /// # Errors
    /// `NotFound`.
    fn existing(&self, path: &str) -> Result<&Node, FileError> {
        match self.nodes.get(path) {
            Some(node) if node.kind != NodeKind::Removed => Ok(node),
            _ => Err(FileError::NotFound(path.to_owned())),
        }
    }

    /// Returns the existing nodes below a folder.
    fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a String, &'a Node)> + use<'a> {
        // `0` is the character after `/`.
        self.nodes.range(format!("{folder}/")..format!("{folder}0")).filter(|(_, node)| node.kind != NodeKind::Removed)
    }

    fn entry(path: &str, node: &Node) -> Entry {
        let folder = node.kind == NodeKind::Folder;
        let metadata = node.metadata.clone();
        Entry { path: path.to_owned(), folder, size: node.kind.size(), modified: node.modified, metadata }
    }

    pub(super) fn stat(&self, path: &str) -> Result<Entry, FileError> {
        self.existing(path).map(|node| Self::entry(path, node))
    }

    pub(super) fn read(&self, path: &str) -> Result<Bytes, FileError> {
        match &self.existing(path)?.kind {
            NodeKind::File(content) => Ok(content.clone()),
            NodeKind::Folder | NodeKind::Removed => Err(FileError::IsFolder(path.to_owned())),
        }
    }

    /// Checks that a path is an existing folder.
    fn check_folder(&self, path: &str) -> Result<(), FileError> {
        match self.existing(path)?.kind {
            NodeKind::Folder => Ok(()),
            NodeKind::File(_) | NodeKind::Removed => Err(FileError::NotFolder(path.to_owned())),
        }
    }

    pub(super) fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, FileError> {
        self.check_folder(path)?;
        let is_listed = |below: &str| below[path.len() + 1..].split('/').count() as u64 <= u64::from(depth.max(1));
        let listed = self.below(path).filter(|(below, _)| is_listed(below));
        Ok(listed.map(|(path, node)| Self::entry(path, node)).collect())
    }

    /// Returns the state of every path below a folder. `None`: there is no such folder.
    pub(super) fn states(&self, folder: &str) -> Option<BTreeMap<String, PathState>> {
        self.check_folder(folder).ok()?;
        let state = |node: &Node| PathState {
            changed: node.changed,
            folder: node.kind == NodeKind::Folder,
            writer: node.writer,
        };
        Some(self.below(folder).map(|(path, node)| (path.clone(), state(node))).collect())
    }

    /// Returns the cost, computed from all paths.
    #[cfg(test)]
    pub(super) fn recounted_cost(&self) -> u64 {
        let own = self.nodes.iter().filter(|(path, _)| !ROOTS.contains(&path.as_str()));
        own.map(|(path, node)| NODE_BYTES + path.len() as u64 + node.kind.size() + node.metadata.bytes()).sum()
    }

    /// Checks the limits for `paths` more paths, with `names` bytes of names and metadata, and `new` bytes of content in place of
    /// `old`, and raises the charge to the cost after that.
    fn reserve(&self, paths: usize, names: u64, old: u64, new: u64) -> Result<(), FileError> {
        if (self.size - old).saturating_add(new) > self.max {
            return Err(FileError::Full { max: self.max });
        }
        if self.nodes.len().saturating_add(paths) > MAX_PATHS {
            return Err(FileError::TooMany { max: MAX_PATHS });
        }
        let grows = (names + NODE_BYTES * paths as u64 + new).saturating_sub(old);
        Ok(self.charge.reach(self.cost.saturating_add(grows))?)
    }

    /// Returns the bytes of content at a path.
    fn content_size(&self, path: &str) -> u64 {
        self.nodes.get(path).map_or(0, |node| node.kind.size())
    }

    /// Returns the metadata of the file at a path.
    fn metadata(&self, path: &str) -> FileMetadata {
        self.nodes.get(path).map(|node| node.metadata.clone()).unwrap_or_default()
    }

    /// Sets the node at a path without checking the nodes above and below it.
    fn put(&mut self, path: &str, kind: NodeKind, metadata: FileMetadata, edit: Edit) -> Result<(), FileError> {
        let (old, new) = (self.content_size(path), kind.size());
        let (old_metadata, new_metadata) = (self.metadata(path).bytes(), metadata.bytes());
        let is_new = !self.nodes.contains_key(path);
        let name = if is_new { path.len() as u64 } else { 0 };
        self.reserve(usize::from(is_new), name + new_metadata.saturating_sub(old_metadata), old, new)?;
        self.size = self.size - old + new;
        self.cost = self.cost - old - old_metadata + new + new_metadata + name + if is_new { NODE_BYTES } else { 0 };
        self.revision.0 += 1;
        let node = Node { kind, metadata, changed: self.revision, writer: edit.writer, modified: edit.at };
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    /// Returns the folders above a path that do not exist, the uppermost first.
    ///
    /// # Errors
    /// `NotFolder`: a path above it is a file.
    fn missing_folders<'a>(&self, path: &'a str) -> Result<Vec<&'a str>, FileError> {
        let mut missing = Vec::new();
        for above in path::above(path) {
            if self.existing(above).is_ok() {
                self.check_folder(above)?;
                break;
            }
            missing.push(above);
        }
        missing.reverse();
        Ok(missing)
    }

    /// Sets the node at a path, and creates the folders above it.
    fn put_with_folders(
        &mut self,
        path: &str,
        kind: NodeKind,
        metadata: FileMetadata,
        edit: Edit,
    ) -> Result<(), FileError> {
        let missing = self.missing_folders(path)?;
        let new: Vec<&str> =
            missing.iter().copied().chain([path]).filter(|path| !self.nodes.contains_key(*path)).collect();
        let names = new.iter().map(|path| path.len()).sum::<usize>() as u64 + metadata.bytes();
        self.reserve(new.len(), names, self.content_size(path), kind.size())?;
        for folder in missing {
            self.put(folder, NodeKind::Folder, FileMetadata::default(), edit)?;
        }
        self.put(path, kind, metadata, edit)
    }

    pub(super) fn write(
        &mut self,
        path: &str,
        content: Bytes,
        metadata: FileMetadata,
        edit: Edit,
    ) -> Result<Entry, FileError> {
        if self.check_folder(path).is_ok() {
            return Err(FileError::IsFolder(path.to_owned()));
        }
        self.put_with_folders(path, NodeKind::File(content), metadata, edit)?;
        self.stat(path)
    }

    pub(super) fn make_folder(&mut self, path: &str, edit: Edit) -> Result<Entry, FileError> {
        match self.existing(path).map(|node| &node.kind) {
            Ok(NodeKind::Folder) => return Err(FileError::AlreadyExists(path.to_owned())),
            Ok(NodeKind::File(_) | NodeKind::Removed) => return Err(FileError::NotFolder(path.to_owned())),
            Err(_) => {}
        }
        self.put_with_folders(path, NodeKind::Folder, FileMetadata::default(), edit)?;
        self.stat(path)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, edit: Edit) -> Result<Entry, FileError> {
        let Node { kind: moved, metadata, .. } = self.existing(from)?.clone();
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
        match (&moved, self.existing(to).map(|node| &node.kind)) {
            (NodeKind::Folder, Ok(NodeKind::File(_))) => return Err(FileError::NotFolder(to.to_owned())),
            (NodeKind::File(_), Ok(NodeKind::Folder)) => return Err(FileError::IsFolder(to.to_owned())),
            (NodeKind::Folder, Ok(NodeKind::Folder)) if self.below(to).next().is_some() => {
                return Err(FileError::AlreadyExists(to.to_owned()));
            }
            _ => {}
        }
        let below: Vec<(String, Node)> =
            self.below(from).map(|(path, node)| (format!("{to}{}", &path[from.len()..]), node.clone())).collect();
        let missing = self.missing_folders(to)?;
        let names = missing.iter().copied().chain([to]).chain(below.iter().map(|(path, _)| path.as_str()));
        let of_files = metadata.bytes() + below.iter().map(|(_, node)| node.metadata.bytes()).sum::<u64>();
        let names = names.map(str::len).sum::<usize>() as u64 + of_files;
        self.reserve(missing.len() + 1 + below.len(), names, 0, 0)?;
        self.clear(from, edit)?;
        self.put_with_folders(to, moved, metadata, edit)?;
        for (path, Node { kind, metadata, .. }) in below {
            self.put(&path, kind, metadata, edit)?;
        }
        self.stat(to)
    }

    pub(super) fn remove(&mut self, path: &str, edit: Edit) -> Result<(), FileError> {
        if path::is_root(path) {
            return Err(FileError::Invalid(format!("{path} cannot be removed")));
        }
        self.existing(path)?;
        self.clear(path, edit)
    }

    /// Removes a path and everything below it.
    fn clear(&mut self, path: &str, edit: Edit) -> Result<(), FileError> {
        let below: Vec<String> = self.below(path).map(|(path, _)| path.clone()).collect();
        let mut all = below.iter().map(String::as_str).chain([path]);
        all.try_for_each(|path| self.put(path, NodeKind::Removed, FileMetadata::default(), edit))
    }

    /// Sets a path to the state that a change describes, replacing what was there. A file that is written anew keeps its
    /// metadata.
    pub(super) fn apply(&mut self, change: Change, edit: Edit) -> Result<(), FileError> {
        let path = change.path.as_str();
        let before = self.existing(path).map(|node| node.kind.clone()).unwrap_or(NodeKind::Removed);
        let kind = match change.content {
            Content::File(content) => NodeKind::File(content),
            Content::Folder => NodeKind::Folder,
            Content::Removed => NodeKind::Removed,
        };
        if before == kind || path::is_root(path) {
            return Ok(());
        }
        let metadata = match kind {
            NodeKind::File(_) => self.metadata(path),
            NodeKind::Folder | NodeKind::Removed => FileMetadata::default(),
        };
        if before != NodeKind::Removed {
            self.clear(path, edit)?;
        }
        if kind == NodeKind::Removed {
            return Ok(());
        }
        let blocking = path::above(path).find(|above| self.read(above).is_ok()).map(str::to_owned);
        if let Some(file) = blocking {
            self.clear(&file, edit)?;
        }
        self.put_with_folders(path, kind, metadata, edit)
    }

    /// Returns the changes of all other writers than `reader` since `revision`. The removal of paths below a removed folder, or
    /// below a folder that is a file now, is implied and left out.
    pub(super) fn changes_since(&self, revision: Revision, reader: Writer) -> Vec<Change> {
        // Paths that are no folder any more.
        let mut leaves: BTreeSet<&str> = BTreeSet::new();
        let mut changes = Vec::new();
        for (path, node) in self.nodes.iter().filter(|(_, node)| node.changed > revision && node.writer != reader) {
            if node.kind == NodeKind::Removed && path::above(path).any(|above| leaves.contains(above)) {
                continue;
            }
            if node.kind != NodeKind::Folder {
                leaves.insert(path);
            }
            changes.push(Change { path: path.clone(), content: node.kind.content() });
        }
        changes
    }

    /// Drops all contents and metadata. The names are kept.
    pub(super) fn drop_contents(&mut self) {
        for node in self.nodes.values_mut() {
            if let NodeKind::File(content) = &mut node.kind {
                *content = Bytes::new();
            }
            self.cost -= std::mem::take(&mut node.metadata).bytes();
        }
        self.cost -= self.size;
        self.size = 0;
        self.update_charge();
    }

    /// Returns the files that have metadata: paths, contents and metadata.
    pub(super) fn with_metadata(&self) -> Vec<(String, Bytes, BTreeMap<String, String>)> {
        let with_metadata = |(path, node): (&String, &Node)| match (&node.kind, node.metadata.pairs()) {
            (NodeKind::File(content), Some(metadata)) => Some((path.clone(), content.clone(), metadata.clone())),
            _ => None,
        };
        self.nodes.iter().filter_map(with_metadata).collect()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        let exists = |(path, node): &(&String, &Node)| node.kind != NodeKind::Removed && !path::is_root(path);
        self.nodes.iter().filter(exists).map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn all(&self) -> Vec<Change> {
        let change = |(path, node): (&String, &Node)| Change { path: path.clone(), content: node.kind.content() };
        let exists = |(path, node): &(&String, &Node)| node.kind != NodeKind::Removed && !path::is_root(path);
        self.nodes.iter().filter(exists).map(change).collect()
    }
}
