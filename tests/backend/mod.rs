//! The WebAssembly tier with the real guest: its promises to the tier and to Python programs.

pub(crate) mod harness;
mod javascript;
pub(crate) mod kernels;
mod limits;
mod needs;
mod purity;
mod python;
mod tracebacks;
mod workers;

use std::time::Duration;

use switchtower_contract::Backend;
use switchtower_contract::conformance::{JAVASCRIPT, PYTHON, TestPrograms, run_kernel_suite, run_suite};

use harness::harness;

/// Python without numpy. The engine enforces the deadlines, on a machine that may be busy.
const PROGRAMS: TestPrograms =
    TestPrograms { missing_module: Some(("import numpy", "numpy")), tolerance: Duration::from_millis(500), ..PYTHON };

/// JavaScript without packages.
const JAVASCRIPT_PROGRAMS: TestPrograms = TestPrograms {
    missing_module: Some(("require('lodash')", "lodash")),
    tolerance: Duration::from_millis(500),
    ..JAVASCRIPT
};

fn assert_conforms(backend: &dyn Backend) {
    for programs in [PROGRAMS, JAVASCRIPT_PROGRAMS] {
        let report = harness().block_on(run_suite(backend, &programs));
        report.verdict().unwrap();
        assert!(report.kept.len() >= 25, "{report}");
        let report = harness().block_on(run_kernel_suite(backend, &programs));
        report.verdict().unwrap();
        assert!(report.kept.len() >= 15, "{report}");
    }
}

#[test]
fn the_engine_in_this_process_passes_the_conformance_suite() {
    assert_conforms(&harness().in_process);
}

#[test]
fn the_engine_in_worker_processes_passes_the_conformance_suite() {
    assert_conforms(&*harness().workers);
}
