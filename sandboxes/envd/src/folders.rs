//! The files of a machine: look up, list, make, move, remove. All calls here block.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, chown, mkdir};
use rustix::io::Errno;
use serde_json::Value;
use switchtower_e2b_wire::ascii;

use crate::entry;
use crate::file_error::FileError;
use crate::paths::{join, parent};
use crate::users::{User, Users};

/// Most entries of a listing.
const MAX_LISTED: usize = 50_000;
/// Most folders below each other that are copied, when a move crosses a file system.
const MAX_COPIED_DEPTH: usize = 256;

/// Where the files of a machine are for this process. Paths of the machine are absolute, without `.` and `..`.
pub trait FileRoot: Send + Sync + 'static {
    /// Returns where a path of the machine is.
    fn locate(&self, path: &str) -> PathBuf;

    /// Returns the path of the machine that is located here.
    fn path_of(&self, located: &Path) -> PathBuf;

    /// Whether callers may change what is at a path of the machine.
    fn is_writable(&self, path: &str) -> bool;

    /// Returns the folders whose entries are together those of a folder of the machine.
    fn parts_of(&self, path: &str) -> Vec<PathBuf>;
}

/// The files of a machine.
#[derive(Clone)]
pub(crate) struct Folders {
    pub(crate) root: Arc<dyn FileRoot>,
    pub(crate) users: Users,
}

impl Folders {
    pub(crate) fn stat(&self, path: &str) -> Result<Value, FileError> {
        entry::describe(self.root.as_ref(), &self.users.names(), path)
    }

    /// Returns where a path is that a call is to change.
    pub(crate) fn writable(&self, path: &str) -> Result<PathBuf, FileError> {
        if self.root.is_writable(path) { Ok(self.root.locate(path)) } else { Err(FileError::Denied(path.to_owned())) }
    }

    /// Lists a folder, and its folders down to a depth, as the text of a JSON array. Each folder comes before what it has, by name.
    pub(crate) fn list(&self, path: &str, depth: u32) -> Result<String, FileError> {
        let located = self.root.locate(path);
        let data = std::fs::metadata(located).map_err(|error| FileError::of(&error, path))?;
        if !data.is_dir() {
            return Err(FileError::NotFolder(path.to_owned()));
        }
        let names = self.users.names();
        let (mut listed, mut count) = (String::from("["), 0);
        // The rest of each folder on the way, its names in reverse.
        let mut way = vec![(path.to_owned(), self.names_in(path)?)];
        while let Some((folder, rest)) = way.last_mut() {
            let Some(name) = rest.pop() else {
                way.pop();
                continue;
            };
            let path = join(folder, &name);
            // It may have been removed since.
            let Ok(entry) = entry::describe(self.root.as_ref(), &names, &path) else { continue };
            if count == MAX_LISTED {
                let message =
                    format!("more than {MAX_LISTED} files and folders: list with a smaller depth, or a folder below");
                return Err(FileError::TooMany(message));
            }
            if count > 0 {
                listed.push(',');
            }
            count += 1;
            listed.push_str(&ascii::to_string(&entry).unwrap_or_default());
            let is_folder = entry["type"] == "FILE_TYPE_DIRECTORY" && entry.get("symlinkTarget").is_none();
            if is_folder && way.len() < depth.max(1) as usize {
                // A folder that has been removed has no names.
                let names = match self.names_in(&path) {
                    Err(FileError::NotFound(_)) => Vec::new(),
                    names => names?,
                };
                way.push((path, names));
            }
        }
        listed.push(']');
        Ok(listed)
    }

