//! The commands for a shell and the magics of a notebook cell.

use std::ops::Range;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, IpyEscapeKind, Stmt};
use ruff_python_parser::{Mode, ParseOptions};
use ruff_text_size::TextRange;

use super::depth::{self, Depth};
use super::{catch_panic, cell::NotebookCell};

/// A line such as `!command` or `%magic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscapeCommand {
    /// Its place in the source, in bytes.
    pub range: Range<usize>,
    /// Without its sign.
    pub text: String,
    /// Whether it is for the shell; otherwise it is a magic.
    pub shell: bool,
    /// Whether it is a statement; otherwise its value is assigned.
    pub statement: bool,
}

/// Returns the commands and magics of a cell, in order; none if it cannot be parsed, or another program interprets it.
pub fn escape_commands(source: &str) -> Vec<EscapeCommand> {
    let cell = NotebookCell::parse(source);
    if cell.python.len() != source.len() || !matches!(depth::measure(source), Depth::Shallow) {
        return Vec::new();
    }
    catch_panic(|| {
        let parsed = ruff_python_parser::parse_unchecked(source, ParseOptions::from(Mode::Ipython));
        let module = parsed.try_into_module().filter(|parsed| parsed.errors().is_empty());
        let mut found = Found(Vec::new());
        if let Some(module) = &module {
            module.syntax().body.iter().for_each(|statement| found.visit_stmt(statement));
        }
        found.0
    })
    .unwrap_or_default()
}

struct Found(Vec<EscapeCommand>);

impl Found {
    fn add(&mut self, range: TextRange, kind: IpyEscapeKind, text: &str, statement: bool) {
        let shell = matches!(kind, IpyEscapeKind::Shell | IpyEscapeKind::ShCap);
        let range = range.start().to_usize()..range.end().to_usize();
        self.0.push(EscapeCommand { range, text: text.to_owned(), shell, statement });
    }
}

impl<'a> Visitor<'a> for Found {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::IpyEscapeCommand(command) => self.add(command.range, command.kind, &command.value, true),
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::IpyEscapeCommand(command) => self.add(command.range, command.kind, &command.value, false),
            _ => walk_expr(self, expression),
        }
    }
}
