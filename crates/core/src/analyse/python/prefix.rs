//! The side effects of a program up to an import that failed.

use std::collections::BTreeSet;

use ruff_python_ast::{ModModule, Stmt};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::Ranged as _;
use switchtower_contract::Program;

use super::cell::NotebookCell;
use super::depth::{self, Depth};
use super::imports::Imports;
use super::modules;
use super::survey::Survey;
use super::{Lines, catch_panic, module_of_file, side_effects};
use crate::request::SideEffects;

/// Returns the side effects that a program may have had when an exception ended it at `line` (from 1). If the line is
/// an import at the top level, only the code before the import has run; otherwise the result is [`SideEffects::World`].
pub(in crate::analyse) fn side_effects_before_import(program: &Program, line: u32) -> SideEffects {
    let source = program.source.as_str();
    let is_plain = !source.contains('\0') && NotebookCell::parse(source).python == source;
    if !is_plain || !matches!(depth::measure(source), Depth::Shallow) {
        return SideEffects::World;
    }
    let own: BTreeSet<&str> = program.files.iter().filter_map(|file| module_of_file(&file.path)).collect();
    let from_text = catch_panic(|| of_prefix(source, line, &own)).unwrap_or(SideEffects::World);
    if program.files.is_empty() { from_text } else { from_text.max(SideEffects::Sandbox) }
}

fn of_prefix(source: &str, line: u32, own: &BTreeSet<&str>) -> SideEffects {
    let parsed = ruff_python_parser::parse_unchecked(source, ParseOptions::from(Mode::Ipython));
    let Some(parsed) = parsed.try_into_module() else { return SideEffects::World };
    if !parsed.errors().is_empty() {
        return SideEffects::World;
    }
    let lines = Lines::new(source);
    let Some(body) = statements_before_import(&parsed, line, &lines) else { return SideEffects::World };
    let imports = Imports::collect(body);
    let survey = Survey::collect(body, &imports);
    // Importing a module from the program's own files runs code that is not analysed.
    if imports.modules.iter().any(|imported| own.contains(modules::top(imported.module))) {
        return SideEffects::World;
    }
    side_effects::estimate_of_prefix(&imports, &survey)
}

/// Returns the statements before the import at this line, or `None` if the line is not exactly one top-level import.
fn statements_before_import<'a>(parsed: &'a Parsed<ModModule>, line: u32, lines: &Lines) -> Option<&'a [Stmt]> {
    let body: &[Stmt] = &parsed.syntax().body;
    let covers_line = |statement: &Stmt| {
        let range = statement.range();
        (lines.line(range.start())..=lines.line(range.end())).contains(&line)
    };
    // If the line has several statements, it is unknown which of them failed.
    let mut at_line = body.iter().enumerate().filter(|(_, statement)| covers_line(statement));
    let (at, statement) = at_line.next()?;
    let is_import = matches!(statement, Stmt::Import(_) | Stmt::ImportFrom(_));
    (is_import && at_line.next().is_none()).then(|| &body[..at])
}

#[cfg(test)]
mod tests {
    use switchtower_contract::File;

    use super::*;

    fn before(source: &str, line: u32) -> SideEffects {
        side_effects_before_import(&Program::python(source), line)
    }

    #[test]
    fn the_first_imports_of_a_program_have_no_side_effects() {
        assert_eq!(before("import lightgbm\nopen('x', 'w')", 1), SideEffects::None);
        assert_eq!(
            before("\"\"\"Text.\"\"\"\nimport numpy as np\nimport lightgbm as lgb\nlgb.train()", 3),
            SideEffects::None
        );
        assert_eq!(
            before("import requests\nimport torch\nfrom lightgbm import x\nrequests.post('u')", 3),
            SideEffects::None
        );
        assert_eq!(before("import math\nprint(math.pi)\nfrom lightgbm import (\n  a,\n  b,\n)", 4), SideEffects::None);
        assert_eq!(before("open('x', 'w').write('y')\nimport lightgbm", 2), SideEffects::Sandbox);
    }

    #[test]
    fn code_before_an_import_that_may_have_side_effects_counts_as_the_world() {
        for (source, line) in [
            ("import requests\nrequests.post('https://x.org')\nimport lightgbm", 3),
            ("import unknown_to_us\nimport lightgbm", 2),
            ("!curl x.org\nimport lightgbm", 2),
            ("import os\nos.system('x')\nimport lightgbm", 3),
            ("from requests import *\nimport lightgbm", 2),
            // Not at the top level: code below the import may have run before it.
            ("import requests\nfor x in range(2):\n    if x:\n        import lightgbm\n    requests.get('u')", 4),
            ("def f():\n    import lightgbm\nf()", 2),
            ("import a; import b", 1),
            ("print(1)", 1),
            ("import lightgbm", 7),
            ("import lightgbm\nprint(", 1),
            ("%%bash\nimport lightgbm", 2),
        ] {
            assert_eq!(before(source, line), SideEffects::World, "{source}");
        }
        let own = File { path: "helpers.py".to_owned(), content: b"x".to_vec() };
        let of = |source: &str| {
            side_effects_before_import(&Program { files: vec![own.clone()], ..Program::python(source) }, 2)
        };
        assert_eq!(of("import helpers\nimport lightgbm"), SideEffects::World);
        assert_eq!(of("import math\nimport lightgbm"), SideEffects::Sandbox);
    }
}
