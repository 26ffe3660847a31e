//! Machines of this host, as the backend starts them.

#![allow(clippy::unwrap_used, reason = "a test fails with a panic")]

mod cleanup;
mod commands;
mod conformance;
mod egress;
mod file_service;
mod harness;
mod hostile;
mod limits;
mod not_root;
mod ports;
mod programs;
mod roots;
mod strongest;
mod sudo;
