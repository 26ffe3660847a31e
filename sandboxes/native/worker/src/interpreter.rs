//! The embedded interpreter and the runtime's own Python in it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};
use switchtower_contract::{Cell, Change, KernelOptions, Program, python};
use switchtower_native::worker_config::WorkerConfig;

use crate::child_main;
use crate::child_protocol::ChildRunEnd;
use crate::huge_pages;
use crate::python_schema;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Makes the embedded files importable.
const BOOT: &str = include_str!("../../../python/native/boot.py");

/// The interpreter of this process, with the packages imported.
pub(crate) struct Interpreter {
    entry: Py<PyModule>,
}

impl Interpreter {
    /// Starts it, imports the packages and warms up what every program needs.
    ///
    /// # Errors
    /// Python does not start, or a package cannot be imported.
    pub(crate) fn start(settings: &WorkerConfig) -> Result<Self, String> {
        // Libraries of linear algebra read these when they are loaded: threads would not survive a fork.
        for name in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"] {
            set_variable(name, "1");
        }
        set_variable("HOME", python::HOME);
        set_variable("LANG", "C.UTF-8");
        set_variable("PATH", "/usr/local/bin:/usr/bin:/bin");
        // `getpass` reads these first; there is no list of users.
        set_variable("USER", "user");
        set_variable("LOGNAME", "user");
        set_variable("MPLBACKEND", "Agg");
        huge_pages::reserve_arenas();
        initialize(&settings.home)?;
        let prepared = Python::attach(|py| begin(py, settings)).map_err(|error| error.to_string());
        huge_pages::release_rest();
        prepared
    }

    /// Prepares a child, after it has entered its jail.
    pub(crate) fn born(&self, py: Python<'_>) -> PyResult<()> {
        self.entry.bind(py).call_method0("after_fork").map(drop)
    }

    /// Warms up a child that waits.
    pub(crate) fn warm(&self, py: Python<'_>) -> PyResult<()> {
        self.entry.bind(py).call_method0("warm_up").map(drop)
    }

    pub(crate) fn program(&self, py: Python<'_>, program: &Program) -> PyResult<ChildRunEnd> {
        let arguments = python_schema::program(py, program)?;
        python_schema::ending(&self.entry.bind(py).call_method("run_program", (), Some(&arguments))?)
    }

    pub(crate) fn cell(
        &self,
        py: Python<'_>,
        options: Option<&KernelOptions>,
        cell: &Cell,
    ) -> PyResult<(ChildRunEnd, Vec<Change>)> {
        let arguments = python_schema::cell(py, options, cell)?;
        python_schema::cell_result(&self.entry.bind(py).call_method("run_cell", (), Some(&arguments))?)
    }

    pub(crate) fn own(&self, py: Python<'_>, code: &str) -> PyResult<ChildRunEnd> {
        let arguments = python_schema::internal(py, code)?;
        python_schema::ending(&self.entry.bind(py).call_method("run_internal", (), Some(&arguments))?)
    }
}

fn begin(py: Python<'_>, settings: &WorkerConfig) -> PyResult<Interpreter> {
    let host = child_main::module(py)?;
    let modules = py.import("sys")?.getattr("modules")?;
    modules.set_item("_switchtower_host", host)?;
    let files = PyDict::new(py);
    for (name, text) in FILES {
        files.set_item(name, text)?;
    }
    let boot = CString::new(BOOT).map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
    let boot = PyModule::from_code(py, &boot, c"/switchtower/boot.py", c"_switchtower_boot")?;
    boot.call_method1("install", (files, &settings.site))?;
    python_schema::check(py)?;
    let entry = py.import("_switchtower.entry")?;
    let failed: Vec<String> = entry.call_method1("prepare", (&settings.preload,))?.extract()?;
    boot.call_method0("finish")?;
    if let Some(first) = failed.first() {
        return Err(pyo3::exceptions::PyImportError::new_err(format!("a package cannot be used: {first}")));
    }
    Ok(Interpreter { entry: entry.unbind() })
}

#[allow(unsafe_code, reason = "the environment belongs to the whole process")]
fn set_variable(name: &str, value: &str) {
    // SAFETY: there is one thread.
    unsafe { std::env::set_var(name, value) };
}

/// Starts Python in isolation from the configuration of this machine's users: no environment, no `site`, no bytecode files.
#[allow(unsafe_code, reason = "the configuration of an interpreter has no safe wrapper in pyo3")]
fn initialize(home: &Path) -> Result<(), String> {
    let failed = |status: &ffi::PyStatus| {
        // SAFETY: the message, where there is one, is a text of the interpreter's that is never freed.
        let message = unsafe { status.err_msg.as_ref().map(|text| std::ffi::CStr::from_ptr(text)) };
        format!("Python does not start: {}", message.map_or("no reason given".into(), |text| text.to_string_lossy()))
    };
    let home = CString::new(home.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the structures are made by the functions that initialise them and live until the end of this one, the text
    // ends with a zero, and no interpreter runs yet.
    unsafe {
        let mut before = std::mem::zeroed::<ffi::PyPreConfig>();
        ffi::PyPreConfig_InitIsolatedConfig(&raw mut before);
        before.utf8_mode = 1;
        let status = ffi::Py_PreInitialize(&raw const before);
        if ffi::PyStatus_Exception(status) != 0 {
            return Err(failed(&status));
        }
        let mut config = std::mem::zeroed::<ffi::PyConfig>();
        ffi::PyConfig_InitIsolatedConfig(&raw mut config);
        config.site_import = 0;
        config.write_bytecode = 0;
        config.install_signal_handlers = 1;
        let home_field = &raw mut config.home;
        let mut status = ffi::PyConfig_SetBytesString(&raw mut config, home_field, home.as_ptr());
        if ffi::PyStatus_Exception(status) == 0 {
            status = ffi::Py_InitializeFromConfig(&raw const config);
        }
        ffi::PyConfig_Clear(&raw mut config);
        if ffi::PyStatus_Exception(status) != 0 {
            return Err(failed(&status));
        }
        // Initialising leaves the interpreter's lock with this thread; from here on it is taken where it is needed.
        ffi::PyEval_SaveThread();
    }
    Ok(())
}
