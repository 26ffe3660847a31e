//! Machines of this host, as the backend starts them.

mod cleanup;
mod commands;
mod conformance;
mod file_service;
mod harness;
mod hostile;
mod limits;
mod not_root;
mod ports;
mod programs;
mod sudo;
