//! The stand-in called as a service: scripted kernels, a paused clock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod counts;
mod executions;
mod faults;
mod files;
mod lifecycle;
mod limits;
