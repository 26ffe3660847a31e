//! Machines of this host, as the backend starts them.

mod commands;
mod harness;
mod programs;
