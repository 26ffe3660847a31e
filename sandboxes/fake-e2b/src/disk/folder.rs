//! Files in a folder of this machine that is the sandbox's root.
//!
//! `/home`, `/tmp`, `/var/tmp`, `/run/e2b`, `/etc/build-tag` and all folders of `/` that this machine does not have belong to the
//! sandbox, like `/workspace`. All other paths are this machine's and read-only. A symbolic link with an absolute target leads to this
//! machine's file.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use switchtower_worker::private_folder::PrivateFolder;

use super::{ATTRIBUTE_PREFIX, DiskError, Entry, FileStore, HOME, Metadata, Modified};

pub(crate) struct HostFolder {
    root: PrivateFolder,
}

/// The prefix of the folders' names. Folders of stand-ins that were killed are removed by the next one.
const NAME_PREFIX: &str = "switchtower-e2b-";
/// The paths that belong to the sandbox although this machine has them too.
const OWN: [&str; 5] = ["/home", "/tmp", "/var/tmp", "/run/e2b", "/etc/build-tag"];

impl HostFolder {
    /// Creates the root of a new sandbox.
    pub(crate) fn new(id: &str, template: &str, tag: &str) -> io::Result<Self> {
        let temporary = std::env::temp_dir();
        // Once: folders that appear later belong to stand-ins that run.
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| {
            // A folder that cannot be removed does no harm.
            let _left = PrivateFolder::sweep(&temporary, NAME_PREFIX);
        });
        let root = PrivateFolder::create(&temporary, NAME_PREFIX)?;
        let folder = Self { root };
        for path in [HOME, "/tmp", "/var/tmp", "/run/e2b", "/run/.host", "/etc/.host", "/var/.host"] {
            std::fs::create_dir_all(folder.in_root(path))?;
        }
        std::fs::write(folder.in_root("/etc/build-tag"), tag)?;
        std::fs::write(folder.in_root("/run/e2b/.E2B_SANDBOX"), "true")?;
        std::fs::write(folder.in_root("/run/e2b/.E2B_SANDBOX_ID"), id)?;
        std::fs::write(folder.in_root("/run/e2b/.E2B_TEMPLATE_ID"), template)?;
        Ok(folder)
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Removes all files now, although others may still hold this.
    pub(crate) fn remove(&self) {
        // Dropping the folder tries again.
        let _ = std::fs::remove_dir_all(self.root.path());
    }

    /// Returns where a path of the sandbox is on this machine.
    pub(crate) fn host_path(&self, path: &str) -> PathBuf {
        if self.is_own(path) { self.in_root(path) } else { PathBuf::from(path) }
    }

