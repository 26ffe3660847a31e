//! Who is ended first when memory runs out: children before their zygote, the zygote before anybody else.

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::fs::FileExt;

use crate::sys::{ProcFs, move_above_child_fds};

/// Of a child, as `/proc/<pid>/oom_score_adj` has it: the most there is.
const CHILD: i32 = 1000;
/// Of a zygote. The kernel counts half of all memory less against it than against its children.
const ZYGOTE: i32 = 500;

/// This process's place in that order. A child inherits it, and has no more file to write it to: so the process takes its
/// children's place while it forks.
#[derive(Debug)]
pub(crate) struct OomPriority {
    /// None where it cannot be changed: a container may have hidden it.
    file: Option<File>,
    own: i32,
}

impl OomPriority {
    /// Takes the zygote's place, or keeps a worse one.
    pub(crate) fn take(proc: ProcFs) -> Self {
        let was = proc.read("self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
        let own = was.unwrap_or(0).max(ZYGOTE);
        let order = Self { file: open(proc).ok(), own };
        order.write(own);
        order
    }

    /// Does this, a fork, in the place of a child.
    pub(crate) fn with_child_priority<T>(&self, fork: impl FnOnce() -> T) -> T {
        self.write(CHILD);
        let forked = fork();
        // In a child the descriptor is its parent's file still.
        self.write(self.own);
        forked
    }

    fn write(&self, place: i32) {
        if let Some(file) = &self.file {
            // Going back to a place that it was in is allowed to everybody. Without it, memory is limited all the same.
            let _ = file.write_at(place.to_string().as_bytes(), 0);
        }
    }
}

#[allow(unsafe_code, reason = "a descriptor out of the way of those that children have")]
fn open(proc: ProcFs) -> io::Result<File> {
    let descriptor = move_above_child_fds(proc.file("self/oom_score_adj", libc::O_WRONLY)?.into_raw_fd())?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}
