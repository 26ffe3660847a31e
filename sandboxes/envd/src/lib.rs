//! The daemon of a machine, with the protocol of E2B's envd: processes, files, watches, variables and figures of a real
//! system.
//!
//! It serves one machine and trusts its caller: tokens, signatures and the way to the right machine are the caller's. The init of
//! local machines and the stand-in for E2B serve with it. They differ in how programs start ([`Launcher`]), where files are
//! ([`FileRoot`]) and which users there are ([`Users`]).
//!
//! | path | content |
//! |---|---|
//! | `/process.Process/*` | programs: start, attach, list, input, signals, terminals |
//! | `/filesystem.Filesystem/*` | files and folders: look up, list, make, move, remove, watch |
//! | `/files`, `/files/compose` | contents of files |
//! | `/init`, `/envs`, `/metrics`, `/health` | variables and defaults, figures |
//!
//! Everything that a caller can make grow has a bound: programs, readers, watches, events, listed entries. Contents of files are never
//! in memory as a whole.

mod basic_auth;
mod daemon;
mod entry;
mod file_error;
mod files;
mod filesystem_service;
mod folders;
mod launcher;
pub mod metadata;
mod metrics;
mod paths;
mod process;
mod process_service;
mod readiness;
mod stream_times;
mod terminal;
mod users;
mod watch;

pub use daemon::{Daemon, DaemonOptions, router};
pub use folders::FileRoot;
pub use launcher::{Launch, Launcher, ProcessGroup, group_of};
pub use terminal::TerminalSize;
pub use users::{User, Users};
