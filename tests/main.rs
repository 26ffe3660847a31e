//! The line from outside: through the door, by the command, and in a simulation.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cli;
mod http;
mod simulation;