    fn in_root(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn is_own(&self, path: &str) -> bool {
        let within = |own: &str| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let top = path.split('/').nth(1).unwrap_or_default();
        let is_of_machine = Path::new("/").join(top).symlink_metadata().is_ok();
        // Programs without a root of their own name their files by their paths on this machine.
        (!is_of_machine || OWN.iter().any(|own| within(own))) && !Path::new(path).starts_with(self.root.path())
    }

    /// As [`HostFolder::host_path`], for a path that is to be changed.
    fn writable_path(&self, path: &str) -> Result<PathBuf, DiskError> {
        if self.is_own(path) || Path::new(path).starts_with(self.root.path()) {
            Ok(self.host_path(path))
        } else {
            Err(DiskError::Denied(path.to_owned()))
        }
    }

    fn entry(&self, path: &str) -> Result<Entry, DiskError> {
        let host_path = self.host_path(path);
        let failed = |error| disk_error(error, path);
        let link = std::fs::read_link(&host_path).ok().map(|target| target.to_string_lossy().into_owned());
        let data = std::fs::metadata(&host_path).or_else(|_| std::fs::symlink_metadata(&host_path)).map_err(failed)?;
        Ok(Entry {
            path: path.to_owned(),
            is_folder: data.is_dir(),
            size: data.len(),
            mode: data.permissions().mode() & 0o7777,
            modified: Modified::System(data.modified().map_err(failed)?),
            symlink: link,
            metadata: read_metadata(&host_path),
        })
    }

    fn walk(&self, path: &str, depth: u32, found: &mut Vec<Entry>) -> Result<(), DiskError> {
        let host_path = self.host_path(path);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&host_path).map_err(|e| disk_error(e, path))? {
            names.push(entry.map_err(|e| disk_error(e, path))?.file_name().to_string_lossy().into_owned());
        }
        if path == "/" {
            // Beside the machine's own, the sandbox's.
            let own = std::fs::read_dir(self.root.path()).into_iter().flatten().flatten();
            names.extend(own.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            let path = format!("{}/{name}", path.trim_end_matches('/'));
            // It may have been removed since.
            let Ok(entry) = self.entry(&path) else { continue };
            let is_walked = entry.is_folder && entry.symlink.is_none() && depth > 1;
            found.push(entry);
            if is_walked {
                self.walk(&path, depth - 1, found)?;
            }
        }
        Ok(())
    }
}

/// The most that Linux keeps of all names of a file's extended attributes, and of a value.
const MAX_ATTRIBUTE_BYTES: usize = 64 << 10;

/// Returns the names of a file's metadata; none where the file system has no extended attributes.
fn metadata_names(path: &Path) -> Vec<String> {
    let mut names = vec![0; MAX_ATTRIBUTE_BYTES];
    let length = listxattr(path, names.as_mut_slice()).unwrap_or_default();
    let names = names[..length].split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    names.filter_map(|name| Some(name.strip_prefix(ATTRIBUTE_PREFIX)?.to_owned())).collect()
}

fn read_metadata(path: &Path) -> Metadata {
    let value = |name: &str| {
        let mut value = vec![0; MAX_ATTRIBUTE_BYTES];
        let length = getxattr(path, format!("{ATTRIBUTE_PREFIX}{name}"), value.as_mut_slice()).ok()?;
        Some(String::from_utf8_lossy(&value[..length]).into_owned())
    };
    metadata_names(path).into_iter().filter_map(|name| Some((name.clone(), value(&name)?))).collect()
}

fn replace_metadata(path: &Path, metadata: &Metadata) -> io::Result<()> {
    for name in metadata_names(path) {
        removexattr(path, format!("{ATTRIBUTE_PREFIX}{name}"))?;
    }
    for (name, value) in metadata {
        setxattr(path, format!("{ATTRIBUTE_PREFIX}{name}"), value.as_bytes(), XattrFlags::empty())?;
    }
    Ok(())
}

fn disk_error(error: io::Error, path: &str) -> DiskError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => DiskError::NotFound(path),
        io::ErrorKind::AlreadyExists => DiskError::Exists(path),
        io::ErrorKind::IsADirectory => DiskError::IsFolder(path),
        io::ErrorKind::NotADirectory => DiskError::NotFolder(path),
        io::ErrorKind::PermissionDenied => DiskError::Denied(path),
        _ => DiskError::Other(format!("{path}: {error}")),
    }
}

impl FileStore for HostFolder {
    fn read(&self, path: &str) -> Result<Vec<u8>, DiskError> {
        std::fs::read(self.host_path(path)).map_err(|e| disk_error(e, path))
    }

    fn write(&self, path: &str, content: &[u8], metadata: &Metadata) -> Result<Entry, DiskError> {
        let host_path = self.writable_path(path)?;
        if let Some(parent) = host_path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| disk_error(e, path))?;
        }
        std::fs::write(&host_path, content).map_err(|e| disk_error(e, path))?;
        replace_metadata(&host_path, metadata).map_err(|e| disk_error(e, path))?;
        self.entry(path)
    }

    fn stat(&self, path: &str) -> Result<Entry, DiskError> {
        self.entry(path)
    }

    fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, DiskError> {
        let mut found = Vec::new();
        self.walk(path, depth.max(1), &mut found)?;
        Ok(found)
    }

    fn make_folder(&self, path: &str) -> Result<Entry, DiskError> {
        let host_path = self.writable_path(path)?;
        if host_path.is_dir() {
            return Err(DiskError::Exists(path.to_owned()));
        }
        std::fs::create_dir_all(host_path).map_err(|e| disk_error(e, path))?;
        self.entry(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<Entry, DiskError> {
        let (source, target) = (self.writable_path(from)?, self.writable_path(to)?);
        self.entry(from)?;
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(|e| disk_error(e, to))?;
        }
        std::fs::rename(source, target).map_err(|e| disk_error(e, from))?;
        self.entry(to)
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let host_path = self.writable_path(path)?;
        let removed = match std::fs::symlink_metadata(&host_path) {
            Ok(data) if data.is_dir() => std::fs::remove_dir_all(&host_path),
            Ok(_) => std::fs::remove_file(&host_path),
            Err(e) => Err(e),
        };
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk_error(e, path)),
            _ => Ok(()),
        }
    }
}
