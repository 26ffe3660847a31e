//! The WebAssembly tier with the real guest: what a tier may rely on, and what a Python program may.

pub(crate) mod bench;
pub(crate) mod kernels;
mod limits;
mod needs;
mod purity;
mod python;
mod tracebacks;
mod workers;

use std::time::Duration;

use switchtower_contract::Backend;
use switchtower_contract::conformance::{PYTHON, TestPrograms, run_suite};

use bench::bench;

/// Python that lacks numpy; its deadlines are kept by the engine, on a machine that may be busy.
const PROGRAMS: TestPrograms =
    TestPrograms { missing_module: Some(("import numpy", "numpy")), tolerance: Duration::from_millis(500), ..PYTHON };

fn conforms(backend: &dyn Backend) {
    let report = bench().block_on(run_suite(backend, &PROGRAMS));
    report.verdict().unwrap();
    assert!(report.kept.len() >= 25, "{report}");
}

#[test]
fn the_engine_in_this_process_keeps_every_promise() {
    conforms(&bench().in_process);
}

#[test]
fn the_engine_in_worker_processes_keeps_every_promise() {
    conforms(&*bench().workers);
}
