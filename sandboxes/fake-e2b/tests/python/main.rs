//! The Python kernels: real processes, called as a service without a port.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../offline/account.rs"]
#[allow(dead_code, reason = "this binary needs a part of it")]
mod account;
mod cells;
mod ends;
mod house;
mod shell;
