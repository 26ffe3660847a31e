//! What a run may have left behind that ended at an import.

use std::collections::BTreeSet;

use ruff_python_ast::{ModModule, Stmt};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::Ranged as _;
use switchtower_contract::Program;

use super::cell::Cell;
use super::depth::{self, Depth};
use super::imports::Imports;
use super::modules;
use super::survey::Survey;
use super::{Lines, catch_panic, module_of_file, side_effects};
use crate::request::SideEffects;

/// What a program may have left behind that ended with an exception at this line, where the line is an import at the top
/// level of the program: only what stands before it has run. Anything else may have done all that the program can do.
pub(in crate::analyse) fn side_effects_before_import(program: &Program, line: u32) -> SideEffects {
    let source = program.source.as_str();
    let is_plain = !source.contains('\0') && Cell::of(source).python == source;
    if !is_plain || !matches!(depth::of(source), Depth::Shallow) {
        return SideEffects::World;
    }
    let own: BTreeSet<&str> = program.files.iter().filter_map(|file| module_of_file(&file.path)).collect();
    let of_text = catch_panic(|| before(source, line, &own)).unwrap_or(SideEffects::World);
    if program.files.is_empty() { of_text } else { of_text.max(SideEffects::Sandbox) }
}

fn before(source: &str, line: u32, own: &BTreeSet<&str>) -> SideEffects {
    let parsed = ruff_python_parser::parse_unchecked(source, ParseOptions::from(Mode::Ipython));
    let Some(parsed) = parsed.try_into_module() else { return SideEffects::World };
    if !parsed.errors().is_empty() {
        return SideEffects::World;
    }
    let lines = Lines::of(source);
    let Some(body) = body_before(&parsed, line, &lines) else { return SideEffects::World };
    let imports = Imports::of(body);
    let survey = Survey::of(body, &imports);
    // What is among its own files runs the program's own code when it is imported.
    if imports.modules.iter().any(|named| own.contains(modules::top(named.module))) {
        return SideEffects::World;
    }
    side_effects::of_prefix(&imports, &survey)
}

/// The statements before the import at this line; none where there is no import at the top level.
fn body_before<'a>(parsed: &'a Parsed<ModModule>, line: u32, lines: &Lines) -> Option<&'a [Stmt]> {
    let body: &[Stmt] = &parsed.syntax().body;
    let is_there = |statement: &Stmt| {
        let range = statement.range();
        (lines.line(range.start())..=lines.line(range.end())).contains(&line)
    };
    // Two statements on one line cannot be told apart.
    let mut at_line = body.iter().enumerate().filter(|(_, statement)| is_there(statement));
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
    fn nothing_has_been_done_before_the_first_imports() {
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
    fn what_may_have_been_done_before_an_import_counts() {
        for (source, line) in [
            ("import requests\nrequests.post('https://x.org')\nimport lightgbm", 3),
            ("import unknown_to_us\nimport lightgbm", 2),
            ("!curl x.org\nimport lightgbm", 2),
            ("import os\nos.system('x')\nimport lightgbm", 3),
            ("from requests import *\nimport lightgbm", 2),
            // Not at the top level, so that something behind it may have run before it.
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
