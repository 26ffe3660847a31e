//! A control group for a zygote and its children: limits their memory and threads together.
//!
//! It is made below the group of the process, so that the limits of that one hold too. Both versions of the file system are
//! supported: one tree for each controller (1), and one for all (2). In version 2 a group with processes of its own can have
//! no groups with limits below it, except for the root. Where systemd started the process with `Delegate=yes` and
//! `DelegateSubgroup=`, the group is made beside the process's own, in the delegated group.
#![allow(unsafe_code, reason = "extended attributes have no safe wrapper in std")]

use std::fs::{DirEntry, create_dir, read_dir, read_to_string, remove_dir};
use std::io::{self, Write};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::JailConfig;
use crate::process_id::ProcessId;
use crate::sys::{c_path, with_context};

/// The beginning of a group's name. The number and start time of the process that started the zygote follow, then the number
/// of the zygote.
const PREFIX: &str = "switchtower-native-";
/// How long a sweep waits for the children of a killed zygote, and how often.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSES: usize = 40;

/// What a group limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// Bytes.
    Memory(u64),
    Threads(u64),
}

/// A file of a group and what is written to it.
struct Setting {
    file: &'static str,
    value: u64,
    /// The limit has no effect without it.
    required: bool,
}

/// The versions of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

impl Limit {
    fn all(config: &JailConfig) -> Vec<Self> {
        let memory = config.memory_total.map(Self::Memory);
        memory.into_iter().chain(config.threads_total.map(Self::Threads)).collect()
    }

    fn controller(self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Threads(_) => "pids",
        }
    }

    fn settings(self, version: Version) -> Vec<Setting> {
        let setting = |file, value, required| Setting { file, value, required };
        // Not every kernel counts swapped memory.
        match (self, version) {
            (Self::Memory(most), Version::One) => {
                vec![setting("memory.limit_in_bytes", most, true), setting("memory.memsw.limit_in_bytes", most, false)]
            }
            (Self::Memory(most), Version::Two) => {
                vec![setting("memory.max", most, true), setting("memory.swap.max", 0, false)]
            }
            (Self::Threads(most), _) => vec![setting("pids.max", most, true)],
        }
    }
}

