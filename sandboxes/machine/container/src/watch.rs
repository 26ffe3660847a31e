//! Holds the memory of a machine where no control group does: looks at its processes from outside, and kills the largest one while
//! all together use more than the limit, as the kernel would.
//!
//! Counted are the machine's files and the memory that each process has of its own. What processes take between two looks is
//! not held, nor is memory that no process has mapped.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::ContainerConfig;
use crate::sys;

/// How often a machine is looked at: in this time, a processor fills a few hundred megabytes.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);
/// The machine's first process, which is never killed: the machine would end with it.
const FIRST: &str = "1";

/// The watcher of a machine.
pub(crate) struct Watch {
    /// The machine's own `/proc`.
    processes: PathBuf,
    files: PathBuf,
    limit: u64,
    /// The file with a lower limit.
    lowered: PathBuf,
    kills: KillCount,
}

/// The number of processes killed, in a file that the caller reads.
struct KillCount {
    path: PathBuf,
    number: u64,
}

impl Watch {
    /// Returns the watcher of a machine whose first process has this number here.
    pub(crate) fn new(config: &ContainerConfig, first: i32) -> Self {
        Self {
            processes: format!("/proc/{first}/root/proc").into(),
            files: config.folder.clone(),
            limit: config.limits.memory,
            lowered: config.lowered_memory(),
            kills: KillCount { path: config.kill_count(), number: 0 },
        }
    }

    /// Looks once.
    pub(crate) fn look(&mut self) {
        let lowered = std::fs::read_to_string(&self.lowered).ok().and_then(|bytes| bytes.parse().ok());
        self.limit = lowered.map_or(self.limit, |bytes: u64| bytes.min(self.limit));
        let files = sys::used_bytes(&self.files).unwrap_or(0);
        let quick = self.sizes(resident);
        if files + quick.iter().map(|(size, _)| size).sum::<u64>() <= self.limit {
            return;
        }
        // Memory that forked processes share was counted for each.
        let mut exact = self.sizes(proportional);
        exact.sort_unstable_by_key(|(size, _)| *size);
        let mut used = files + exact.iter().map(|(size, _)| size).sum::<u64>();
        while used > self.limit
            && let Some((size, process)) = exact.pop()
        {
            if File::open(&process).and_then(|process| sys::kill_opened(&process)).is_ok() {
                self.kills.add();
            }
            used -= size;
        }
    }

    /// Returns the size of each process but the first, by its folder.
    fn sizes(&self, size: fn(&Path) -> io::Result<u64>) -> Vec<(u64, PathBuf)> {
        let entries = std::fs::read_dir(&self.processes).into_iter().flatten().flatten();
        let processes = entries.filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name != FIRST && name.bytes().all(|it| it.is_ascii_digit()))
        });
        // One may have ended.
        processes.filter_map(|entry| Some((size(&entry.path()).ok()?, entry.path()))).collect()
    }
}

impl KillCount {
    fn add(&mut self) {
        self.number += 1;
        // The caller sees the end of the process anyway, as one that was killed.
        let _ = File::create(&self.path).and_then(|mut file| file.write_all(self.number.to_string().as_bytes()));
    }
}

/// Returns the bytes of a process that no file has.
fn resident(process: &Path) -> io::Result<u64> {
    let status = std::fs::read_to_string(process.join("status"))?;
    Ok(kilobytes(&status, "RssAnon:") + kilobytes(&status, "VmSwap:"))
}

/// Returns them, those that processes share divided by their number.
fn proportional(process: &Path) -> io::Result<u64> {
    let map = std::fs::read_to_string(process.join("smaps_rollup"))?;
    Ok(kilobytes(&map, "Pss_Anon:") + kilobytes(&map, "SwapPss:"))
}

fn kilobytes(table: &str, name: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}
