//! The configuration of a container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What starts the machine's first process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// This program, with namespaces.
    BuiltIn,
    /// A container runtime with the command line of runc.
    Oci {
        program: PathBuf,
        kind: OciKind,
        /// What the machine's first process gets of the socket.
        passes: Passes,
        /// The folder in which it keeps its state.
        state: PathBuf,
        /// The `config.json` of the bundle, without its root and its ids.
        bundle: serde_json::Value,
    },
}

/// The kinds of container runtimes, which differ in what they do with control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OciKind {
    Runc,
    Crun,
    /// gVisor: the machine's programs run on a kernel in user space.
    Runsc,
}

/// Bytes of memory of gVisor itself for one machine, beside what the machine may use: 21 MB of an idle one, 100 MB after 14,000 files.
const GVISOR_MEMORY: u64 = 128 << 20;
/// Its threads and processes for one machine: about a hundred of an idle one.
const GVISOR_PROCESSES: u64 = 256;

impl OciKind {
    /// Returns the bytes of memory that the runtime itself has in a machine's control group.
    pub fn own_memory(self) -> u64 {
        match self {
            Self::Runc | Self::Crun => 0,
            Self::Runsc => GVISOR_MEMORY,
        }
    }

    /// Returns how many processes and threads of the host a machine may have that has this many.
    pub(crate) fn host_processes(self, inside: u64) -> u64 {
        match self {
            Self::Runc | Self::Crun => inside,
            // Each address space and each thread is one of the host too.
            Self::Runsc => 2 * inside + GVISOR_PROCESSES,
        }
    }
}

/// What a container runtime passes to the machine's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passes {
    /// Any descriptor, so that the socket listens.
    Descriptors,
    /// The standard streams alone, so that the socket is a connection.
    StandardStreams,
}

/// The host's user ids that a machine's users are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ids {
    /// The machine's ids from 0 are those of the host from `first`.
    Range { first: u32, count: u32 },
    /// The machine has one user, its root, who is the user that starts it.
    Single,
}

impl Ids {
    /// Returns the ids that a process of a user namespace which maps these sees as the machine's: those of a process that has
    /// entered an outer user namespace follow that namespace's root.
    pub(crate) fn inside(self) -> Self {
        match self {
            Self::Range { count, .. } => Self::Range { first: 1, count },
            Self::Single => Self::Single,
        }
    }

    /// Returns the id here of one of the machine.
    pub(crate) fn of(self, id: u32) -> u32 {
        match self {
            Self::Range { first, count } => first + id.min(count.saturating_sub(1)),
            Self::Single => 0,
        }
    }
}

/// Folders of the host under a private layer of the machine, to which its changes go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// The upper ones hide what the lower ones have at the same path; the uppermost is first.
    pub lower: Vec<PathBuf>,
    /// An absolute path in the machine.
    pub target: PathBuf,
}

/// A folder or file of the host that the machine sees, read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    pub source: PathBuf,
    /// An absolute path in the machine. Missing folders and an empty file are made.
    pub target: PathBuf,
}

/// The limits of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MachineLimits {
    /// Bytes of memory, files in memory included.
    pub memory: u64,
    pub processes: u64,
    /// Processors' worth of time. `None`: all of them, by weight.
    pub processors: Option<f64>,
    /// Bytes of its files; see [`file_bytes`](Self::file_bytes).
    pub disk: u64,
    /// Its files and folders.
    pub inodes: u64,
    /// Descriptors of each process.
    pub descriptors: u64,
}

/// Processes of a machine beyond its limit: the first process and its threads, and commands that it starts where programs have
/// used up theirs.
pub const RESERVED_PROCESSES: u64 = 24;

impl MachineLimits {
    /// Returns the processes of a machine with those of its first process.
    pub fn all_processes(&self) -> u64 {
        self.processes + RESERVED_PROCESSES
    }

    /// Returns the bytes that files may have. They are in memory: a part of it is left to processes, so that a machine whose
    /// files are full refuses to write instead of having its processes killed.
    pub fn file_bytes(&self) -> u64 {
        self.disk.min(self.memory / 8 * 7)
    }
}

/// The configuration of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// The name of its control group, and for a runtime its id.
    pub name: String,
    pub hostname: String,
    pub runtime: Runtime,
    /// An empty folder of the caller's own, below which the root is mounted.
    pub folder: PathBuf,
    /// Its file systems, the one of `/` first, each after the one in which its target is.
    pub overlays: Vec<Overlay>,
    /// Folders that exist in the machine with these owners and permissions: path, user, group, mode.
    pub folders: Vec<(PathBuf, u32, u32, u32)>,
    pub binds: Vec<Bind>,
    pub ids: Ids,
    pub limits: MachineLimits,
    /// The command of its first process. The program is a path in the machine.
    pub command: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// An open descriptor of this process that the machine's first process gets under the number 3; as its standard input where the
    /// runtime passes nothing else.
    pub socket: i32,
}

impl ContainerConfig {
    /// Returns the file with the number of processes that were killed because the machine had no memory left, where a watcher
    /// does that. Without one it does not exist.
    pub fn kill_count(&self) -> PathBuf {
        self.folder.with_file_name("memory-kills")
    }

    /// Returns the file with a lower limit of the machine's memory in bytes, which a watcher holds from then on. The caller may
    /// write it at any time; without one the limit is that of the configuration.
    pub fn lowered_memory(&self) -> PathBuf {
        self.folder.with_file_name("memory-limit")
    }
}
