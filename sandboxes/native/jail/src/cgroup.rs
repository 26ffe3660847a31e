//! A control group around a zygote and its children: how much memory and how many threads all of them have together.
//!
//! It stands below the group that the process is in already, so what limits that one limits this one too. Both forms of
//! the file system are known: one tree for each controller, and one for all. In the latter a group that has processes
//! of its own can have no groups with limits below it, except for the root. Where systemd has started the process with
//! `Delegate=yes` and `DelegateSubgroup=`, the group stands beside the process's own, in what was delegated.
#![allow(unsafe_code, reason = "extended attributes have no safe wrapper in std")]

use std::fs::{DirEntry, create_dir, read_dir, read_to_string, remove_dir};
use std::io::{self, Write};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::JailConfig;
use crate::process_id::ProcessId;
use crate::sys::{c_path, with_context};

/// What the groups are called, before the number and the start of the process that started the zygote, and the number of
/// the zygote.
const NAME: &str = "switchtower-native-";
/// The kernel takes its time to end the children of a zygote that was killed.
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
    /// Whether the limit is nothing without it.
    needed: bool,
}

/// The forms of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
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
        let setting = |file, value, needed| Setting { file, value, needed };
        // Not every kernel counts what is swapped out.
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

/// Puts this process into a group of its own, with the limits of the settings. Groups that dead zygotes have left are
/// removed first.
///
/// # Errors
/// Some limit is not kept, and why. The others are.
#[allow(clippy::disallowed_methods, reason = "a zygote has one thread and nothing else to do yet")]
pub(crate) fn enter(config: &JailConfig) -> Result<(), String> {
    let limits = Limit::all(config);
    if limits.is_empty() {
        return Err("no limit was asked for".to_owned());
    }
    let tables = Tables::read()?;
    sweep(None);
    for _ in 0..PAUSES {
        // An elder sibling may have been killed just now.
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
        match tables.place(limit.controller()).and_then(|place| Ok((place.ready(limit.controller())?, place.version))) {
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
            Err(error) if setting.needed => Err(error),
            _ => Ok(()),
        });
    let entered = entered.and_then(|()| write(group, "cgroup.procs", "0"));
    if entered.is_err() {
        // It is empty.
        let _ = remove_dir(group);
    }
    entered
}

/// Writes a file that must be there.
fn write(group: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = group.join(file);
    let written = std::fs::OpenOptions::new().write(true).open(&path);
    with_context(path.display(), written.and_then(|mut file| file.write_all(text.as_bytes())))
}

/// Removes the groups of zygotes that have ended; of those alone that the process with the number `parent` started, where
/// it is given. Returns how many are left for now, since their last processes have not ended yet. Only empty groups can be
/// removed, whatever their names say.
pub fn sweep(parent: Option<u32>) -> usize {
    let entries = entries();
    let dead = entries.filter(|entry| {
        entry.file_name().to_str().and_then(processes).is_some_and(|(starter, zygote)| {
            // A zygote does not outlive the process that started it, so its number may be another's by now.
            parent.is_none_or(|parent| parent == starter.number)
                && !(starter.is_alive() && ProcessId::of(zygote).is_some())
        })
    });
    dead.filter(|entry| remove_dir(entry.path()).is_err_and(|error| error.kind() != io::ErrorKind::NotFound)).count()
}

/// How many groups there are of zygotes that the process with this number started, whether they live or not.
pub fn count(starter: u32) -> usize {
    let names = entries().map(|entry| entry.file_name());
    names.filter(|name| name.to_str().and_then(processes).is_some_and(|(known, _)| known.number == starter)).count()
}

/// What lies where groups of ours may be.
fn entries() -> impl Iterator<Item = DirEntry> {
    let place = |controller| Tables::read().ok()?.place(controller).ok();
    let mut folders: Vec<PathBuf> =
        ["memory", "pids"].into_iter().filter_map(place).flat_map(|place| place.candidates()).collect();
    folders.sort_unstable();
    folders.dedup();
    folders.into_iter().filter_map(|folder| read_dir(folder).ok()).flatten().flatten()
}

/// The name of the group of a zygote.
fn name(starter: ProcessId, zygote: u32) -> String {
    format!("{NAME}{}-{}-{zygote}", starter.number, starter.start)
}

