//! An audit hook (PEP 578) that passes selected events of the interpreter to the runtime's Python.
//!
//! It is no protection: it recognises needs early, so that a program can move to another tier. A hook in Python would cost a
//! call for every event, and a loop over `id` alone raises a million of them.

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
    /// Sorted.
    events: Vec<Vec<u8>>,
    hook: Py<PyAny>,
}

static AUDIT_HOOK: OnceLock<AuditHook> = OnceLock::new();

/// Calls `hook` with each of these events and its arguments, from now on. An exception of the hook is raised in the program.
#[pyfunction]
#[allow(unsafe_code, reason = "audit hooks have no safe wrapper in pyo3")]
pub(crate) fn add_audit_hook(events: Vec<String>, hook: Py<PyAny>) -> PyResult<()> {
    let mut events: Vec<Vec<u8>> = events.into_iter().map(String::into_bytes).collect();
    events.sort_unstable();
    if AUDIT_HOOK.set(AuditHook { events, hook }).is_err() {
        return Err(pyo3::exceptions::PyRuntimeError::new_err("the audit hook is installed already"));
    }
    // SAFETY: the function has the type that the interpreter expects, and the data it reads is never freed.
    if unsafe { PySys_AddAuditHook(on_event, std::ptr::null_mut()) } == 0 {
        Ok(())
    } else {
        Err(pyo3::exceptions::PyRuntimeError::new_err("the interpreter refuses the audit hook"))
    }
}

#[allow(unsafe_code, reason = "called by the interpreter")]
unsafe extern "C" fn on_event(event: *const c_char, arguments: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    let Some(audit_hook) = AUDIT_HOOK.get() else { return 0 };
    // SAFETY: the interpreter gives a text that ends with a zero.
    let event = unsafe { CStr::from_ptr(event) };
    if audit_hook.events.binary_search_by(|known| known.as_slice().cmp(event.to_bytes())).is_err()
        || arguments.is_null()
    {
        return 0;
    }
    // SAFETY: the interpreter calls this with its lock held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the arguments are a tuple that the caller holds.
    let arguments = unsafe { Bound::from_borrowed_ptr(py, arguments) };
    match audit_hook.hook.bind(py).call1((event.to_string_lossy(), arguments)) {
        Ok(_) => 0,
        Err(error) => {
            error.restore(py);
            -1
        }
    }
}
