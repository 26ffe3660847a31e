//! Which process the kernel kills first when memory runs out: children before their zygote, the zygote before all others.

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::fs::FileExt;

use crate::sys::{ProcFs, move_above_child_fds};

/// The `/proc/<pid>/oom_score_adj` of a child: the maximum.
const CHILD: i32 = 1000;
/// That of a zygote: half of all memory less counts against it than against its children.
const ZYGOTE: i32 = 500;

/// The priority of this process. A child inherits it and has no access to the file, so that the process takes the priority
/// of its children while it forks.
#[derive(Debug)]
pub(crate) struct OomPriority {
    /// `None` where it cannot be changed: a container may hide it.
    file: Option<File>,
    own: i32,
}

impl OomPriority {
    /// Takes the priority of a zygote, or keeps a higher one.
    pub(crate) fn set(proc: ProcFs) -> Self {
        let was = proc.read("self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
        let own = was.unwrap_or(0).max(ZYGOTE);
        let order = Self { file: open(proc).ok(), own };
        order.write(own);
        order
    }

    /// Runs `fork` with the priority of a child.
    pub(crate) fn with_child_priority<T>(&self, fork: impl FnOnce() -> T) -> T {
        self.write(CHILD);
        let forked = fork();
        // In the child the descriptor still refers to its parent's file.
        self.write(self.own);
        forked
    }

    fn write(&self, score: i32) {
        if let Some(file) = &self.file {
            // Lowering it to an earlier value needs no privilege. Where it fails, the limits of memory hold all the same.
            let _ = file.write_at(score.to_string().as_bytes(), 0);
        }
    }
}

#[allow(unsafe_code, reason = "a descriptor out of the way of those that children have")]
fn open(proc: ProcFs) -> io::Result<File> {
    let descriptor = move_above_child_fds(proc.file("self/oom_score_adj", libc::O_WRONLY)?.into_raw_fd())?;
    // SAFETY: the descriptor is new and owned by nothing else.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}
