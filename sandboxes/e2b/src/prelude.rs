//! Code of Switchtower's own that runs in a new kernel: it prepares the kernel and checks the template.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchtower_contract::KernelOptions;

const PRELUDE: &str = include_str!("prelude.py");
const KERNEL_OPTIONS: &str = include_str!("kernel_options.py");
const CHECK_TEMPLATE: &str = include_str!("check_template.py");

/// The result of the check of a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateCheck {
    pub(crate) python: String,
    /// Modules that do not import.
    pub(crate) missing: Vec<String>,
    /// Identifies the processors by the features that native code dispatches on. `None` where they are not known.
    pub(crate) processor: Option<String>,
}

/// The inputs of a run, as `prelude.py` reads them.
#[derive(Debug, Serialize)]
struct RunInputs<'a> {
    stdin: Option<&'a str>,
    /// Bytes.
    memory: u64,
}

/// The code that prepares every kernel of a sandbox.
#[derive(Clone)]
pub(crate) struct Prelude {
    /// The file with the inputs of a run. The kernel removes it before the program's first line.
    inputs_path: String,
    /// Bytes of memory of a program whose run has no inputs.
    memory: u64,
    /// Further code, which runs last.
    further: Arc<str>,
}

impl Prelude {
    pub(crate) fn new(sandbox: &str, memory: u64, further: Arc<str>) -> Self {
        Self { inputs_path: format!("/tmp/.switchtower-{sandbox}"), memory, further }
    }

    /// Returns the code that prepares a kernel.
    pub(crate) fn code(&self) -> String {
        let Self { inputs_path, memory, further } = self;
        format!(
            "{PRELUDE}\n_switchtower_prelude({}, {memory})\ndel _switchtower_prelude\n{further}\n",
            json!(inputs_path)
        )
    }

    /// Returns the path and the content of the file with a run's inputs. `None` where it has no stdin and the usual
    /// memory.
    pub(crate) fn run_inputs(&self, stdin: Option<&str>, memory: u64) -> Option<(String, String)> {
        let is_usual = stdin.is_none_or(str::is_empty) && memory == self.memory;
        (!is_usual).then(|| (self.inputs_path.clone(), json!(RunInputs { stdin, memory }).to_string()))
    }
}

/// Returns code that turns a prepared kernel into one that keeps state: with these variables, in this folder, with
/// IPython's behaviour.
pub(crate) fn options_code(options: &KernelOptions) -> String {
    let (env, folder) = (json!(options.env), json!(options.folder));
    // These JSON texts are valid Python, except for `null`.
    let folder = if options.folder.is_some() { folder.to_string() } else { "None".to_owned() };
    format!("{KERNEL_OPTIONS}\n_switchtower_set_options({env}, {folder})\ndel _switchtower_set_options\n")
}

/// Returns code that prints a [`TemplateCheck`] as JSON.
pub(crate) fn check_code(modules: &BTreeSet<String>) -> String {
    format!("{CHECK_TEMPLATE}\n_switchtower_check_template({})\ndel _switchtower_check_template\n", json!(modules))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of the values that are passed to Python, as `sandboxes/python/schema.json` lists them.
    fn fields(name: &str) -> Vec<String> {
        let all: serde_json::Value = serde_json::from_str(include_str!("../../python/schema.json")).unwrap();
        serde_json::from_value(all["e2b"][name].clone()).unwrap()
    }

    #[test]
    fn values_that_are_passed_to_python_have_the_fields_of_the_schema() {
        let inputs = json!(RunInputs { stdin: Some("x"), memory: 1 });
        let mut listed = fields("RunInputs");
        listed.sort();
        assert_eq!(inputs.as_object().unwrap().keys().cloned().collect::<Vec<_>>(), listed);

        let value = |name: &str| if name == "missing" { json!([]) } else { json!("x") };
        let mut check: serde_json::Map<_, _> =
            fields("TemplateCheck").into_iter().map(|name| (name.clone(), value(&name))).collect();
        serde_json::from_value::<TemplateCheck>(json!(check)).unwrap();
        check.insert("more".to_owned(), json!(1));
        serde_json::from_value::<TemplateCheck>(json!(check)).unwrap_err();
    }
}
