//! The root file system that is unpacked: every path is resolved below its folder, as if that were `/`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, fchown, statat};
use rustix::io::Errno;

use crate::limits::{Budget, ImportReport};

/// The deepest folder. Paths of packages for node have about 40.
const MAX_DEPTH: usize = 200;
/// Ids of a machine, of which the last ones are nobody's.
const MACHINE_IDS: u64 = 1 << 16;
const NOBODY: u32 = 65534;
const SET_IDS: u32 = 0o6000;

/// Owner, permissions and time of a file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meta {
    pub(crate) user: u64,
    pub(crate) group: u64,
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) modified: u64,
}

/// A path of an archive: its folders, and its last part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryPath {
    folder: PathBuf,
    pub(crate) name: Vec<u8>,
}

impl EntryPath {
    /// Returns the parts of a path; `None`: it is the root.
    ///
    /// # Errors
    /// It has `..`, which no archive of a root file system needs.
    pub(crate) fn parse(path: &[u8]) -> io::Result<Option<Self>> {
        let mut folder = PathBuf::new();
        let mut parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").peekable();
        while let Some(part) = parts.next() {
            if part == b".." {
                return Err(io::Error::other("a path with `..` is refused"));
            }
            if parts.peek().is_none() {
                return Ok(Some(Self { folder, name: part.to_owned() }));
            }
            folder.push(OsStr::from_bytes(part));
        }
        Ok(None)
    }

    pub(crate) fn sibling(&self, name: &[u8]) -> Self {
        Self { folder: self.folder.clone(), name: name.to_owned() }
    }

    fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }
}

/// The root file system that is unpacked.
pub(crate) struct Tree {
    root: OwnedFd,
    /// Where it is, without links.
    path: PathBuf,
    /// Whether this user may give files to others.
    is_root: bool,
    budget: Rc<Budget>,
    pub(crate) report: ImportReport,
    /// The folder of the last file.
    last: Option<(PathBuf, OwnedFd)>,
}

impl Tree {
    /// Opens an empty folder to unpack to.
    pub(crate) fn open(folder: &Path, budget: &Rc<Budget>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(rustix::fs::CWD, folder, flags, Mode::empty())?;
        let path = path_of(root.as_fd())?;
        let is_root = rustix::process::geteuid().is_root();
        Ok(Self { root, path, is_root, budget: Rc::clone(budget), report: ImportReport::default(), last: None })
    }

    /// Returns the report, with what was counted.
    pub(crate) fn report(&self) -> ImportReport {
        ImportReport { files: self.budget.files(), bytes: self.budget.written(), ..self.report }
    }