/// The processes that a group is named after: the one that started the zygote, and the zygote.
fn processes(name: &str) -> Option<(ProcessId, u32)> {
    let mut numbers = name.strip_prefix(NAME)?.split('-');
    let starter = ProcessId { number: numbers.next()?.parse().ok()?, start: numbers.next()?.parse().ok()? };
    let zygote = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some((starter, zygote))
}

/// What `/proc` says of the groups of this process.
struct Tables {
    groups: String,
    mounts: String,
}

/// The group that this process is in.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    version: Version,
}

impl Tables {
    fn read() -> Result<Self, String> {
        let read = |path: &str| read_to_string(path).map_err(|error| format!("{path}: {error}"));
        Ok(Self { groups: read("/proc/self/cgroup")?, mounts: read("/proc/self/mountinfo")? })
    }

    /// Where this process is, for a controller.
    fn place(&self, controller: &str) -> Result<Place, String> {
        // "number:controllers:path"; the tree for all has no controllers there.
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
        Ok(Place { folder, version })
    }
}

/// Where a group is, if this line of a mount table shows it:
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

impl Place {
    /// The folders that may hold groups of ours.
    fn candidates(&self) -> Vec<PathBuf> {
        let mut candidates = vec![self.folder.clone()];
        if self.version == Version::Two {
            candidates.extend(self.folder.parent().filter(|parent| delegated(parent)).map(Path::to_owned));
        }
        candidates
    }

    /// The folder in which a group with this controller can be made.
    fn ready(&self, controller: &str) -> Result<PathBuf, String> {
        if self.version == Version::One {
            return Ok(self.folder.clone());
        }
        let mut why = Err("there is none".to_owned());
        for folder in self.candidates() {
            match hands_down(&folder, controller) {
                Ok(()) => return Ok(folder),
                Err(reason) => why = Err(reason),
            }
        }
        why
    }
}

/// Sees to it that groups in this one have the controller.
fn hands_down(group: &Path, controller: &str) -> Result<(), String> {
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

/// Whether systemd has left a group to whoever runs in it.
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

    fn place(groups: &str, mounts: &str, controller: &str) -> Result<Place, String> {
        Tables { groups: groups.to_owned(), mounts: mounts.to_owned() }.place(controller)
    }

    #[test]
    fn a_group_is_found_in_a_tree_of_its_controller_or_in_the_one_for_all() {
        let hybrid = "9:name=systemd:/\n8:pids:/\n4:cpu,memory:/api/38ee\n0::/user\n";
        let mounts = "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      31 30 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
                      32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,cpu,memory\n\
                      33 30 0:29 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let one = |folder: &str| Ok(Place { folder: folder.into(), version: Version::One });
        let two = |folder: &str| Ok(Place { folder: folder.into(), version: Version::Two });
        assert_eq!(place(hybrid, mounts, "memory"), one("/sys/fs/cgroup/memory/api/38ee"));
        assert_eq!(place(hybrid, mounts, "pids"), one("/sys/fs/cgroup/pids/"));
        assert_eq!(place(hybrid, mounts, "hugetlb"), two("/sys/fs/cgroup/unified/user"));
        assert!(place("9:name=systemd:/\n", mounts, "memory").is_err());

        // A container sees its own group as the root of the mount, whatever /proc calls it.
        let inner = "31 30 0:27 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(place("4:memory:/docker/ab\n", inner, "memory"), one("/sys/fs/cgroup/memory/"));
        assert!(place("4:memory:/docker\n", inner, "memory").is_err(), "it is not shown");
        let unified = "33 30 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(place("0::/\n", unified, "pids"), two("/sys/fs/cgroup/"));
        assert!(place("0::/../other\n", unified, "pids").is_err(), "it is outside its namespace");
    }

    #[test]
    fn a_name_tells_whose_group_it_is() {
        let starter = ProcessId { number: 12, start: 99 };
        assert_eq!(processes(&name(starter, 345)), Some((starter, 345)));
        for other in ["12-345", "-1-2", "12-99-", "1-2-3-4", "x-2-3"].map(|rest| format!("switchtower-native-{rest}")) {
            assert_eq!(processes(&other), None, "{other}");
        }
        assert_eq!(processes("system.slice"), None);
    }
}
