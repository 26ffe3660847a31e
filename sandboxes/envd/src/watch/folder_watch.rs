//! The changes of one folder, and of those in it, as the kernel reports them (inotify).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{Code, Error};

use crate::entry;
use crate::file_error::FileError;
use crate::folders::Folders;
use crate::paths::join;

/// Most folders of a watch.
const MAX_FOLDERS: usize = 8192;
/// Most events that new folders have: as many as the kernel keeps.
const MAX_SCANNED: usize = 16_384;
/// Bytes of events that are read from the kernel at once.
const BUFFER_BYTES: usize = 4096;
/// File systems on other machines, whose changes the kernel does not see: NFS, SMB and FUSE.
const NETWORK_MOUNTS: [u32; 5] = [0x6969, 0xFF53_4D42, 0x517B, 0xFE53_4D42, 0x6573_5546];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatchOptions {
    pub(crate) recursive: bool,
    /// Whether an event has the entry of its path, if that still exists.
    pub(crate) include_entry: bool,
    pub(crate) allow_network_mounts: bool,
}

pub(crate) struct FolderWatch {
    inotify: OwnedFd,
    folders: Folders,
    path: String,
    options: WatchOptions,
    /// The paths of watched folders, relative to the watched one, by the kernel's number. That of the watched one itself is empty.
    paths: HashMap<i32, String>,
    numbers: BTreeMap<String, i32>,
    /// Paths that were found in a new folder and reported, whose event the kernel may have reported too. Until its events are read.
    scanned: HashSet<String>,
}

/// An event of the kernel.
struct RawEvent {
    number: i32,
    flags: ReadFlags,
    /// Empty: the watched folder itself.
    name: String,
}

