//! The `switchtower` command: settings, the assembly of a server from them, the command line.
//!
//! The request path is in `switchtower-core`, the HTTP APIs over it in `switchtower-server`.

#[cfg(not(target_os = "linux"))]
compile_error!("Switchtower runs on Linux only (x86_64 or aarch64): its jails need Landlock, seccomp and namespaces");
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("Switchtower runs on x86_64 and aarch64 only");

pub mod assemble;
pub mod cli;
pub mod config;
mod resident;
