//! The Python kernels: real processes, called as a service without a port.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cells;
#[path = "../offline/client.rs"]
#[allow(dead_code, reason = "this binary needs a part of it")]
mod client;
mod harness;
mod process_ends;
mod root;
mod shell;
