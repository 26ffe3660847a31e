//! A control group of a local machine: limits, freezing, figures, and the end of everything in it.
//!
//! As the groups of zygotes (`cgroup.rs`), it is made below the group of this process or beside it, in both versions of the
//! file system. What cannot be made is missing, with a reason.
#![allow(unsafe_code, reason = "signals have no safe wrapper in std")]

use std::fs::{create_dir, read_dir, read_to_string, remove_dir};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cgroup::{ProcTables, Version, write};

/// The limits of all processes in a group together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GroupLimits {
    /// Bytes, including files in memory.
    pub memory: Option<u64>,
    pub processes: Option<u64>,
    /// Processors' worth of time: 0.5 is half of one.
    pub processors: Option<f64>,
    /// The share of processor time where groups compete; 100 is usual.
    pub weight: Option<u64>,
}

/// What the processes of a group have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// Bytes of memory now.
    pub memory: Option<u64>,
    /// The most that they were since the group was made. Version 2 has it since Linux 5.19.
    pub peak_memory: Option<u64>,
    /// Processor time since the group was made.
    pub processor_time: Option<Duration>,
    /// Processes that the kernel killed because the group had no memory left.
    pub memory_kills: Option<u64>,
}

/// The controllers that a group uses.
const CONTROLLERS: [&str; 5] = ["memory", "pids", "cpu", "cpuacct", "freezer"];
/// Where container runtimes look for the file system of version 2.
const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// The period of a limit of processor time in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;
/// How often processes of a group are killed before it is given up: those that are made meanwhile are killed next.
const KILL_ROUNDS: usize = 100;

/// A group. Dropping it removes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroup {
    /// The folder of each controller; in version 2 it is the same one.
    folders: Vec<(&'static str, PathBuf, Version)>,
    /// Those of the same name that a container runtime makes for other controllers.
    others: Vec<PathBuf>,
}

impl ControlGroup {
    /// Returns no group.
    pub fn none() -> Self {
        Self { folders: Vec::new(), others: Vec::new() }
    }

    /// Makes a group with these limits. Returns it with what is missing, by controller and reason.
    pub fn create(name: &str, limits: &GroupLimits) -> (Self, Vec<String>) {
        let mut group = Self::none();
        let tables = match ProcTables::read() {
            Ok(tables) => tables,
            Err(why) => return (group, vec![why]),
        };
        let mut missing = Vec::new();
        for controller in CONTROLLERS {
            match group.create_in(&tables, controller, name) {
                Ok(()) => {}
                // Version 2 has no such controllers: every group can be frozen and has the time.
                Err(_) if matches!(controller, "freezer" | "cpuacct") && group.unified().is_some() => {}
                Err(why) => missing.push(format!("{controller}: {why}")),
            }
        }
        missing.extend(group.limit(limits));
        (group, missing)
    }

