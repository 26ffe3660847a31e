//! Holds the memory of a machine where no control group does: looks at its processes from outside, and kills the largest one while
//! all together use more than the limit, as the kernel would.
//!
//! Counted are the machine's files, the memory that each process has of its own or shares, and files without a name that a process has
//! open (memfd_create(2)). What processes take between two looks is not held, nor are segments of System V that no process has
//! attached.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
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
        let unnamed: BTreeMap<_, _> = quick.iter().flat_map(|(_, process)| unnamed_files(process)).collect();
        let fixed = files + unnamed.values().sum::<u64>();
        if fixed + quick.iter().map(|(size, _)| size).sum::<u64>() <= self.limit {
            return;
        }
        // Memory that processes share was counted for each, and that of the machine's files that they have mapped twice.
        let mut exact = self.sizes(proportional);
        let mut used = fixed + exact.iter().map(|(size, _)| size).sum::<u64>();
        for (size, process) in &mut exact {
            *size += unnamed_files(process).values().sum::<u64>();
        }
        exact.sort_unstable_by_key(|(size, _)| *size);
        while used > self.limit
            && let Some((size, process)) = exact.pop()
        {
            if File::open(&process).and_then(|process| sys::kill_opened(&process)).is_ok() {
                self.kills.add();
            }
            used = used.saturating_sub(size);
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

/// Returns the bytes of a process that no file on a disk has.
fn resident(process: &Path) -> io::Result<u64> {
    let status = std::fs::read_to_string(process.join("status"))?;
    Ok(kilobytes(&status, "RssAnon:") + kilobytes(&status, "RssShmem:") + kilobytes(&status, "VmSwap:"))
}

/// Returns the bytes of a process that no file with a name has, those that processes share divided by their number.
fn proportional(process: &Path) -> io::Result<u64> {
    let map = std::fs::read_to_string(process.join("smaps_rollup"))?;
    let own = kilobytes(&map, "Pss_Anon:") + kilobytes(&map, "SwapPss:");
    if kilobytes(&map, "Pss_Shmem:") == 0 {
        return Ok(own);
    }
    let (mut shared, mut is_shared) = (0, false);
    for line in std::fs::read_to_string(process.join("smaps"))?.lines() {
        match line.strip_prefix("Pss:") {
            Some(size) if is_shared => shared += kilobytes(size, ""),
            Some(_) => {}
            // The first line of a mapping: its addresses, flags, offset, device, inode and path.
            None if line
                .as_bytes()
                .first()
                .is_some_and(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()) =>
            {
                let path = line.splitn(6, ' ').nth(5).unwrap_or_default().trim_start();
                is_shared = path.starts_with("/dev/zero (deleted)") || path.starts_with("/SYSV");
            }
            None => {}
        }
    }
    Ok(own + shared)
}

/// Returns the bytes of each file without a name that a process has open, by its device and inode.
fn unnamed_files(process: &Path) -> BTreeMap<(u64, u64), u64> {
    let entries = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let unnamed = entries.filter(|entry| {
        std::fs::read_link(entry.path())
            .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"))
    });
    unnamed
        .filter_map(|entry| {
            let file = std::fs::metadata(entry.path()).ok()?;
            Some(((file.dev(), file.ino()), file.blocks() * 512))
        })
        .collect()
}

fn kilobytes(table: &str, name: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}
