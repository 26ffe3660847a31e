//! The scientific tier with its real worker, behind both kinds of walls: what a tier may rely on, what a Python program
//! may, and what a hostile one may not.
//!
//! Where this machine's Python cannot be embedded, these tests say so and pass.

mod bench;
mod cases;
mod kernels;
mod line;
mod programs;
mod remains;
mod walls;
mod witnesses;

pub(crate) use bench::{folder, in_each_profile, tell};