    fn create_in(&mut self, tables: &ProcTables, controller: &'static str, name: &str) -> Result<(), String> {
        let current = tables.current_group(controller)?;
        let folder = current.parent_for(controller)?.join(name);
        match create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("{}: {error}", folder.display()));
            }
            Ok(()) | Err(_) => {}
        }
        self.folders.push((controller, folder, current.version));
        Ok(())
    }

    /// Returns an existing group; it has no folders where there is none.
    pub fn existing(name: &str) -> Self {
        let mut group = Self::none();
        let Ok(tables) = ProcTables::read() else { return group };
        let find = |controller: &str| {
            let current = tables.current_group(controller).ok()?;
            let mut places = current.candidates().into_iter().map(|parent| parent.join(name));
            places.find(|path| path.is_dir()).map(|folder| (folder, current.version))
        };
        for controller in CONTROLLERS {
            group.folders.extend(find(controller).map(|(folder, version)| (controller, folder, version)));
        }
        let others = tables.controllers().filter_map(|controller| Some(find(controller)?.0));
        let unified = tables.unified_group().map(|parent| parent.join(name)).filter(|folder| folder.is_dir());
        for other in others.chain(unified) {
            if group.folders.iter().all(|(_, folder, _)| *folder != other) {
                group.others.push(other);
            }
        }
        group
    }

    /// Returns whether the group limits memory.
    pub fn limits_memory(&self) -> bool {
        self.folder("memory").is_some()
    }

    /// Returns the path by which a container runtime finds the group: in version 1 below the runtime's own group of each
    /// controller, in version 2 below the root of the file system.
    pub fn runtime_path(&self, name: &str) -> PathBuf {
        let unified = self.unified().and_then(|folder| folder.strip_prefix(MOUNT_POINT).ok());
        unified.map_or_else(|| name.into(), |below| Path::new("/").join(below))
    }

    fn folder(&self, controller: &str) -> Option<(&Path, Version)> {
        let found = self.folders.iter().find(|(known, ..)| *known == controller);
        found.map(|(_, folder, version)| (folder.as_path(), *version))
    }

    fn unified(&self) -> Option<&Path> {
        let found = self.folders.iter().find(|(.., version)| *version == Version::Two);
        found.map(|(_, folder, _)| folder.as_path())
    }

    /// Lowers the limit of memory.
    ///
    /// # Errors
    /// It is not there, or the processes use more already.
    pub fn lower_memory(&self, bytes: u64) -> io::Result<()> {
        let refused = self.limit(&GroupLimits { memory: Some(bytes), ..GroupLimits::default() });
        refused.into_iter().next().map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    /// Sets the limits. Returns those that could not be set, with reasons.
    fn limit(&self, limits: &GroupLimits) -> Vec<String> {
        let mut failed = Vec::new();
        let mut set = |controller: &str, file: [&str; 2], text: String, required: bool| {
            let Some((folder, version)) = self.folder(controller) else { return };
            let file = file[usize::from(version == Version::Two)];
            if let Err(error) = write(folder, file, &text)
                && required
            {
                failed.push(format!("{controller}: {error}"));
            }
        };
        if let Some(memory) = limits.memory {
            set("memory", ["memory.limit_in_bytes", "memory.max"], memory.to_string(), true);
            // Not every kernel counts swapped memory. Version 1 limits memory and swap together, version 2 swap alone.
            if self.folder("memory").is_some_and(|(_, version)| version == Version::One) {
                set("memory", ["memory.memsw.limit_in_bytes", ""], memory.to_string(), false);
            } else {
                set("memory", ["", "memory.swap.max"], "0".to_owned(), false);
                // One process alone would leave the others without the work that it did for them.
                set("memory", ["", "memory.oom.group"], "0".to_owned(), false);
            }
        }
        if let Some(processes) = limits.processes {
            set("pids", ["pids.max"; 2], processes.to_string(), true);
        }
        if let Some(processors) = limits.processors {
            let quota = (processors * PERIOD_US as f64).max(1000.0) as u64;
            if self.folder("cpu").is_some_and(|(_, version)| version == Version::One) {
                set("cpu", ["cpu.cfs_period_us", ""], PERIOD_US.to_string(), true);
                set("cpu", ["cpu.cfs_quota_us", ""], quota.to_string(), true);
            } else {
                set("cpu", ["", "cpu.max"], format!("{quota} {PERIOD_US}"), true);
            }
        }
        if let Some(weight) = limits.weight {
            // 1024 shares are the usual weight 100.
            let weights = if self.folder("cpu").is_some_and(|(_, version)| version == Version::One) {
                (weight * 1024 / 100).max(2)
            } else {
                weight.clamp(1, 10_000)
            };
            set("cpu", ["cpu.shares", "cpu.weight"], weights.to_string(), false);
        }
        failed
    }

    /// Moves a process and its future children into the group.
    ///
    /// # Errors
    /// A controller refused it.
    pub fn add(&self, process: u32) -> io::Result<()> {
        self.folders.iter().try_for_each(|(_, folder, _)| write(folder, "cgroup.procs", &process.to_string()))
    }

    /// Returns whether the group can be frozen.
    pub fn can_freeze(&self) -> bool {
        self.folder("freezer").is_some() || self.unified().is_some()
    }

    /// Freezes all processes of the group, or lets them continue.
    ///
    /// # Errors
    /// It cannot be frozen here.
    pub fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        match (self.folder("freezer"), self.unified()) {
            (Some((folder, Version::One)), _) => {
                write(folder, "freezer.state", if frozen { "FROZEN" } else { "THAWED" })
            }
            (_, Some(folder)) => write(folder, "cgroup.freeze", if frozen { "1" } else { "0" }),
            _ => Err(io::Error::other("the group of the machine cannot be frozen")),
        }
    }

    /// Returns what the group has used.
    pub fn usage(&self) -> GroupUsage {
        let read = |controller: &str, file: [&str; 2]| {
            let (folder, version) = self.folder(controller)?;
            read_to_string(folder.join(file[usize::from(version == Version::Two)])).ok()
        };
        let number = |text: String| text.trim().parse::<u64>().ok();
        let field = |text: String, name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        let time = match self.folder("cpuacct") {
            Some((_, Version::One)) => {
                read("cpuacct", ["cpuacct.usage", ""]).and_then(number).map(Duration::from_nanos)
            }
            _ => self
                .unified()
                .and_then(|folder| read_to_string(folder.join("cpu.stat")).ok())
                .and_then(|text| field(text, "usage_usec").map(Duration::from_micros)),
        };
        GroupUsage {
            memory: read("memory", ["memory.usage_in_bytes", "memory.current"]).and_then(number),
            peak_memory: read("memory", ["memory.max_usage_in_bytes", "memory.peak"]).and_then(number),
            processor_time: time,
            memory_kills: read("memory", ["memory.oom_control", "memory.events"])
                .and_then(|text| field(text, "oom_kill ")),
        }
    }

    /// Returns the processes in the group.
    fn processes(&self) -> Vec<i32> {
        let mut all: Vec<i32> = Vec::new();
        for (_, folder, _) in &self.folders {
            gather(folder, &mut all);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Kills all processes of the group and removes it, as far as they have ended. Returns whether it is gone.
    pub fn end(&self) -> bool {
        // A frozen process ends when it continues.
        let _ = self.set_frozen(false);
        for _ in 0..KILL_ROUNDS {
            if let Some(folder) = self.unified() {
                let _ = write(folder, "cgroup.kill", "1");
            }
            let left = self.processes();
            for process in &left {
                // SAFETY: the call takes two numbers. The process is in the group that only this program's machines are in.
                unsafe { libc::kill(*process, libc::SIGKILL) };
            }
            if left.is_empty() {
                break;
            }
            std::thread::yield_now();
        }
        self.remove()
    }

    /// Removes an empty group. Returns whether it is gone.
    pub fn remove(&self) -> bool {
        let mut gone = true;
        for folder in self.folders.iter().map(|(_, folder, _)| folder).chain(&self.others) {
            remove_below(folder);
            let removed = remove_dir(folder);
            gone &= removed.is_ok() || !folder.exists();
        }
        gone
    }
}

/// Adds the processes of a group and of those in it.
fn gather(group: &Path, all: &mut Vec<i32>) {
    let listed = read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    all.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|process| *process > 0));
    let Ok(entries) = read_dir(group) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        gather(&entry.path(), all);
    }
}

/// Removes the groups in a group: a runtime of containers may make some.
fn remove_below(group: &Path) {
    let Ok(entries) = read_dir(group) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_below(&entry.path());
        let _ = remove_dir(entry.path());
    }
}

/// Returns the names of the groups that begin with `prefix` where groups of this process are made.
pub fn group_names(prefix: &str) -> Vec<String> {
    let Ok(tables) = ProcTables::read() else { return Vec::new() };
    let places = CONTROLLERS.into_iter().filter_map(|controller| tables.current_group(controller).ok());
    let folders = places.flat_map(|place| place.candidates());
    let names = folders.filter_map(|folder| read_dir(folder).ok()).flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort_unstable();
    names.dedup();
    names
}