/// Puts this process into a group of its own with the configured limits. Removes the groups of zygotes that have ended first.
///
/// # Errors
/// Some limit could not be set, and why. The others are in force.
#[allow(clippy::disallowed_methods, reason = "a zygote has one thread and nothing else to do yet")]
pub(crate) fn enter(config: &JailConfig) -> Result<(), String> {
    let limits = Limit::all(config);
    if limits.is_empty() {
        return Err("no limit is configured".to_owned());
    }
    let tables = ProcTables::read()?;
    sweep(None);
    for _ in 0..PAUSES {
        // An earlier zygote of the same process may have been killed just now.
        if sweep(Some(parent_id())) == 0 {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let starter = ProcessId::of(parent_id()).ok_or_else(|| "the process that started this one has ended".to_owned())?;
    let name = name(starter, std::process::id());
    let mut groups: Vec<(PathBuf, Vec<Setting>)> = Vec::new();
    let mut missing = Vec::new();
    for limit in limits {
        match tables
            .current_group(limit.controller())
            .and_then(|place| Ok((place.parent_for(limit.controller())?, place.version)))
        {
            Ok((folder, version)) => match groups.iter_mut().find(|(known, _)| *known == folder) {
                Some((_, settings)) => settings.extend(limit.settings(version)),
                None => groups.push((folder, limit.settings(version))),
            },
            Err(why) => missing.push(format!("{}: {why}", limit.controller())),
        }
    }
    for (folder, settings) in groups {
        if let Err(why) = enter_group(&folder.join(&name), &settings) {
            missing.push(why.to_string());
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
}

fn enter_group(group: &Path, settings: &[Setting]) -> io::Result<()> {
    let place = group.parent().unwrap_or(group);
    with_context(place.display(), create_dir(group))?;
    let entered =
        settings.iter().try_for_each(|setting| match write(group, setting.file, &setting.value.to_string()) {
            Err(error) if setting.required => Err(error),
            _ => Ok(()),
        });
    let entered = entered.and_then(|()| write(group, "cgroup.procs", "0"));
    if entered.is_err() {
        // It is empty.
        let _ = remove_dir(group);
    }
    entered
}

/// Writes to an existing file of a group.
pub(crate) fn write(group: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = group.join(file);
    let written = std::fs::OpenOptions::new().write(true).open(&path);
    with_context(path.display(), written.and_then(|mut file| file.write_all(text.as_bytes())))
}

/// Removes the groups of zygotes that have ended, or only of those that the process `parent` started. Returns how many
/// remain because a process in them has not ended yet. Only empty groups can be removed, whatever their names are.
pub fn sweep(parent: Option<u32>) -> usize {
    let entries = entries();
    let dead = entries.filter(|entry| {
        entry.file_name().to_str().and_then(processes).is_some_and(|(starter, zygote)| {
            // A zygote ends with the process that started it, after which its number may be used again.
            parent.is_none_or(|parent| parent == starter.number)
                && !(starter.is_alive() && ProcessId::of(zygote).is_some())
        })
    });
    dead.filter(|entry| remove_dir(entry.path()).is_err_and(|error| error.kind() != io::ErrorKind::NotFound)).count()
}

/// Returns the number of groups of zygotes that this process started, whether they run or have ended.
pub fn count(starter: u32) -> usize {
    let names = entries().map(|entry| entry.file_name());
    names.filter(|name| name.to_str().and_then(processes).is_some_and(|(known, _)| known.number == starter)).count()
}

/// Returns the entries of the folders in which our groups may be.
fn entries() -> impl Iterator<Item = DirEntry> {
    let place = |controller| ProcTables::read().ok()?.current_group(controller).ok();
    let mut folders: Vec<PathBuf> =
        ["memory", "pids"].into_iter().filter_map(place).flat_map(|place| place.candidates()).collect();
    folders.sort_unstable();
    folders.dedup();
    folders.into_iter().filter_map(|folder| read_dir(folder).ok()).flatten().flatten()
}

/// Returns the name of a zygote's group.
fn name(starter: ProcessId, zygote: u32) -> String {
    format!("{PREFIX}{}-{}-{zygote}", starter.number, starter.start)
}

/// Returns the processes in a group's name: the one that started the zygote, and the zygote.
fn processes(name: &str) -> Option<(ProcessId, u32)> {
    let mut numbers = name.strip_prefix(PREFIX)?.split('-');
    let starter = ProcessId { number: numbers.next()?.parse().ok()?, start: numbers.next()?.parse().ok()? };
    let zygote = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some((starter, zygote))
}

/// The tables in `/proc` about the groups of this process.
pub(crate) struct ProcTables {
    groups: String,
    mounts: String,
}

/// The group of this process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CurrentGroup {
    folder: PathBuf,
    pub(crate) version: Version,
}

impl ProcTables {
    pub(crate) fn read() -> Result<Self, String> {
        let read = |path: &str| read_to_string(path).map_err(|error| format!("{path}: {error}"));
        Ok(Self { groups: read("/proc/self/cgroup")?, mounts: read("/proc/self/mountinfo")? })
    }

    /// Returns the controllers of version 1.
    pub(crate) fn controllers(&self) -> impl Iterator<Item = &str> {
        let lists = self.groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lists.flat_map(|(controllers, _)| controllers.split(',')).filter(|controller| !controller.is_empty())
    }

    /// Returns the folder of this process's group in version 2, also beside version 1.
    pub(crate) fn unified_group(&self) -> Option<PathBuf> {
        let path = self.groups.lines().find_map(|line| line.split_once("::").map(|(_, path)| path))?;
        self.mounts.lines().find_map(|line| mounted(line, "", Version::Two, path))
    }

    /// Returns the group of this process for a controller.
    pub(crate) fn current_group(&self, controller: &str) -> Result<CurrentGroup, String> {
        // "number:controllers:path"; version 2 has no controllers there.
        let group = |wanted: &str| {
            self.groups.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                (controllers.split(',').any(|known| known == wanted)).then_some(path)
            })
        };
        let (path, version) = match (group(controller), group("")) {
            (Some(path), _) => (path, Version::One),
            (None, Some(path)) => (path, Version::Two),
            (None, None) => return Err("the kernel has no such controller".to_owned()),
        };
        let folder = self.mounts.lines().find_map(|line| mounted(line, controller, version, path));
        let folder = folder.ok_or_else(|| "its file system is not mounted".to_owned())?;
        Ok(CurrentGroup { folder, version })
    }
}

/// Returns the folder of a group, if this line of a mount table contains it:
/// "number parent device root place options - kind source options".
fn mounted(line: &str, controller: &str, version: Version, group: &str) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    let (kind, options) = (file_system.next()?, file_system.nth(1)?);
    let shows = match version {
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == controller),
        Version::Two => kind == "cgroup2",
    };
    let mut mount = mount.split(' ').skip(3);
    let (root, place) = (mount.next()?, mount.next()?);
    let below = Path::new(group).strip_prefix(root).ok()?;
    // A process outside the root of its namespace is in "/..".
    let below = below.components().all(|part| matches!(part, std::path::Component::Normal(_))).then_some(below)?;
    shows.then(|| Path::new(place).join(below))
}

