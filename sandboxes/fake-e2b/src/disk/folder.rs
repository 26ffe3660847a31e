//! Files in a folder of this machine, which is the sandbox's root.
//!
//! `/home`, `/tmp`, `/var/tmp`, `/run/e2b` and `/etc/build-tag` are the sandbox's own. All other paths are this
//! machine's, and can only be read. A symbolic link with an absolute target means this machine's file.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use switchtower_worker::folder::PrivateFolder;

use super::{Entry, HOME, Modified, Store, Trouble};

pub(crate) struct Folder {
    root: PrivateFolder,
}

/// What the folders are called, before what tells them apart. Those of stand-ins that were killed are removed by the next.
const NAME: &str = "switchtower-e2b-";
/// What belongs to the sandbox.
const OWN: [&str; 5] = ["/home", "/tmp", "/var/tmp", "/run/e2b", "/etc/build-tag"];

impl Folder {
    /// A new root.
    pub(crate) fn new(id: &str, template: &str, tag: &str) -> io::Result<Self> {
        let temporary = std::env::temp_dir();
        // Once: what is left later is left by others, who are still to start.
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| {
            // What could not be removed is in nobody's way.
            let _left = PrivateFolder::sweep(&temporary, NAME);
        });
        let root = PrivateFolder::create(&temporary, NAME)?;
        let folder = Self { root };
        for path in [HOME, "/tmp", "/var/tmp", "/run/e2b", "/run/.host", "/etc/.host"] {
            std::fs::create_dir_all(folder.inside(path))?;
        }
        std::fs::write(folder.inside("/etc/build-tag"), tag)?;
        std::fs::write(folder.inside("/run/e2b/.E2B_SANDBOX"), "true")?;
        std::fs::write(folder.inside("/run/e2b/.E2B_SANDBOX_ID"), id)?;
        std::fs::write(folder.inside("/run/e2b/.E2B_TEMPLATE_ID"), template)?;
        Ok(folder)
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Takes all of it away now; whoever still holds it finds nothing.
    pub(crate) fn remove(&self) {
        // What cannot be removed is tried again when this is dropped.
        let _ = std::fs::remove_dir_all(self.root.path());
    }

    /// Where a path of the sandbox is on this machine.
    pub(crate) fn outside(&self, path: &str) -> PathBuf {
        if self.is_own(path) { self.inside(path) } else { PathBuf::from(path) }
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn is_own(&self, path: &str) -> bool {
        let within = |own: &str| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        // Where programs have no root of their own, they name their files by where these really are.
        OWN.iter().any(|own| within(own)) && !Path::new(path).starts_with(self.root.path())
    }

    /// As `outside`, for what is to be changed.
    fn to_change(&self, path: &str) -> Result<PathBuf, Trouble> {
        if self.is_own(path) || Path::new(path).starts_with(self.root.path()) {
            Ok(self.outside(path))
        } else {
            Err(Trouble::Denied(path.to_owned()))
        }
    }

    fn entry(&self, path: &str) -> Result<Entry, Trouble> {
        let place = self.outside(path);
        let trouble = |e| trouble(e, path);
        let link = std::fs::read_link(&place).ok().map(|target| target.to_string_lossy().into_owned());
        let data = std::fs::metadata(&place).or_else(|_| std::fs::symlink_metadata(&place)).map_err(trouble)?;
        Ok(Entry {
            path: path.to_owned(),
            is_dir: data.is_dir(),
            size: data.len(),
            mode: data.permissions().mode() & 0o7777,
            modified: Modified::On(data.modified().map_err(trouble)?),
            symlink: link,
        })
    }

    fn walk(&self, path: &str, depth: u32, found: &mut Vec<Entry>) -> Result<(), Trouble> {
        let place = self.outside(path);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&place).map_err(|e| trouble(e, path))? {
            names.push(entry.map_err(|e| trouble(e, path))?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        for name in names {
            let path = format!("{}/{name}", path.trim_end_matches('/'));
            // What went away in the meantime is not there.
            let Ok(entry) = self.entry(&path) else { continue };
            let deeper = entry.is_dir && entry.symlink.is_none() && depth > 1;
            found.push(entry);
            if deeper {
                self.walk(&path, depth - 1, found)?;
            }
        }
        Ok(())
    }
}

fn trouble(e: io::Error, path: &str) -> Trouble {
    let path = path.to_owned();
    match e.kind() {
        io::ErrorKind::NotFound => Trouble::NotFound(path),
        io::ErrorKind::AlreadyExists => Trouble::Exists(path),
        io::ErrorKind::IsADirectory => Trouble::IsDir(path),
        io::ErrorKind::NotADirectory => Trouble::NotDir(path),
        io::ErrorKind::PermissionDenied => Trouble::Denied(path),
        _ => Trouble::Other(format!("{path}: {e}")),
    }
}

impl Store for Folder {
    fn read(&self, path: &str) -> Result<Vec<u8>, Trouble> {
        std::fs::read(self.outside(path)).map_err(|e| trouble(e, path))
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<Entry, Trouble> {
        let place = self.to_change(path)?;
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(|e| trouble(e, path))?;
        }
        std::fs::write(&place, content).map_err(|e| trouble(e, path))?;
        self.entry(path)
    }

    fn stat(&self, path: &str) -> Result<Entry, Trouble> {
        self.entry(path)
    }

    fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, Trouble> {
        let mut found = Vec::new();
        self.walk(path, depth.max(1), &mut found)?;
        Ok(found)
    }

    fn make_dir(&self, path: &str) -> Result<Entry, Trouble> {
        let place = self.to_change(path)?;
        if place.is_dir() {
            return Err(Trouble::Exists(path.to_owned()));
        }
        std::fs::create_dir_all(place).map_err(|e| trouble(e, path))?;
        self.entry(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<Entry, Trouble> {
        let (source, target) = (self.to_change(from)?, self.to_change(to)?);
        self.entry(from)?;
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(|e| trouble(e, to))?;
        }
        std::fs::rename(source, target).map_err(|e| trouble(e, from))?;
        self.entry(to)
    }

    fn remove(&self, path: &str) -> Result<(), Trouble> {
        let place = self.to_change(path)?;
        let removed = match std::fs::symlink_metadata(&place) {
            Ok(data) if data.is_dir() => std::fs::remove_dir_all(&place),
            Ok(_) => std::fs::remove_file(&place),
            Err(e) => Err(e),
        };
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(trouble(e, path)),
            _ => Ok(()),
        }
    }
}
