//! The walls around native interpreters.
//!
//! A process, the *zygote*, enters its [`Jail`] before it starts an interpreter, and forks children that go behind
//! walls of their own before they run a program. In the [full](JailProfile::Full) profile these are namespaces with a file
//! tree of libraries and packages, and behind them Landlock, seccomp, limits, and no capability. In the
//! [reduced](JailProfile::Reduced) one, for containers that forbid namespaces, the latter stand alone.
//!
//! What a child has left: about 150 system calls, memory and time up to its limits, the files it may read, `/tmp` and
//! `/home/user` of its own, and its descriptors 0 to 3. Nothing it starts outlives it: it can start threads only.
//!
//! # What these walls do not stop
//!
//! * Faults of the kernel in the calls that remain, and of the processor: who needs more belongs behind WebAssembly or
//!   a virtual machine.
//! * What can be learnt from timing, from the load of the machine, and from `sysinfo(2)` and `uname(2)`.
//! * Lies of a program about its own output: it holds the descriptor that carries it. How it ended and what it used are
//!   the kernel's word to its parent.
//! * What children of one zygote have in common: hash seed, addresses, the state of random generators that nobody
//!   seeds anew. Replace the zygote from time to time.
//! * New machine code. Python itself can call any function of libc, and callbacks need memory that is executable; what
//!   such code can ask the kernel for is the same.
//! * Use of memory beyond `RLIMIT_AS`: pipes and sockets up to the limit of descriptors, and the files in `/tmp` and
//!   `/home/user`, which the full profile has in memory (they are counted, [`ForkedProcess::file_bytes`], and have a limit). Where a control group can be made, it limits what all
//!   children have together, and the one that has most is killed; elsewhere they may have what each may have, times
//!   their number. It is reported.
//!
//! In the reduced profile moreover:
//!
//! * Names, sizes and dates of files can be asked for where the process's user may (with the capability below:
//!   anywhere); so can the machine's name and which processes there are. Contents and lists of folders cannot.
//! * The size of the private folder and the number of threads are only watched ([`ForkedProcess::folder_used`],
//!   [`ForkedProcess::threads`]): a program goes beyond them for a moment. A file that was deleted while open is in no count,
//!   up to one such file per descriptor.
//! * Where it is started by root and the packages can be read by root alone, children keep the one capability to read
//!   (`CAP_DAC_READ_SEARCH`) within what Landlock allows. It is reported.
//! * Children of one zygote that root did not start have the threads of their user in common with all else it runs.
//! * Another process of the same user, if it is not root that starts it, may do to these what it likes.
#![cfg(target_os = "linux")]

mod bpf;
mod cgroup;
mod child_folder;
mod clone;
mod config;
mod credentials;
mod error;
mod file_access;
mod forked;
mod jail;
mod mounts;
pub mod observation;
mod oom_priority;
pub mod path_interpose;
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
pub use error::JailError;
pub use forked::{Fork, ForkedProcess, ProcessEnd};
pub use jail::Jail;
/// For [`interpose!`].
#[doc(hidden)]
pub use libc;
pub use process_id::is_alive;
pub use switchtower_worker::jail::Layer;
pub use system_paths::{HOME, TMP};
