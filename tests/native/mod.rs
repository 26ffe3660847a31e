//! The scientific tier with its real worker, in both profiles of the jail: promises to the tier, to Python programs, and what
//! hostile programs cannot do.
//!
//! Where this machine's Python cannot be embedded, these tests report that and pass.

mod crash_cleanup;
mod harness;
mod hostile_cases;
mod independent_runs;
mod jail;
mod kernels;
mod programs;
mod request_path;

pub(crate) use harness::{folder, in_each_profile, print_line};
