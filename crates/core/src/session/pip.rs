//! `pip` without a machine: its commands in a cell are replaced by the output that it would have, where the local tiers provide
//! the packages.

mod command;
mod requirement;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;

use crate::analyse::{EscapeCommand, escape_commands};
use command::{Answer, CommandLine};
use requirement::normalized;

/// Follows the Python that takes the place of a command.
const MARK: &str = "  # in place of: ";

/// Packages that local tiers provide: normalized name and versions.
#[derive(Debug, Default)]
pub(super) struct Packages(BTreeMap<String, Vec<String>>);

impl Packages {
    pub(super) fn add(&mut self, name: &str, version: &str) {
        self.0.entry(normalized(name)).or_default().push(version.to_owned());
    }
}

/// What is known when a cell is rewritten.
pub(super) struct Surroundings<'a> {
    pub(super) packages: &'a Packages,
    /// Whether the session can move to a machine, which has a pip of its own.
    pub(super) machine: bool,
    /// How a package is added here.
    pub(super) remedy: &'a str,
    /// Returns a text file of the session.
    pub(super) read: &'a dyn Fn(&str) -> Option<String>,
}

/// Returns the cell with the answers in the place of pip's commands; `None` where it stays as it is. If a machine is available,
/// a cell with another command, or with a package that no local tier has, stays as it is and moves there.
pub(super) fn rewrite(source: &str, around: &Surroundings<'_>) -> Option<String> {
    if !source.contains("pip") {
        return None;
    }
    let mut rewritten = source.to_owned();
    let mut changed = false;
    // From the last to the first, so that places stay valid.
    for command in commands(source).into_iter().rev() {
        let answer = CommandLine::parse(&command.text).and_then(|line| line.answer(around));
        let answer = answer.filter(|answer| !(around.machine && answer.code != 0));
        match answer {
            Some(answer) => {
                let original = &source[command.range.clone()];
                rewritten.replace_range(command.range.clone(), &replacement(&command, &answer, original));
                changed = true;
            }
            None if around.machine && (command.shell || command.text.contains("pip")) => return None,
            None => {}
        }
    }
    changed.then_some(rewritten)
}

/// Returns the cell as the client sent it.
pub(super) fn original(source: &str) -> Cow<'_, str> {
    if !source.contains(MARK) {
        return Cow::Borrowed(source);
    }
    let line = |line: &str| match line.split_once(MARK) {
        Some((python, original)) => {
            let indentation = &python[..python.len() - python.trim_start().len()];
            format!("{indentation}{original}")
        }
        None => line.to_owned(),
    };
    Cow::Owned(source.split('\n').map(line).collect::<Vec<_>>().join("\n"))
}

fn commands(source: &str) -> Vec<EscapeCommand> {
    let whole = source.trim();
    let is_bare =
        ["pip ", "pip3 ", "uv pip "].iter().any(|word| whole.starts_with(word)) && !whole.contains(['\n', '=']);
    if is_bare {
        let start = source.len() - source.trim_start().len();
        let text = whole.to_owned();
        return vec![EscapeCommand { range: start..start + whole.len(), text, shell: true, statement: true }];
    }
    escape_commands(source)
}

