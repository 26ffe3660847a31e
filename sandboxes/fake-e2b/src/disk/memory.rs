//! Files in memory, for scripted kernels. Paths are absolute, as [`absolute`](super::absolute) returns them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{DiskError, Entry, HOME, Metadata, parent};

pub(crate) struct MemoryDisk {
    /// By absolute path; held for one operation.
    nodes: Mutex<BTreeMap<String, Node>>,
}

#[derive(Debug, Clone)]
struct Node {
    /// `None`: a folder.
    content: Option<Vec<u8>>,
    metadata: Metadata,
    modified: Instant,
}

impl MemoryDisk {
    /// Returns the files of a new sandbox whose `/etc/build-tag` is `tag`.
    pub(crate) fn new(tag: &str) -> Self {
        let disk = Self { nodes: Mutex::new(BTreeMap::from([("/".to_owned(), Node::new(None))])) };
        for folder in [HOME, "/tmp", "/etc", "/run/e2b", "/var/tmp"] {
            make_folders(&mut disk.nodes(), folder);
        }
        disk.nodes().insert("/etc/build-tag".to_owned(), Node::new(Some(tag.into())));
        disk
    }

    /// Returns every file, for scripts that read them; those in the home folder under their relative path too.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let nodes = self.nodes();
        let files = nodes.iter().filter_map(|(path, node)| Some((path.as_str(), node.content.as_ref()?)));
        files
            .flat_map(|(path, content)| {
                let relative = path.strip_prefix(HOME).and_then(|rest| rest.strip_prefix('/'));
                [Some(path), relative].into_iter().flatten().map(|path| (path.to_owned(), content.clone()))
            })
            .collect()
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    fn new(content: Option<Vec<u8>>) -> Self {
        Self { content, metadata: Metadata::new(), modified: Instant::now() }
    }

    fn entry(&self, path: &str) -> Entry {
        let is_folder = self.content.is_none();
        Entry {
            path: path.to_owned(),
            is_folder,
            size: self.content.as_ref().map_or(4096, |content| content.len() as u64),
            mode: if is_folder { 0o755 } else { 0o644 },
            modified: self.modified,
            metadata: self.metadata.clone(),
        }
    }
}

/// Creates a folder and those that its path names, where they do not exist.
fn make_folders(nodes: &mut BTreeMap<String, Node>, path: &str) {
    let mut path = path;
    while !nodes.contains_key(path) {
        nodes.insert(path.to_owned(), Node::new(None));
        path = parent(path);
    }
}

/// Checks that no part of a path before its last one is a file.
fn check_parents(nodes: &BTreeMap<String, Node>, path: &str) -> Result<(), DiskError> {
    let mut path = parent(path);
    loop {
        match nodes.get(path) {
            Some(Node { content: Some(_), .. }) => return Err(DiskError::NotFolder(path.to_owned())),
            Some(_) => return Ok(()),
            None => path = parent(path),
        }
    }
}

/// Whether `path` is `folder` or inside it.
fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder == "/")
}

impl MemoryDisk {
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, DiskError> {
        match self.nodes().get(path) {
            None => Err(DiskError::NotFound(path.to_owned())),
            Some(Node { content: None, .. }) => Err(DiskError::IsFolder(path.to_owned())),
            Some(Node { content: Some(content), .. }) => Ok(content.clone()),
        }
    }

    /// Writes a file with this metadata and no other, and creates the folders that its path names.
    pub(crate) fn write(&self, path: &str, content: &[u8], metadata: &Metadata) -> Result<Entry, DiskError> {
        let mut nodes = self.nodes();
        if nodes.get(path).is_some_and(|node| node.content.is_none()) {
            return Err(DiskError::IsFolder(path.to_owned()));
        }
        check_parents(&nodes, path)?;
        make_folders(&mut nodes, parent(path));
        let node = Node { metadata: metadata.clone(), ..Node::new(Some(content.to_vec())) };
        let entry = node.entry(path);
        nodes.insert(path.to_owned(), node);
        Ok(entry)
    }

    pub(crate) fn stat(&self, path: &str) -> Result<Entry, DiskError> {
        let nodes = self.nodes();
        nodes.get(path).map(|node| node.entry(path)).ok_or_else(|| DiskError::NotFound(path.to_owned()))
    }

    /// Lists a folder, and its folders down to this depth.
    pub(crate) fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, DiskError> {
        if !self.stat(path)?.is_folder {
            return Err(DiskError::NotFolder(path.to_owned()));
        }
        let level = |path: &str| path.trim_end_matches('/').matches('/').count();
        let deepest = level(path) + depth.max(1) as usize;
        let nodes = self.nodes();
        let inside = nodes.iter().filter(|(at, _)| *at != path && within(at, path) && level(at) <= deepest);
        Ok(inside.map(|(at, node)| node.entry(at)).collect())
    }

    /// Creates a folder, and those that its path names.
    pub(crate) fn make_folder(&self, path: &str) -> Result<Entry, DiskError> {
        let mut nodes = self.nodes();
        match nodes.get(path) {
            Some(Node { content: None, .. }) => return Err(DiskError::Exists(path.to_owned())),
            Some(_) => return Err(DiskError::NotFolder(path.to_owned())),
            None => check_parents(&nodes, path)?,
        }
        make_folders(&mut nodes, path);
        Ok(Node::new(None).entry(path))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<Entry, DiskError> {
        self.stat(from)?;
        let mut nodes = self.nodes();
        check_parents(&nodes, to)?;
        make_folders(&mut nodes, parent(to));
        let moved: Vec<String> = nodes.keys().filter(|path| within(path, from)).cloned().collect();
        for path in moved {
            if let Some(node) = nodes.remove(&path) {
                nodes.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        drop(nodes);
        self.stat(to)
    }

    /// Removes a file, or a folder with its content. Succeeds where there is none.
    pub(crate) fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.nodes().retain(|at, _| !within(at, path) || at == "/");
        Ok(())
    }
}
