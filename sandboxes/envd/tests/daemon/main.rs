//! A daemon on real processes and files, called as a service.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod contents;
mod folders;
mod harness;
mod processes;
mod streams;
mod watches;