/// Returns the Python that takes the place of a command, in one line.
fn replacement(command: &EscapeCommand, answer: &Answer, original: &str) -> String {
    if !command.statement {
        return json!(answer.text.lines().collect::<Vec<_>>()).to_string();
    }
    let code = if command.shell { format!("_exit_code = {}; ", answer.code) } else { String::new() };
    let print = if answer.text.is_empty() { "None".to_owned() } else { format!("print({})", json!(answer.text)) };
    format!("{code}{print}{MARK}{}", original.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Packages {
        let mut packages = Packages::default();
        for (name, version) in [("numpy", "2.3.5"), ("scikit-learn", "1.6.1"), ("PyYAML", "6.0.2"), ("sympy", "1.14.0")]
        {
            packages.add(name, version);
        }
        packages
    }

    fn rewritten(source: &str, machine: bool) -> Option<String> {
        let read = |path: &str| (path == "requirements.txt").then(|| "# all\nnumpy>=2\nsympy  # formulas\n".to_owned());
        let around = Surroundings { packages: &packages(), machine, remedy: "install it", read: &read };
        rewrite(source, &around)
    }

    #[test]
    fn a_request_for_packages_that_are_here_is_answered_as_pip_does() {
        let satisfied = "Requirement already satisfied: numpy in /usr/local/lib/python3/site-packages (2.3.5)";
        for ask in [
            "!pip install numpy",
            "!pip3 install numpy",
            "!python -m pip install numpy",
            "!uv pip install numpy",
            "!{sys.executable} -m pip install --no-cache-dir -U numpy",
            "!pip install --user numpy 2>&1",
            "!pip install -i https://index.example/simple numpy",
        ] {
            let expected = format!("_exit_code = 0; print({}){MARK}{ask}", json!(satisfied));
            assert_eq!(rewritten(ask, true).as_deref(), Some(expected.as_str()));
        }
        assert_eq!(
            rewritten("pip install numpy", true).unwrap(),
            format!("_exit_code = 0; print({}){MARK}pip install numpy", json!(satisfied))
        );
        let cell = rewritten(
            "import numpy\nif numpy:\n    %pip install -q 'scikit_learn[alldeps]>=1.2,<2' pyyaml\nx = 1",
            true,
        )
        .unwrap();
        assert_eq!(
            cell,
            format!(
                "import numpy\nif numpy:\n    None{MARK}%pip install -q 'scikit_learn[alldeps]>=1.2,<2' pyyaml\nx = 1"
            )
        );
        assert_eq!(
            original(&cell),
            "import numpy\nif numpy:\n    %pip install -q 'scikit_learn[alldeps]>=1.2,<2' pyyaml\nx = 1"
        );
        assert!(rewritten("!pip install -r requirements.txt", true).unwrap().contains("satisfied: sympy in"));
        assert!(
            rewritten("!pip install --upgrade pip && pip install numpy", true).unwrap().contains("satisfied: pip in")
        );
        assert_eq!(
            rewritten("rows = !pip freeze", true).unwrap(),
            r#"rows = ["numpy==2.3.5","pyyaml==6.0.2","scikit-learn==1.6.1","sympy==1.14.0"]"#
        );
        assert!(rewritten("!pip show numpy", true).unwrap().contains("Name: numpy\\nVersion: 2.3.5"));
        assert!(rewritten("!pip list", true).unwrap().contains("numpy        2.3.5"));
        assert!(rewritten("!pip --version", true).unwrap().contains("from /usr/local/lib"));
    }

    #[test]
    fn what_is_not_here_goes_to_a_machine_or_is_refused_as_pip_does() {
        for ask in [
            "!pip install torch",
            "!pip install numpy==1.0",
            "!pip install numpy torch",
            "!pip install 'sympy~=1.13.0'",
            "!pip install numpy\n!ls",
            "!pip install git+https://example.org/x",
            "!pip install -r other.txt",
            "!pip install ./x",
            "!pip uninstall -y numpy",
            "!pip install numpy | tail -1",
            "!pip install numpy; ls",
            "!pip install --target x numpy",
        ] {
            assert_eq!(rewritten(ask, true), None, "{ask}");
        }
        let refused = rewritten("!pip install torch", false).unwrap();
        assert!(
            refused.starts_with("_exit_code = 1; print(")
                && refused.contains("No matching distribution found for torch")
        );
        assert!(refused.contains("install it"));
        let partly = rewritten("!ls\n!pip install numpy", false).unwrap();
        assert!(partly.starts_with("!ls\n_exit_code = 0"));
    }

    #[test]
    fn text_that_looks_like_a_command_stays_as_it_is() {
        for text in [
            "text = '''\n!pip install numpy\n'''",
            "# !pip install numpy",
            "pipe = 1",
            "pip = 3",
            "print('pip install x')",
        ] {
            assert_eq!(rewritten(text, true), None, "{text}");
            assert_eq!(rewritten(text, false), None, "{text}");
        }
    }
}
