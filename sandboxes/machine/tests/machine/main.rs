//! Machines of this host, as the backend starts them.

mod commands;
mod conformance;
mod harness;
mod hostile;
mod programs;
