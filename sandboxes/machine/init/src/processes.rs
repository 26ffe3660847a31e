//! `processes`: the number of the machine's processes that are neither the first one nor kernels.

use std::fs;
use std::process::ExitCode;

/// What is in the command line of every kernel's process.
const KERNELS: [&str; 2] = ["/run/switchtower/python/kernel.py", "/run/switchtower/kernels/"];

/// What is known of a process.
struct Found {
    id: u32,
    parent: u32,
    session: u32,
    has_ended: bool,
}

/// Prints the number. A process that a kernel has started counts, also one that continues the kernel's program.
pub(crate) fn run() -> ExitCode {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let session = of_process(1).map(|first| first.session);
    // One that has ended meanwhile has no status.
    let others = ids.filter_map(of_process).filter(|process| {
        let is_own = process.id == 1 || process.id == std::process::id() || process.has_ended;
        !is_own && !is_kernel(process, session)
    });
    println!("{}", others.count());
    ExitCode::SUCCESS
}

/// Kernels are children of the first process, in its session.
fn is_kernel(process: &Found, session: Option<u32>) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", process.id)).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    process.parent == 1 && Some(process.session) == session && KERNELS.iter().any(|kernel| line.contains(kernel))
}

fn of_process(id: u32) -> Option<Found> {
    of_status(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Reads `/proc/ID/stat`: the id, the name in brackets, which may have any characters, the state, the parent, the group, the session.
fn of_status(id: u32, status: &str) -> Option<Found> {
    let mut words = status.rsplit_once(')')?.1.split_whitespace();
    let has_ended = matches!(words.next()?, "Z" | "X");
    let (parent, _group) = (words.next()?.parse().ok()?, words.next()?);
    Some(Found { id, parent, session: words.next()?.parse().ok()?, has_ended })
}