    /// Returns the names in a folder, the last one first.
    fn names_in(&self, path: &str) -> Result<Vec<String>, FileError> {
        let failed = |error: &io::Error| FileError::of(error, path);
        let mut names = Vec::new();
        for part in self.root.parts_of(path) {
            for entry in std::fs::read_dir(part).map_err(|error| failed(&error))? {
                names.push(entry.map_err(|error| failed(&error))?.file_name().to_string_lossy().into_owned());
                if names.len() > MAX_LISTED {
                    let message = format!("more than {MAX_LISTED} files and folders in {path}");
                    return Err(FileError::TooMany(message));
                }
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        names.dedup();
        Ok(names)
    }

    /// Makes a folder, and those above it, for a user.
    pub(crate) fn make(&self, path: &str, user: &User) -> Result<Value, FileError> {
        let located = self.writable(path)?;
        match std::fs::metadata(&located) {
            Ok(data) if data.is_dir() => return Err(FileError::Exists(path.to_owned())),
            Ok(_) => return Err(FileError::NotFolder(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::of(&error, path)),
        }
        self.make_all(path, user)?;
        self.stat(path)
    }

    /// Makes the folders of a path that do not exist, for a user.
    pub(crate) fn make_all(&self, path: &str, user: &User) -> Result<(), FileError> {
        let mut missing = Vec::new();
        let mut path = path;
        loop {
            match std::fs::metadata(self.root.locate(path)) {
                Ok(data) if data.is_dir() => break,
                Ok(_) => return Err(FileError::NotFolder(path.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::NotFound && path != "/" => missing.push(path),
                Err(error) => return Err(FileError::of(&error, path)),
            }
            path = parent(path);
        }
        for path in missing.into_iter().rev() {
            let located = self.writable(path)?;
            let failed = |error: Errno| FileError::of(&error.into(), path);
            match mkdir(&located, Mode::from_raw_mode(0o755)) {
                // Another call may have made it, and may not have come to its owner yet.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(error)),
            }
            let (uid, gid) = user.owner();
            chown(&located, uid, gid).map_err(failed)?;
        }
        Ok(())
    }

    /// Moves a file or a folder, and makes the folders of its new path for a user.
    pub(crate) fn rename(&self, from: &str, to: &str, user: &User) -> Result<Value, FileError> {
        let (source, target) = (self.writable(from)?, self.writable(to)?);
        std::fs::symlink_metadata(&source).map_err(|error| FileError::of(&error, from))?;
        self.make_all(parent(to), user)?;
        let moved = match std::fs::rename(&source, &target) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => move_by_copy(&source, &target),
            moved => moved,
        };
        moved.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FileError::of(&error, from),
            io::ErrorKind::InvalidInput => FileError::Invalid(format!("{from} cannot be moved into itself")),
            _ => FileError::of(&error, to),
        })?;
        self.stat(to)
    }

    /// Removes a file, or a folder with its content. Succeeds where there is none.
    pub(crate) fn remove(&self, path: &str) -> Result<(), FileError> {
        let located = self.writable(path)?;
        let removed = match std::fs::symlink_metadata(&located) {
            Ok(data) if data.is_dir() => remove_all(&located),
            Ok(_) => std::fs::remove_file(&located),
            Err(error) => Err(error),
        };
        match removed {
            // Where a folder above it is a file, there is none either.
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(FileError::of(&error, path))
            }
            _ => Ok(()),
        }
    }
}

/// Removes a folder and what is in it. A program may have made folders below each other by the thousand, each of which takes a
/// descriptor and a place on the stack: a thread of its own has room for as many as there are descriptors.
fn remove_all(folder: &Path) -> io::Result<()> {
    const STACK_BYTES: usize = 16 << 20;
    std::thread::scope(|scope| {
        let removing = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || std::fs::remove_dir_all(folder))?;
        removing.join().unwrap_or_else(|_| Err(io::Error::other("the folder was not removed")))
    })
}

/// Moves to another file system: copies, replaces what is at the target, and removes the source.
fn move_by_copy(source: &Path, target: &Path) -> io::Result<()> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    // Beside the target, so that it appears there whole.
    let copy = target.with_file_name(format!(".{name}.moving-{}", std::process::id()));
    let copied = copy_all(source, &copy, MAX_COPIED_DEPTH).and_then(|()| std::fs::rename(&copy, target));
    if copied.is_err() {
        // What could not be moved remains at its source; the copy is of no use.
        let _ = remove_all(&copy).or_else(|_| std::fs::remove_file(&copy));
        return copied;
    }
    if std::fs::symlink_metadata(source)?.is_dir() { remove_all(source) } else { std::fs::remove_file(source) }
}

/// Copies a file, a symbolic link or a folder, with owners, modes and times.
fn copy_all(source: &Path, target: &Path, depth: usize) -> io::Result<()> {
    let data = std::fs::symlink_metadata(source)?;
    let (uid, gid) = (Some(data.uid()), Some(data.gid()));
    if data.file_type().is_symlink() {
        std::os::unix::fs::symlink(std::fs::read_link(source)?, target)?;
        return std::os::unix::fs::lchown(target, uid, gid);
    }
    if data.is_dir() {
        if depth == 0 {
            return Err(io::Error::other("too many folders below each other"));
        }
        std::fs::create_dir(target)?;
        for entry in std::fs::read_dir(source)? {
            let name = entry?.file_name();
            copy_all(&source.join(&name), &target.join(&name), depth - 1)?;
        }
    } else if data.is_file() {
        std::fs::copy(source, target)?;
        let attributes = crate::metadata::read(source);
        crate::metadata::replace(std::fs::File::open(target)?, &attributes)?;
    } else {
        return Err(io::Error::other(format!("{} is neither a file nor a folder", source.display())));
    }
    std::os::unix::fs::chown(target, uid, gid)?;
    std::fs::set_permissions(target, data.permissions())?;
    std::fs::File::open(target)?.set_modified(entry::modified(&data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_copied_to_another_file_system_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        std::fs::create_dir_all(source.join("inner")).unwrap();
        std::fs::write(source.join("inner/run"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(source.join("inner/run"), std::os::unix::fs::PermissionsExt::from_mode(0o750))
            .unwrap();
        std::os::unix::fs::symlink("inner/run", source.join("link")).unwrap();
        let before = std::fs::metadata(source.join("inner/run")).unwrap();
        move_by_copy(&source, &target).unwrap();
        let after = std::fs::metadata(target.join("inner/run")).unwrap();
        assert_eq!(
            (before.mode(), before.mtime(), before.mtime_nsec()),
            (after.mode(), after.mtime(), after.mtime_nsec())
        );
        assert_eq!(std::fs::read_link(target.join("link")).unwrap(), Path::new("inner/run"));
        assert!(!source.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
