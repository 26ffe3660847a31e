//! The scientific tier with its real worker, in both profiles of the jail: its promises to the tier and to Python programs, and
//! hostile programs.
//!
//! If the Python of this machine cannot be embedded, these tests report that and pass.

mod crash_cleanup;
mod harness;
mod hostile_cases;
mod independent_runs;
mod jail;
mod kernels;
mod programs;
mod request_path;

pub(crate) use harness::{folder, in_each_profile, print_line};