impl CurrentGroup {
    /// Returns the folders in which our groups may be.
    pub(crate) fn candidates(&self) -> Vec<PathBuf> {
        let mut candidates = vec![self.folder.clone()];
        if self.version == Version::Two {
            candidates.extend(self.folder.parent().filter(|parent| delegated(parent)).map(Path::to_owned));
        }
        candidates
    }

    /// Returns the folder in which a group with this controller can be made; enables the controller there.
    pub(crate) fn parent_for(&self, controller: &str) -> Result<PathBuf, String> {
        if self.version == Version::One {
            return Ok(self.folder.clone());
        }
        let mut why = Err("there is none".to_owned());
        for folder in self.candidates() {
            match enable_controller(&folder, controller) {
                Ok(()) => return Ok(folder),
                Err(reason) => why = Err(reason),
            }
        }
        why
    }
}

/// Enables a controller for the groups in this one.
fn enable_controller(group: &Path, controller: &str) -> Result<(), String> {
    let has = |file: &str| {
        let listed = read_to_string(group.join(file)).unwrap_or_default();
        listed.split_whitespace().any(|known| known == controller)
    };
    if has("cgroup.subtree_control") {
        return Ok(());
    }
    if !has("cgroup.controllers") {
        return Err(format!("{} has no such controller", group.display()));
    }
    write(group, "cgroup.subtree_control", &format!("+{controller}")).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => format!(
            "{} has processes of its own, and so no limits below it; with systemd: Delegate=yes, DelegateSubgroup=main",
            group.display()
        ),
        _ => error.to_string(),
    })
}

/// Returns whether systemd has delegated a group.
fn delegated(group: &Path) -> bool {
    let Ok(path) = c_path(group) else { return false };
    [c"user.delegate", c"trusted.delegate"].into_iter().any(|name| {
        let mut value = [0_u8; 4];
        // SAFETY: both strings end with a zero, the buffer is as large as is said, and all outlive the call.
        let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        length == 1 && value[0] == b'1'
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(groups: &str, mounts: &str, controller: &str) -> Result<CurrentGroup, String> {
        ProcTables { groups: groups.to_owned(), mounts: mounts.to_owned() }.current_group(controller)
    }

    #[test]
    fn the_group_is_found_in_the_tree_of_its_controller_or_in_the_unified_one() {
        let hybrid = "9:name=systemd:/\n8:pids:/\n4:cpu,memory:/api/38ee\n0::/user\n";
        let mounts = "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      31 30 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
                      32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,cpu,memory\n\
                      33 30 0:29 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let one = |folder: &str| Ok(CurrentGroup { folder: folder.into(), version: Version::One });
        let two = |folder: &str| Ok(CurrentGroup { folder: folder.into(), version: Version::Two });
        assert_eq!(place(hybrid, mounts, "memory"), one("/sys/fs/cgroup/memory/api/38ee"));
        assert_eq!(place(hybrid, mounts, "pids"), one("/sys/fs/cgroup/pids/"));
        assert_eq!(place(hybrid, mounts, "hugetlb"), two("/sys/fs/cgroup/unified/user"));
        assert!(place("9:name=systemd:/\n", mounts, "memory").is_err());

        // A container sees its own group as the root of the mount, whatever /proc calls it.
        let inner = "31 30 0:27 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(place("4:memory:/docker/ab\n", inner, "memory"), one("/sys/fs/cgroup/memory/"));
        assert!(place("4:memory:/docker\n", inner, "memory").is_err(), "not in the mount");
        let unified = "33 30 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(place("0::/\n", unified, "pids"), two("/sys/fs/cgroup/"));
        assert!(place("0::/../other\n", unified, "pids").is_err(), "outside its namespace");
    }

    #[test]
    fn the_name_of_a_group_identifies_its_processes() {
        let starter = ProcessId { number: 12, start: 99 };
        assert_eq!(processes(&name(starter, 345)), Some((starter, 345)));
        for other in ["12-345", "-1-2", "12-99-", "1-2-3-4", "x-2-3"].map(|rest| format!("switchtower-native-{rest}")) {
            assert_eq!(processes(&other), None, "{other}");
        }
        assert_eq!(processes("system.slice"), None);
    }
}
