//! Local machines: containers with commands, files, ports, and kernels in several languages.
//!
//! A machine is a container of this host. Its first process, `init`, serves processes, files and ports over a socket that it
//! inherits, or over one connection in runtimes that pass no more than standard streams; programs and kernels are processes that it
//! starts. What isolates machines, and what does not, is said in `switchtower-container`.
//!
//! | module | content |
//! |---|---|
//! | [`config`] | settings |
//! | `host` | what all machines of this process share: the root's template, the programs that are put into them, user ids |
//! | `instance` | one running machine: its container, its end |
//! | `client` | HTTP to its first process and its ports |
//! | `channel` | a command in it, with its streams |
//! | `egress` | the proxy by which machines reach what the settings allow |
//! | `kernel`, `program` | a kernel, and a program of each language |
//! | `machine`, `sandbox`, `backend` | the traits of the contract |
#![cfg(target_os = "linux")]

mod assets;
mod backend;
mod channel;
mod client;
pub mod config;
mod egress;
mod figures;
mod files;
mod host;
mod instance;
mod kernel;
mod kernel_process;
mod language;
mod machine;
mod output;
mod pauses;
mod program;
mod runtime;
mod sandbox;
mod self_test;
mod shared;
#[cfg(test)]
mod taken_over;
mod template;
mod translate;
mod user_ids;

pub use backend::Machines;
pub use config::{Config, Python, RuntimeChoice};
pub use egress::{EgressNetwork, SystemNetwork};
pub use host::UnavailableMachines;
pub use switchtower_jail::Layer;
pub use switchtower_machine_image::{ImportError, ImportLimits, ImportReport, ImportedRoot, Roots, Source};
