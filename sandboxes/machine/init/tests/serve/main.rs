//! The init as an ordinary process, without a container: what it serves on its socket.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod calls;
mod channels;
mod harness;