    /// Makes a folder, or changes that of a lower layer. Something else in its place is removed.
    pub(crate) fn add_folder(&mut self, path: &EntryPath, meta: Meta) -> io::Result<()> {
        let parent = self.parent(path)?;
        if !self.found(&parent, path)?.is_some_and(|found| is_folder(&found)) {
            self.clear(&parent, path)?;
            self.budget.add_file()?;
            rustix::fs::mkdirat(&parent, path.name(), Mode::from_raw_mode(0o700))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&parent, path.name(), flags, Mode::empty())?;
        // Set-group-id of a folder gives its group to new files; set-user-id means nothing.
        let mode = meta.mode & 0o3777;
        self.set_owner(&folder, meta)?;
        let mode = if self.is_root { mode } else { mode | 0o755 };
        Ok(rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))?)
    }

    /// Makes a file with this content. What is in its place is removed.
    pub(crate) fn add_file(&mut self, path: &EntryPath, meta: Meta, content: &mut dyn Read) -> io::Result<()> {
        let parent = self.parent(path)?;
        self.clear(&parent, path)?;
        self.budget.add_file()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file: File = rustix::fs::openat(&parent, path.name(), flags, Mode::from_raw_mode(0o600))?.into();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            self.budget.add_written(count as u64)?;
            file.write_all(&buffer[..count])?;
        }
        if meta.mode & SET_IDS != 0 {
            self.report.set_id_files += 1;
        }
        self.set_owner(&file, meta)?;
        let mode = meta.mode & 0o777;
        let execution = if mode & 0o111 == 0 { 0 } else { 0o111 };
        let mode = if self.is_root { mode } else { mode | 0o444 | execution };
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        // Python compares the times of its sources with those in its compiled files.
        let time = Timespec { tv_sec: i64::try_from(meta.modified).unwrap_or(0), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        // A time that the file system cannot store is no reason to give up the file.
        let _ = rustix::fs::futimens(&file, &times);
        Ok(())
    }

    /// Makes a symbolic link. Where it leads to is never looked at here, but for paths through it, inside of the root.
    pub(crate) fn add_link(&mut self, path: &EntryPath, target: &[u8], meta: Meta) -> io::Result<()> {
        let parent = self.parent(path)?;
        self.clear(&parent, path)?;
        self.budget.add_file()?;
        rustix::fs::symlinkat(OsStr::from_bytes(target), &parent, path.name())?;
        let (user, group) = self.owner(meta);
        if let Some((user, group)) = user.zip(group) {
            let owner = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            let set = rustix::fs::chownat(&parent, path.name(), owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW);
            self.note_owner(set)?;
        }
        Ok(())
    }

    /// Gives a file of this root another name.
    pub(crate) fn add_hard_link(&mut self, path: &EntryPath, target: &EntryPath) -> io::Result<()> {
        let from = self.existing(&target.folder)?;
        let parent = self.parent(path)?;
        let linked = statat(&from, target.name(), AtFlags::SYMLINK_NOFOLLOW)?;
        if is_folder(&linked) {
            return Err(io::Error::other("a hard link to a folder is refused"));
        }
        let same = |found: &Stat| (found.st_dev, found.st_ino) == (linked.st_dev, linked.st_ino);
        if self.found(&parent, path)?.as_ref().is_some_and(same) {
            return Ok(());
        }
        self.clear(&parent, path)?;
        self.budget.add_file()?;
        Ok(rustix::fs::linkat(&from, target.name(), &parent, path.name(), AtFlags::empty())?)
    }

    /// Removes something of lower layers, if they have it.
    pub(crate) fn remove(&mut self, path: &EntryPath) -> io::Result<()> {
        let Some(parent) = self.lower_folder(path)? else { return Ok(()) };
        self.clear(&parent, path)
    }

    /// Removes what lower layers have in the folder of this path.
    pub(crate) fn empty_folder_of(&mut self, path: &EntryPath) -> io::Result<()> {
        let Some(folder) = self.lower_folder(path)? else { return Ok(()) };
        let names =
            fs::read_dir(reachable(&folder))?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.iter().try_for_each(|name| self.clear(&folder, &path.sibling(name.as_bytes())))
    }

    /// Returns the folder of a path; `None`: lower layers do not have it.
    fn lower_folder(&self, path: &EntryPath) -> io::Result<Option<OwnedFd>> {
        match self.existing(&path.folder) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what is at a path, with all that it contains.
    fn clear(&mut self, parent: &OwnedFd, path: &EntryPath) -> io::Result<()> {
        match self.found(parent, path)? {
            None => Ok(()),
            Some(found) => {
                // The folder of the last file may be in it, or it may have been the way to that.
                self.last = None;
                if is_folder(&found) {
                    return fs::remove_dir_all(reachable(parent).join(path.name()));
                }
                Ok(rustix::fs::unlinkat(parent, path.name(), AtFlags::empty())?)
            }
        }
    }

    /// Returns what is at a path. Links are not followed.
    fn found(&self, parent: &OwnedFd, path: &EntryPath) -> io::Result<Option<Stat>> {
        match statat(parent, path.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the folder that a path is in. Missing folders are made.
    fn parent(&mut self, path: &EntryPath) -> io::Result<OwnedFd> {
        if let Some((last, folder)) = &self.last
            && *last == path.folder
        {
            return folder.try_clone();
        }
        let folder = match self.existing(&path.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_folders(&path.folder)?,
            found => found?,
        };
        self.last = Some((path.folder.clone(), folder.try_clone()?));
        Ok(folder)
    }

    fn make_folders(&mut self, path: &Path) -> io::Result<OwnedFd> {
        let mut made = PathBuf::new();
        let mut folder = self.root.try_clone()?;
        for part in path {
            made.push(part);
            folder = match self.existing(&made) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.budget.add_file()?;
                    let created = rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755));
                    created.map_err(|error| match error {
                        Errno::EXIST => io::Error::other(format!("{} is a link to nothing", made.display())),
                        error => error.into(),
                    })?;
                    self.existing(&made)?
                }
                found => found?,
            };
        }
        Ok(folder)
    }

    /// Opens a folder of the root.
    fn existing(&self, path: &Path) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.root.try_clone();
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let folder = rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)?;
        let found = path_of(folder.as_fd())?;
        let below = found.strip_prefix(&self.path).map_err(|_| io::Error::other("a path leads out of the root"))?;
        if below.components().count() > MAX_DEPTH {
            return Err(io::Error::other(format!("a folder is deeper than {MAX_DEPTH} folders")));
        }
        Ok(folder)
    }

    /// Returns the ids that a file gets; `None`: it stays this user's.
    fn owner(&self, meta: Meta) -> (Option<u32>, Option<u32>) {
        let id = |id: u64| if id < MACHINE_IDS { id as u32 } else { NOBODY };
        if self.is_root { (Some(id(meta.user)), Some(id(meta.group))) } else { (None, None) }
    }

    fn set_owner(&mut self, file: impl AsFd, meta: Meta) -> io::Result<()> {
        if self.is_root && (meta.user >= MACHINE_IDS || meta.group >= MACHINE_IDS) {
            self.report.other_owners += 1;
        }
        let (Some(user), Some(group)) = self.owner(meta) else {
            self.report.other_owners += u64::from(meta.user != 0 || meta.group != 0);
            return Ok(());
        };
        let set = fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        self.note_owner(set)
    }

    /// Counts an owner that could not be set: root of a container has few ids.
    fn note_owner(&mut self, set: Result<(), Errno>) -> io::Result<()> {
        match set {
            Ok(()) => Ok(()),
            Err(Errno::INVAL | Errno::PERM) => {
                self.report.other_owners += 1;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn is_folder(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory
}

/// Returns a path by which this process reaches an open folder.
fn reachable(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

/// Returns where an open folder is.
fn path_of(folder: BorrowedFd<'_>) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_folders_and_its_name_below_the_root() {
        let parse = |path: &str| EntryPath::parse(path.as_bytes()).unwrap();
        assert_eq!(parse("./"), None);
        assert_eq!(parse("/"), None);
        for same in ["usr/bin/env", "/usr/bin/env", "./usr//bin/./env/"] {
            assert_eq!(parse(same), Some(EntryPath { folder: "usr/bin".into(), name: b"env".to_vec() }), "{same}");
        }
        for refused in ["..", "../etc", "usr/../../etc/passwd", "a/.."] {
            assert!(EntryPath::parse(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
