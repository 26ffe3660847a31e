//! Folders for private files: each belongs to one process and is removed with it.
//!
//! A folder has a random name and is accessible to its owner alone, so that nothing that another user put into the same
//! parent folder can take its place. While its process lives, the process holds a lock on it, which the kernel releases
//! however the process ends: [`PrivateFolder::sweep`] removes exactly the folders that no process has locked. A pid
//! in the name would not suffice: pids are reused, and differ between PID namespaces.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// How often a folder is made again that a sweep of another process removed before it was locked.
const ATTEMPTS: usize = 16;
/// Random characters in a name.
const RANDOM_LENGTH: usize = 16;
/// Permission to write for the group and for all others.
const OTHERS_WRITE: u32 = 0o022;
/// In a folder with this permission only the owner of an entry may rename or remove it.
const STICKY: u32 = 0o1000;

/// A folder that is removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct PrivateFolder {
    path: PathBuf,
    /// Open and locked as long as this lives.
    lock: File,
    /// The process that made it: a copy in a forked process removes nothing.
    process: u32,
}

impl PrivateFolder {
    /// Makes a new folder in `parent`, with the permissions 0700. Its name begins with `prefix`.
    ///
    /// # Errors
    /// `parent` cannot be written to, or users other than this one and root could replace its entries.
    pub fn create(parent: &Path, prefix: &str) -> io::Result<Self> {
        check_parent(parent)?;
        for _ in 0..ATTEMPTS {
            let mut named = tempfile::Builder::new();
            named.prefix(prefix).rand_bytes(RANDOM_LENGTH).permissions(Permissions::from_mode(0o700));
            let path = with_path(parent, named.tempdir_in(parent))?.keep();
            if let Some(lock) = lock(&path)? {
                return Ok(Self { path, lock, process: std::process::id() });
            }
        }
        Err(io::Error::other(format!("{}: another process removes new folders at once", parent.display())))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folders in `parent` whose names begin with `prefix` and whose processes have ended. Where other
    /// users may write to `parent`, only this user's folders are removed. Links are not followed. Returns how many such
    /// folders could not be removed completely.
    pub fn sweep(parent: &Path, prefix: &str) -> usize {
        let Ok(entries) = fs::read_dir(parent) else { return 0 };
        let is_ours_alone = fs::metadata(parent).is_ok_and(|it| it.uid() == user() && it.mode() & OTHERS_WRITE == 0);
        let named =
            entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()));
        let abandoned = named.filter_map(|entry| {
            let path = entry.path();
            let lock = lock(&path).ok().flatten()?;
            let is_ours = is_ours_alone || lock.metadata().is_ok_and(|it| it.uid() == user());
            is_ours.then_some((path, lock))
        });
        abandoned
            .filter(|(path, _lock)| {
                remove_tree(path);
                path.exists()
            })
            .count()
    }

    /// Returns whether a process has locked the folder at `path`; false where there is no such folder.
    pub fn is_locked(path: &Path) -> bool {
        open(path).is_ok_and(|folder| matches!(folder.try_lock(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if std::process::id() == self.process {
            remove_tree(&self.path);
            // Closing releases it as well; this is for the order: not before the folder is removed.
            let _released = self.lock.unlock();
        }
    }
}

/// Locks a folder. `None`: another process has locked or removed it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let folder = match open(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return with_path(path, Err(error)),
    };
    match folder.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return with_path(path, Err(error)),
    }
    // It may have been removed between the two calls: then the lock is on a deleted folder.
    let locked = folder.metadata()?;
    let named = fs::symlink_metadata(path).ok();
    Ok(named.is_some_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino())).then_some(folder))
}

/// Opens a folder; not a link or another file of that name.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

/// Checks that no other user may rename entries of a folder, and so replace ours.
fn check_parent(parent: &Path) -> io::Result<()> {
    let found = with_path(parent, fs::metadata(parent))?;
    let refused = |why: &str| Err(io::Error::other(format!("{} {why}", parent.display())));
    if found.uid() != 0 && found.uid() != user() {
        return refused("belongs to another user, who could replace its entries");
    }
    if found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0 {
        return refused("is writable for other users and is not sticky: they could replace its entries");
    }
    Ok(())
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn with_path<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Removes a folder and everything in it, as far as this user may. No other process may change it meanwhile. Each
/// folder in it is first moved to the top, so that no depth exhausts descriptors, the stack or the length of a path.
pub fn remove_tree(top: &Path) {
    let mut moved = 0_u64;
    while let Ok(found) = fs::read_dir(top) {
        let mut any = false;
        for entry in found.flatten() {
            any |= remove_entry(&entry.path(), top, &mut moved).is_ok();
        }
        if !any {
            break;
        }
    }
    // Fails where something in it could not be removed.
    let _remains = fs::remove_dir(top);
}

/// Removes a file; or moves the folders in a folder to `top`, and removes it.
fn remove_entry(path: &Path, top: &Path, moved: &mut u64) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)?.flatten() {
        let inner = entry.path();
        if entry.file_type()?.is_dir() {
            fs::set_permissions(&inner, Permissions::from_mode(0o700))?;
            *moved += 1;
            // Programs have no folders of their own at the top, so the name is free.
            fs::rename(&inner, top.join(format!("removed-{moved}")))?;
        } else {
            fs::remove_file(inner)?;
        }
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const PREFIX: &str = "test-";

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_accessible_to_its_owner_alone_and_removed_when_it_is_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::create(parent.path(), PREFIX).unwrap();
        let other = PrivateFolder::create(parent.path(), PREFIX).unwrap();
        assert_ne!(folder.path(), other.path());
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o7777, 0o700);
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/file"), "x").unwrap();
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists() && other.path().exists());
    }

    #[test]
    fn a_sweep_removes_what_no_process_has_locked_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let held = PrivateFolder::create(parent.path(), PREFIX).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("precious"), "x").unwrap();
        symlink(elsewhere.path(), parent.path().join("test-link")).unwrap();
        fs::write(parent.path().join("test-file"), "x").unwrap();
        fs::create_dir_all(parent.path().join("test-left/deep/er")).unwrap();
        symlink(elsewhere.path(), parent.path().join("test-left/deep/link")).unwrap();
        fs::set_permissions(parent.path().join("test-left/deep"), Permissions::from_mode(0o000)).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();
        assert_eq!(PrivateFolder::sweep(parent.path(), PREFIX), 0);
        let own = held.path().file_name().unwrap().to_str().unwrap();
        let mut expected = ["other", own, "test-file", "test-link"];
        expected.sort_unstable();
        assert_eq!(names(parent.path()), expected);
        assert_eq!(names(elsewhere.path()), ["precious"]);
        assert!(PrivateFolder::is_locked(held.path()) && !PrivateFolder::is_locked(&parent.path().join("other")));
    }

    #[test]
    fn a_parent_whose_entries_others_could_replace_is_refused_and_a_sticky_one_is_not() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o777)).unwrap();
        let refused = PrivateFolder::create(parent.path(), PREFIX).unwrap_err();
        assert!(refused.to_string().contains("is not sticky"), "{refused}");
        fs::set_permissions(parent.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(PrivateFolder::create(parent.path(), PREFIX).is_ok());
        let missing = PrivateFolder::create(&parent.path().join("missing"), PREFIX).unwrap_err();
        assert!(missing.to_string().contains("missing"), "{missing}");
    }
}
