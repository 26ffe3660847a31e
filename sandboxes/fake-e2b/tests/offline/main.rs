//! The stand-in without a port: scripted kernels, a paused clock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod account;
mod faults;
mod figures;
mod life;
mod limits;
mod runs;
