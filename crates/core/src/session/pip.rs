//! `pip` without a machine: its commands in a cell are replaced by the output that it would have, where the local tiers provide
//! the packages.

mod command;
mod requirement;

use std::collections::BTreeMap;

use serde_json::json;

use crate::analyse::{EscapeCommand, escape_commands};
use command::{Answer, CommandLine};
use requirement::normalized;

/// Packages that local tiers provide, by tier.
#[derive(Debug, Default)]
pub(super) struct Packages(Vec<TierPackages>);

#[derive(Debug)]
struct TierPackages {
    /// Whether a session that has used a kernel of the tier stays there.
    stays: bool,
    /// Versions by normalized names.
    versions: BTreeMap<String, String>,
}

impl Packages {
    pub(super) fn add_tier(&mut self, stays: bool, packages: impl IntoIterator<Item = (String, String)>) {
        let versions = packages.into_iter().map(|(name, version)| (normalized(&name), version)).collect();
        self.0.push(TierPackages { stays, versions });
        // The tiers where sessions stay come first.
        self.0.sort_by_key(|tier| !tier.stays);
    }

    /// Returns the versions of a package, those first that a session ends up with; none unless it is in every tier where
    /// sessions stay.
    fn versions<'a>(&'a self, name: &str) -> Vec<&'a str> {
        if self.0.iter().any(|tier| tier.stays && !tier.versions.contains_key(name)) {
            return Vec::new();
        }
        self.0.iter().filter_map(|tier| tier.versions.get(name)).map(String::as_str).collect()
    }

    /// Returns every package with the version that a session ends up with, by name.
    fn all(&self) -> BTreeMap<&str, &str> {
        let names = self.0.iter().flat_map(|tier| tier.versions.keys());
        names.filter_map(|name| Some((name.as_str(), *self.versions(name).first()?))).collect()
    }
}

/// What is known when a cell is rewritten.
pub(super) struct Surroundings<'a> {
    pub(super) packages: &'a Packages,
    /// Whether the session can move to a machine, which has a pip of its own.
    pub(super) machine: bool,
    /// Returns how to have a package here, the cheapest way first.
    pub(super) remedy: &'a dyn Fn(&str) -> String,
    /// Returns a text file of the session.
    pub(super) read: &'a dyn Fn(&str) -> Option<String>,
}

/// Returns the cell with the answers in the place of pip's commands; `None` where it stays as it is. If a machine is available,
/// a cell with another command, or with a package that no local tier has, stays as it is and moves there.
pub(super) fn rewrite(source: &str, around: &Surroundings<'_>) -> Option<String> {
    let mut rewritten = source.to_owned();
    let mut changed = false;
    // From the last to the first, so that places stay valid.
    for command in commands(source).into_iter().rev() {
        let answer = CommandLine::parse(&command.text).and_then(|line| line.answer(around));
        let answer = answer.filter(|answer| !(around.machine && answer.code != 0));
        match answer {
            Some(answer) => {
                // As many lines as before, so that tracebacks name the right ones.
                let lines = source[command.range.clone()].matches('\n').count();
                let replacement = format!("{}{}", replacement(&command, &answer), "\n".repeat(lines));
                rewritten.replace_range(command.range.clone(), &replacement);
                changed = true;
            }
            None if around.machine && (command.shell || command.text.contains("pip")) => return None,
            None => {}
        }
    }
    changed.then_some(rewritten)
}

/// Returns whether a cell may have a command for pip. Few cells have, and this is quick.
pub(super) fn may_be_asked(source: &str) -> bool {
    source.contains("pip") && (source.contains(['!', '%']) || bare_command(source).is_some())
}

/// Returns a cell that is a command for pip without a sign, as notebooks accept it: `pip install numpy`.
fn bare_command(source: &str) -> Option<&str> {
    let whole = source.trim();
    let rest = ["pip ", "pip3 ", "uv pip "].iter().find_map(|word| whole.strip_prefix(word))?;
    // An assignment or an expression begins with an operator.
    let is_word = rest.trim_start().starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    (is_word && !whole.contains('\n')).then_some(whole)
}

fn commands(source: &str) -> Vec<EscapeCommand> {
    if let Some(text) = bare_command(source) {
        let start = source.len() - source.trim_start().len();
        let range = start..start + text.len();
        return vec![EscapeCommand { range, text: text.to_owned(), shell: true, statement: true }];
    }
    escape_commands(source)
}

