//! Hears what the interpreter is about to do (PEP 578), and tells the Python of ours what it asked to hear of.
//!
//! It is no wall: what it hears is told to another tier in time. A hook written in Python would cost a call at every
//! event, and `id` alone makes a million of them in a loop.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;

type Hook = unsafe extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

#[allow(unsafe_code, reason = "pyo3 does not declare it")]
unsafe extern "C" {
    fn PySys_AddAuditHook(hook: Hook, data: *mut c_void) -> c_int;
}

struct AuditHook {
    /// In order.
    events: Vec<Vec<u8>>,
    hook: Py<PyAny>,
}

static AUDIT_HOOK: OnceLock<AuditHook> = OnceLock::new();

/// From here on `hook` is called with each of these events and its arguments. What it raises goes through the program.
#[pyfunction]
#[allow(unsafe_code, reason = "audit hooks have no safe wrapper in pyo3")]
pub(crate) fn watch(events: Vec<String>, hook: Py<PyAny>) -> PyResult<()> {
    let mut events: Vec<Vec<u8>> = events.into_iter().map(String::into_bytes).collect();
    events.sort_unstable();
    if AUDIT_HOOK.set(AuditHook { events, hook }).is_err() {
        return Err(pyo3::exceptions::PyRuntimeError::new_err("events are watched already"));
    }
    // SAFETY: the function is as the interpreter wants it, and what it looks at is never freed.
    if unsafe { PySys_AddAuditHook(hear, std::ptr::null_mut()) } == 0 {
        Ok(())
    } else {
        Err(pyo3::exceptions::PyRuntimeError::new_err("the interpreter takes no hook"))
    }
}

#[allow(unsafe_code, reason = "called by the interpreter")]
unsafe extern "C" fn hear(event: *const c_char, arguments: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    let Some(watched) = AUDIT_HOOK.get() else { return 0 };
    // SAFETY: the interpreter gives a text that ends with a zero.
    let event = unsafe { CStr::from_ptr(event) };
    if watched.events.binary_search_by(|known| known.as_slice().cmp(event.to_bytes())).is_err() || arguments.is_null() {
        return 0;
    }
    // SAFETY: the interpreter calls this with its lock held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the arguments are a tuple that the caller holds.
    let arguments = unsafe { Bound::from_borrowed_ptr(py, arguments) };
    match watched.hook.bind(py).call1((event.to_string_lossy(), arguments)) {
        Ok(_) => 0,
        Err(error) => {
            error.restore(py);
            -1
        }
    }
}
