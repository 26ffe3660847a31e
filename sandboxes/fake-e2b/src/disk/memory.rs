//! Files in memory, for scripted kernels.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{Entry, HOME, Modified, Store, Trouble, parent};

pub(crate) struct Memory {
    /// Protects the files; held for one operation.
    nodes: Mutex<BTreeMap<String, Node>>,
}

#[derive(Debug, Clone)]
struct Node {
    /// `None`: a folder.
    content: Option<Vec<u8>>,
    modified: Instant,
}

impl Memory {
    /// What a new sandbox has; `tag` is its build.
    pub(crate) fn new(tag: &str) -> Self {
        let disk = Self { nodes: Mutex::new(BTreeMap::from([("/".to_owned(), Node::new(None))])) };
        for folder in [HOME, "/tmp", "/etc", "/run/e2b", "/var/tmp"] {
            folders(&mut disk.nodes(), folder);
        }
        disk.nodes().insert("/etc/build-tag".to_owned(), Node::new(Some(tag.into())));
        disk
    }

    /// Every file, for a script that reads them; those at home also by their relative path.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let nodes = self.nodes();
        let files = nodes.iter().filter_map(|(path, node)| Some((path.as_str(), node.content.as_ref()?)));
        files
            .flat_map(|(path, content)| {
                let at_home = path.strip_prefix(HOME).and_then(|rest| rest.strip_prefix('/'));
                [Some(path), at_home].into_iter().flatten().map(|path| (path.to_owned(), content.clone()))
            })
            .collect()
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    fn new(content: Option<Vec<u8>>) -> Self {
        Self { content, modified: Instant::now() }
    }

    fn entry(&self, path: &str) -> Entry {
        let is_dir = self.content.is_none();
        Entry {
            path: path.to_owned(),
            is_dir,
            size: self.content.as_ref().map_or(4096, |content| content.len() as u64),
            mode: if is_dir { 0o755 } else { 0o644 },
            modified: Modified::At(self.modified),
            symlink: None,
        }
    }
}

/// Makes a folder and those on the way; leaves what is there.
fn folders(nodes: &mut BTreeMap<String, Node>, path: &str) {
    let mut path = path;
    while !nodes.contains_key(path) {
        nodes.insert(path.to_owned(), Node::new(None));
        path = parent(path);
    }
}

/// A file on the way is no folder.
fn way(nodes: &BTreeMap<String, Node>, path: &str) -> Result<(), Trouble> {
    let mut path = parent(path);
    loop {
        match nodes.get(path) {
            Some(Node { content: Some(_), .. }) => return Err(Trouble::NotDir(path.to_owned())),
            Some(_) => return Ok(()),
            None => path = parent(path),
        }
    }
}

/// Whether `path` is `folder` or inside it.
fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder == "/")
}

impl Store for Memory {
    fn read(&self, path: &str) -> Result<Vec<u8>, Trouble> {
        match self.nodes().get(path) {
            None => Err(Trouble::NotFound(path.to_owned())),
            Some(Node { content: None, .. }) => Err(Trouble::IsDir(path.to_owned())),
            Some(Node { content: Some(content), .. }) => Ok(content.clone()),
        }
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<Entry, Trouble> {
        let mut nodes = self.nodes();
        if nodes.get(path).is_some_and(|node| node.content.is_none()) {
            return Err(Trouble::IsDir(path.to_owned()));
        }
        way(&nodes, path)?;
        folders(&mut nodes, parent(path));
        let node = Node::new(Some(content.to_vec()));
        let entry = node.entry(path);
        nodes.insert(path.to_owned(), node);
        Ok(entry)
    }

    fn stat(&self, path: &str) -> Result<Entry, Trouble> {
        let nodes = self.nodes();
        nodes.get(path).map(|node| node.entry(path)).ok_or_else(|| Trouble::NotFound(path.to_owned()))
    }

    fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, Trouble> {
        if !self.stat(path)?.is_dir {
            return Err(Trouble::NotDir(path.to_owned()));
        }
        let level = |path: &str| path.trim_end_matches('/').matches('/').count();
        let deepest = level(path) + depth.max(1) as usize;
        let nodes = self.nodes();
        let inside = nodes.iter().filter(|(at, _)| *at != path && within(at, path) && level(at) <= deepest);
        Ok(inside.map(|(at, node)| node.entry(at)).collect())
    }

    fn make_dir(&self, path: &str) -> Result<Entry, Trouble> {
        let mut nodes = self.nodes();
        match nodes.get(path) {
            Some(Node { content: None, .. }) => return Err(Trouble::Exists(path.to_owned())),
            Some(_) => return Err(Trouble::NotDir(path.to_owned())),
            None => way(&nodes, path)?,
        }
        folders(&mut nodes, path);
        Ok(Node::new(None).entry(path))
    }

    fn rename(&self, from: &str, to: &str) -> Result<Entry, Trouble> {
        self.stat(from)?;
        let mut nodes = self.nodes();
        way(&nodes, to)?;
        folders(&mut nodes, parent(to));
        let moved: Vec<String> = nodes.keys().filter(|path| within(path, from)).cloned().collect();
        for path in moved {
            if let Some(node) = nodes.remove(&path) {
                nodes.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        drop(nodes);
        self.stat(to)
    }

    fn remove(&self, path: &str) -> Result<(), Trouble> {
        self.nodes().retain(|at, _| !within(at, path) || at == "/");
        Ok(())
    }
}