/// Returns the Python that takes the place of a command, in one line.
fn replacement(command: &EscapeCommand, answer: &Answer) -> String {
    if !command.statement && command.shell {
        return format!("get_ipython()._lines({})", json!(answer.text.lines().collect::<Vec<_>>()));
    }
    // The value of a magic that is assigned is nothing.
    let code = if command.shell { format!("_exit_code = {}; ", answer.code) } else { String::new() };
    let print = if answer.text.is_empty() { "None".to_owned() } else { format!("print({})", json!(answer.text)) };
    format!("{code}{print}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Packages {
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<_>>();
        let mut packages = Packages::default();
        packages.add_tier(false, own(&[("sympy", "1.14.0"), ("mpmath", "1.4.1"), ("only-there", "1.0")]));
        packages.add_tier(
            true,
            own(&[
                ("numpy", "2.3.5"),
                ("scikit-learn", "1.6.1"),
                ("PyYAML", "6.0.2"),
                ("sympy", "1.14.0"),
                ("mpmath", "1.3.0"),
            ]),
        );
        packages
    }

    fn rewritten(source: &str, machine: bool) -> Option<String> {
        let read = |path: &str| match path {
            "requirements.txt" => Some("# all\nnumpy>=2\nsympy  # formulas\n".to_owned()),
            "long.txt" => Some("numpy\n".repeat(1000)),
            _ => None,
        };
        let around =
            Surroundings { packages: &packages(), machine, remedy: &|name| format!("add {name}"), read: &read };
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
            let expected = format!("_exit_code = 0; print({})", json!(satisfied));
            assert_eq!(rewritten(ask, true).as_deref(), Some(expected.as_str()));
        }
        assert_eq!(
            rewritten("pip install numpy", true).unwrap(),
            format!("_exit_code = 0; print({})", json!(satisfied))
        );
        for bare in ["pip install numpy==2.3.5", "  pip3 install -q 'numpy>=2'", "uv pip install numpy"] {
            assert!(may_be_asked(bare) && rewritten(bare, true).is_some(), "{bare}");
        }
        let quiet_first = rewritten("!pip install numpy > /dev/null && pip install sympy", true).unwrap();
        assert!(quiet_first.contains("satisfied: sympy") && !quiet_first.contains("numpy"), "{quiet_first}");
        let cell = rewritten(
            "import numpy\nif numpy:\n    %pip install -q 'scikit_learn[alldeps]>=1.2,<2' pyyaml\nx = 1",
            true,
        )
        .unwrap();
        assert_eq!(cell, "import numpy\nif numpy:\n    None\nx = 1");
        let split = "!pip install -q \\\n  numpy\n1 / 0";
        assert_eq!(rewritten(split, true).unwrap(), "_exit_code = 0; None\n\n1 / 0");
        assert!(rewritten("!pip install -r requirements.txt", true).unwrap().contains("satisfied: sympy in"));
        assert!(
            rewritten("!pip install --upgrade pip && pip install numpy", true).unwrap().contains("satisfied: pip in")
        );
        assert_eq!(
            rewritten("rows = !pip freeze", true).unwrap(),
            concat!(
                r#"rows = get_ipython()._lines(["mpmath==1.3.0","numpy==2.3.5","pyyaml==6.0.2","#,
                r#""scikit-learn==1.6.1","sympy==1.14.0"])"#
            )
        );
        assert!(rewritten("nothing = %pip list", true).unwrap().starts_with("nothing = print("));
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
            "!pip install pip==20.0",
            "!pip install -U pip setuptools",
            "!pip install 'sympy~=1.13.0'",
            "!pip install numpy\n!ls",
            "!pip install git+https://example.org/x",
            "!pip install -r other.txt",
            "!pip install ./x",
            // A session that has used the scientific tier has the other version, or none.
            "!pip install mpmath==1.4.1",
            "!pip install mpmath==1.3.0",
            "!pip install only-there",
            "!pip freeze > requirements.txt",
            "!pip freeze >requirements.txt",
            "!pip freeze & touch x",
            "!pip --version extra",
            "!pip install numpy < answers",
            "!pip install -r long.txt",
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
        assert!(refused.contains("no package index: add torch"), "{refused}");
        for (ask, remedy) in [("torch>=2", "add torch"), ("numpy==1.0", "add numpy==1.0"), ("torch[x]==2", "add torch")]
        {
            let text = rewritten(&format!("!pip install '{ask}'"), false).unwrap();
            assert!(text.contains(&format!("no package index: {remedy}\"")), "{text}");
        }
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
            "pip + 1",
            "pip == x",
            "print('pip install x')",
        ] {
            assert_eq!(rewritten(text, true), None, "{text}");
            assert_eq!(rewritten(text, false), None, "{text}");
        }
    }
}
