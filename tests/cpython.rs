//! CPython's own tests give in the WebAssembly tier what `tests/parity.md` says.
//!
//! A few modules that take seconds; `tests/cpython/compare.py` runs all. The modules of the package libpython3.11-testsuite and a
//! CPython 3.11 are needed: if they cannot be had, this test reports that and passes.

use std::path::Path;
use std::process::Command;

use crate::native::print_line;

/// What `compare.py` ends with where it cannot run.
const CANNOT_RUN: i32 = 77;

#[test]
fn cpythons_own_tests_differ_only_where_the_list_says_so() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.arg(folder.join("tests/cpython/compare.py")).args(["--check", "--jobs", "1"]);
    command.args(["--switchtower", env!("CARGO_BIN_EXE_switchtower"), "test_heapq", "test_struct", "test_textwrap"]);
    let ended = command.output().expect("python3 starts");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    if ended.status.code() == Some(CANNOT_RUN) {
        return print_line(&format!("skipped: CPython's own tests: {}", err.trim_end()));
    }
    assert!(ended.status.success(), "{out}{err}");
}
