//! The jail of native interpreters.
//!
//! A process, the *zygote*, enters its [`Jail`] before it starts an interpreter, and forks children that enter jails of their
//! own before they run a program. In the [full](JailProfile::Full) profile these are namespaces with a file tree of libraries
//! and packages, and behind them Landlock, seccomp, resource limits, and no capabilities. The [reduced](JailProfile::Reduced)
//! profile, for containers that forbid namespaces, has the latter alone.
//!
//! A child has about 150 system calls, memory and time up to its limits, the readable files, its own `/tmp` and
//! `/home/user`, and its descriptors 0 to 3. It can start threads but no processes, so that nothing outlives it.
//!
//! # What the jail does not stop
//!
//! * Faults of the kernel in the remaining system calls, and of the processor: programs that need more isolation belong in
//!   WebAssembly or a virtual machine.
//! * What can be learnt from timing, from the load of the machine, and from `sysinfo(2)` and `uname(2)`.
//! * False output: a program has the descriptor that carries its output. How it ended and what it used the parent learns from
//!   the kernel.
//! * What children of one zygote share: the hash seed, addresses, the state of random generators that are not seeded again.
//!   Replace the zygote from time to time.
//! * New machine code. Python can call any function of libc, and callbacks need executable memory; such code has the same
//!   system calls.
//! * Use of memory beyond `RLIMIT_AS`: pipes and sockets up to the limit of descriptors, and files in `/tmp` and
//!   `/home/user`, which are in memory in the full profile (they are counted by [`ForkedProcess::file_bytes`], and limited).
//!   Where a control group can be made, it limits all children together, and the kernel kills the largest; elsewhere the
//!   bound is the limit of one child times their number. The layers report which.
//!
//! In the reduced profile also:
//!
//! * Names, sizes and dates of files are visible as far as the process's user may see them (with the capability below:
//!   everywhere), and so are the machine's name and the list of processes. Contents of files and lists of folders are not.
//! * The size of the private folder and the number of threads are only watched ([`ForkedProcess::folder_used`],
//!   [`ForkedProcess::threads`]): a program exceeds them for a moment. A file that was removed while open is not counted, up
//!   to one such file per descriptor.
//! * Where root starts it and only root can read the packages, children keep the one capability to read
//!   (`CAP_DAC_READ_SEARCH`), within the limits of Landlock. The layers report it.
//! * Where another user than root starts it, children share the limit of threads with all other processes of that user.
//! * Where another user than root starts it, other processes of the same user are not kept from its children.
#![cfg(target_os = "linux")]

mod bpf;
mod cgroup;
mod child_folder;
mod clone;
mod config;
mod control_group;
mod credentials;
mod error;
mod file_access;
mod forked;
mod jail;
mod machine_filter;
mod mounts;
pub mod observation;
mod oom_priority;
pub mod path_interpose;
mod path_map;
mod private_tmpfs;
mod process_id;
mod report_pipe;
mod resource_limits;
mod seccomp;
mod self_test;
mod sys;
mod system_paths;

pub use cgroup::{count as count_cgroups, sweep as sweep_cgroups};
pub use config::{JailConfig, JailProfile};
pub use control_group::{ControlGroup, GroupLimits, GroupUsage, group_names};
pub use error::JailError;
pub use forked::{Fork, ForkedProcess, ProcessEnd};
pub use jail::Jail;
/// For [`interpose!`].
#[doc(hidden)]
pub use libc;
pub use machine_filter::filter_machine_calls;
pub use process_id::{ProcessId, is_alive};
pub use switchtower_worker::jail::Layer;
pub use system_paths::{HOME, TMP};
