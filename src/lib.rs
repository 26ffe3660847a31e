//! The `switchtower` command: settings, the assembly of a server from them, the command line.
//!
//! The request path is in `switchtower-core`, the HTTP APIs over it in `switchtower-server`.

pub mod assemble;
pub mod cli;
pub mod config;
mod resident;
