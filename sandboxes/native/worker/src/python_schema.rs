//! What crosses between this executable and its Python. `sandboxes/python/native/_switchtower/schema.py` has the same tuples.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict as _, PyBool, PyBytes, PyDict};
use switchtower_contract::{Cell, Change, Content, Failure, KernelOptions, Program};

use crate::child_protocol::ChildRunEnd;

/// Fields of the tuples that Python returns, in their order.
const TUPLES: [(&str, &[&str]); 5] = [
    ("Finished", &["kind", "code"]),
    ("Raised", &["kind", "name", "value", "traceback", "line"]),
    ("KernelOptions", &["env", "folder"]),
    ("Change", &["path", "content"]),
    ("CellResult", &["ending", "changes"]),
];

/// How a program or cell ended: `schema.Finished` or `schema.Raised`.
#[derive(FromPyObject)]
enum PythonEnding {
    Finished { code: i32 },
    Raised { name: String, value: String, traceback: String, line: Option<u32> },
}

/// `schema.CellResult`.
#[derive(FromPyObject)]
struct CellResult<'py> {
    ending: Bound<'py, PyAny>,
    changes: Vec<PythonChange<'py>>,
}

/// `schema.Change`.
#[derive(FromPyObject)]
struct PythonChange<'py> {
    path: String,
    content: Bound<'py, PyAny>,
}

/// Compares the fields of Python's tuples with those here.
///
/// # Errors
/// One has a field more or less.
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    let schema = py.import("_switchtower.schema")?;
    for (name, fields) in TUPLES {
        let there: Vec<String> = schema.getattr(name)?.getattr("_fields")?.extract()?;
        if there != fields {
            return Err(PyTypeError::new_err(format!("{name} has the fields {there:?}, and should have {fields:?}")));
        }
    }
    Ok(())
}

/// Returns the arguments of `entry.run_program`. Python refuses missing and unknown ones.
pub(crate) fn program<'py>(py: Python<'py>, program: &Program) -> PyResult<Bound<'py, PyDict>> {
    let files: Vec<_> = program.files.iter().map(|file| (&file.path, PyBytes::new(py, &file.content))).collect();
    let arguments = PyDict::new(py);
    arguments.set_item("code", &program.source)?;
    arguments.set_item("files", files)?;
    arguments.set_item("env", &program.env)?;
    arguments.set_item("has_stdin", program.stdin.is_some())?;
    Ok(arguments)
}

/// Returns the arguments of `entry.run_cell`.
pub(crate) fn cell<'py>(py: Python<'py>, options: Option<&KernelOptions>, cell: &Cell) -> PyResult<Bound<'py, PyDict>> {
    let changes: Vec<_> = cell.changes.iter().map(|change| (&change.path, to_python(py, &change.content))).collect();
    let arguments = PyDict::new(py);
    arguments.set_item("options", options.map(|options| (&options.env, &options.folder)))?;
    arguments.set_item("code", &cell.source)?;
    arguments.set_item("number", cell.number)?;
    arguments.set_item("env", &cell.env)?;
    arguments.set_item("has_stdin", cell.stdin.is_some())?;
    arguments.set_item("changes", changes)?;
    Ok(arguments)
}

/// Returns the arguments of `entry.run_internal`.
pub(crate) fn internal<'py>(py: Python<'py>, code: &str) -> PyResult<Bound<'py, PyDict>> {
    [("code", code)].into_py_dict(py)
}

/// Reads what `entry.run_program` and `entry.run_internal` return.
pub(crate) fn ending(returned: &Bound<'_, PyAny>) -> PyResult<ChildRunEnd> {
    Ok(match returned.extract()? {
        PythonEnding::Finished { code } => ChildRunEnd::Finished(code),
        PythonEnding::Raised { name, value, traceback, line } => {
            ChildRunEnd::Raised(Failure { name, value, traceback, line })
        }
    })
}

/// Reads what `entry.run_cell` returns.
pub(crate) fn cell_result(returned: &Bound<'_, PyAny>) -> PyResult<(ChildRunEnd, Vec<Change>)> {
    let result: CellResult<'_> = returned.extract()?;
    let changes = result.changes.into_iter();
    let changes = changes.map(|PythonChange { path, content }| Ok(Change { path, content: from_python(&content)? }));
    Ok((ending(&result.ending)?, changes.collect::<PyResult<_>>()?))
}

fn to_python<'py>(py: Python<'py>, content: &Content) -> Option<Bound<'py, PyAny>> {
    match content {
        Content::File(content) => Some(PyBytes::new(py, content).into_any()),
        Content::Folder => Some(PyBool::new(py, true).to_owned().into_any()),
        Content::Removed => None,
    }
}

fn from_python(content: &Bound<'_, PyAny>) -> PyResult<Content> {
    if content.is_none() {
        Ok(Content::Removed)
    } else if let Ok(bytes) = content.cast::<PyBytes>() {
        Ok(Content::File(bytes.as_bytes().to_vec().into()))
    } else if content.is_instance_of::<PyBool>() {
        Ok(Content::Folder)
    } else {
        Err(PyTypeError::new_err("the content of a change is neither bytes nor True nor None"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tuples_have_the_fields_of_the_schema() {
        let schema: serde_json::Value = serde_json::from_str(include_str!("../../../python/schema.json")).unwrap();
        let tuples = schema["native_worker"].as_object().unwrap();
        assert_eq!(tuples.len(), TUPLES.len());
        for (name, fields) in TUPLES {
            assert_eq!(tuples[name], serde_json::json!(fields), "{name}");
        }
    }
}