impl FolderWatch {
    pub(crate) fn new(folders: Folders, path: String, options: WatchOptions) -> Result<Self, FileError> {
        let located = folders.root.locate(&path);
        let failed = |error: &io::Error| FileError::of(error, &path);
        if !std::fs::metadata(&located).map_err(|error| failed(&error))?.is_dir() {
            return Err(FileError::NotFolder(path));
        }
        if !options.allow_network_mounts {
            let kind = rustix::fs::statfs(&located).map_err(|error| failed(&error.into()))?.f_type;
            if NETWORK_MOUNTS.iter().any(|network| i64::from(*network) == kind & 0xFFFF_FFFF) {
                return Err(FileError::Invalid(format!("cannot watch path on network filesystem: {path}")));
            }
        }
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|error| FileError::TooMany(format!("error creating watcher: {error}")))?;
        let (paths, numbers) = (HashMap::new(), BTreeMap::new());
        let mut watch = Self { inotify, folders, path, options, paths, numbers, scanned: HashSet::new() };
        watch.add(String::new(), None)?;
        Ok(watch)
    }

    /// Returns a descriptor that is readable when there are events.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.inotify.try_clone()
    }

    /// Returns the path of the machine that is relative to the watched folder.
    fn absolute(&self, relative: &str) -> String {
        if relative.is_empty() { self.path.clone() } else { join(&self.path, relative) }
    }

    /// Watches a folder, and with `recursive` all in it. `found`: gets what is in it, as for a folder that has just been created.
    fn add(&mut self, relative: String, mut found: Option<&mut Vec<Value>>) -> Result<(), FileError> {
        let mut waiting = vec![relative];
        while let Some(relative) = waiting.pop() {
            let path = self.absolute(&relative);
            let located = self.folders.root.locate(&path);
            let mut flags = WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MODIFY
                | WatchFlags::ATTRIB
                | WatchFlags::MOVE
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            if !relative.is_empty() {
                flags |= WatchFlags::DONT_FOLLOW;
            }
            let number = match inotify::add_watch(&self.inotify, &located, flags) {
                Ok(number) => number,
                // It was removed or replaced meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !relative.is_empty() => continue,
                Err(Errno::NOSPC) => {
                    return Err(FileError::TooMany("the system watches as many folders as it may".to_owned()));
                }
                Err(error) => return Err(FileError::of(&error.into(), &path)),
            };
            self.paths.insert(number, relative.clone());
            self.numbers.insert(relative.clone(), number);
            if self.numbers.len() > MAX_FOLDERS {
                return Err(FileError::TooMany(format!("a watch may have {MAX_FOLDERS} folders")));
            }
            if !self.options.recursive {
                return Ok(());
            }
            for entry in std::fs::read_dir(&located).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let inner = if relative.is_empty() { name } else { format!("{relative}/{name}") };
                let kind = entry.file_type().ok();
                if let Some(found) = &mut found {
                    if found.len() >= MAX_SCANNED {
                        return Err(FileError::TooMany(
                            "more changes than were read: watch the folder anew".to_owned(),
                        ));
                    }
                    found.push(self.event(&inner, "CREATE"));
                    if kind.is_some_and(|kind| kind.is_file()) && entry.metadata().is_ok_and(|data| data.len() > 0) {
                        found.push(self.event(&inner, "WRITE"));
                    }
                    self.scanned.insert(inner.clone());
                }
                if kind.is_some_and(|kind| kind.is_dir()) {
                    waiting.push(inner);
                }
            }
        }
        Ok(())
    }

    /// Watches a folder and what is in it no longer.
    fn remove(&mut self, relative: &str) {
        let inside = format!("{relative}/");
        let gone: Vec<String> = self
            .numbers
            .range(relative.to_owned()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(relative))
            .filter(|path| *path == relative || path.starts_with(&inside))
            .cloned()
            .collect();
        for path in gone {
            if let Some(number) = self.numbers.remove(&path) {
                self.paths.remove(&number);
                // The kernel has removed it itself where the folder is gone.
                let _ = inotify::remove_watch(&self.inotify, number);
            }
        }
    }

    fn event(&self, relative: &str, kind: &str) -> Value {
        let name = if relative.is_empty() { "." } else { relative };
        let mut event = json!({ "name": name, "type": format!("EVENT_TYPE_{kind}") });
        // Of what was removed or renamed there is none at the path, or another one.
        if self.options.include_entry
            && matches!(kind, "CREATE" | "WRITE" | "CHMOD")
            && let Ok(entry) =
                entry::describe(self.folders.root.as_ref(), &self.folders.users.names(), &self.absolute(relative))
        {
            event["entry"] = entry;
        }
        event
    }

    /// Adds the events that the kernel has, until there are `max`. The rest stays in the kernel, which ends the watch when it has too many.
    ///
    /// # Errors
    /// The watch has ended.
    pub(crate) fn read_events(&mut self, events: &mut Vec<Value>, max: usize) -> Result<(), Error> {
        while events.len() < max {
            let raw = self.read_raw()?;
            if raw.is_empty() {
                // All that the kernel had about scanned paths has been read.
                self.scanned.clear();
                return Ok(());
            }
            for raw in raw {
                self.handle(&raw, events)?;
            }
        }
        Ok(())
    }

    fn read_raw(&self) -> Result<Vec<RawEvent>, Error> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut raw = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => raw.push(RawEvent {
                    number: event.wd(),
                    flags: event.events(),
                    name: event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
                }),
                Err(Errno::AGAIN) => return Ok(raw),
                Err(Errno::INTR) => {}
                Err(error) => return Err(Error::new(Code::Internal, format!("watcher error: {error}"))),
            }
            if reader.is_buffer_empty() {
                return Ok(raw);
            }
        }
    }

    fn handle(&mut self, raw: &RawEvent, events: &mut Vec<Value>) -> Result<(), Error> {
        if raw.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            let message = "watcher error: more changes than were read: watch the folder anew";
            return Err(Error::new(Code::Internal, message));
        }
        let Some(folder) = self.paths.get(&raw.number) else { return Ok(()) };
        if raw.flags.contains(ReadFlags::IGNORED) {
            if let Some(path) = self.paths.remove(&raw.number) {
                self.numbers.remove(&path);
            }
            return Ok(());
        }
        let path = match (folder.as_str(), raw.name.as_str()) {
            ("", name) => name.to_owned(),
            // What concerns a folder itself is an event of the folder above it too.
            (_, "") => return Ok(()),
            (folder, name) => format!("{folder}/{name}"),
        };
        let is_folder = raw.flags.contains(ReadFlags::ISDIR) && self.options.recursive && !raw.name.is_empty();
        if raw.flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            if self.scanned.remove(&path) {
                return Ok(());
            }
            events.push(self.event(&path, "CREATE"));
            if is_folder {
                self.add(path, Some(events))?;
            }
            return Ok(());
        }
        if raw.flags.intersects(ReadFlags::MOVED_FROM | ReadFlags::MOVE_SELF) {
            events.push(self.event(&path, "RENAME"));
            if is_folder {
                self.remove(&path);
            }
        }
        if raw.flags.contains(ReadFlags::ATTRIB) {
            events.push(self.event(&path, "CHMOD"));
        }
        if raw.flags.contains(ReadFlags::MODIFY) {
            events.push(self.event(&path, "WRITE"));
        }
        if raw.flags.intersects(ReadFlags::DELETE | ReadFlags::DELETE_SELF) {
            events.push(self.event(&path, "REMOVE"));
        }
        Ok(())
    }
}
