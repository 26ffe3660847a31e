//! How a JavaScript program or a cell runs: as a script or a module, with or without awaiting, and what is the value of its
//! last expression.

use oxc_allocator::Allocator;
use oxc_ast::ast::{
    ArrowFunctionExpression, AwaitExpression, Class, Declaration, ExportDefaultDeclarationKind, ForOfStatement,
    Function, ImportDeclaration, ImportDeclarationSpecifier, Program, Statement, VariableDeclarationKind,
};
use oxc_ast_visit::{Visit, walk};
use oxc_parser::{ParseOptions, Parser};
use oxc_span::{GetSpan, SourceType, Span};

use crate::nested::guarded;

/// The name under which a module exports the value of its last expression.
pub const RESULT: &str = "switchtower__result";

/// How code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramForm {
    /// In a function.
    Script,
    /// In an asynchronous function: it awaits at the top level.
    Async,
    /// As a module: it has `import` or `export`.
    Module,
}

impl ProgramForm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Async => "async",
            Self::Module => "module",
        }
    }
}

/// Text that was inserted into a line: places after it are moved by its width. Lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    pub line: u32,
    pub column: u32,
    pub width: u32,
}

/// Code that is ready to run. It has the lines of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    pub code: String,
    pub form: ProgramForm,
    /// Whether its last statement is an expression, whose value is shown.
    pub has_value: bool,
    pub edits: Vec<Edit>,
}

/// Prepares a program. What cannot be read stays as it is: the engine reports the error.
pub fn program(source: &str) -> Prepared {
    prepare(source, |program| {
        let form = form(program);
        let mut changes = Changes::new(source);
        let value = program.body.last().and_then(expression);
        if let Some(span) = value {
            let head =
                if form == ProgramForm::Module { format!("export const {RESULT} = (") } else { "return (".to_owned() };
            changes.insert(span.start, &head);
            changes.insert(span.end, ")");
        }
        changes.finish(form, value.is_some())
    })
}

/// Prepares a cell: its declarations become global variables, which later cells can declare again.
pub fn cell(source: &str) -> Prepared {
    prepare(source, |program| {
        let mut changes = Changes::new(source);
        let mut awaits = form(program) == ProgramForm::Async || awaits_at_top(program);
        for statement in &program.body {
            awaits |= global(statement, &mut changes);
        }
        let is_value = match program.body.last() {
            Some(Statement::ExportDefaultDeclaration(export)) => export.declaration.is_expression(),
            Some(last) => expression(last).is_some(),
            None => false,
        };
        changes.finish(if awaits { ProgramForm::Async } else { ProgramForm::Script }, is_value)
    })
}

/// Returns whether a file is a module by its text.
pub fn is_module(source: &str) -> bool {
    prepare(source, |program| Changes::new(source).finish(form(program), false)).form == ProgramForm::Module
}

fn prepare(source: &str, change: impl FnOnce(&Program<'_>) -> Prepared + Send) -> Prepared {
    let unread = || {
        let is_module =
            source.lines().map(str::trim_start).any(|line| line.starts_with("import ") || line.starts_with("export "));
        let form = if is_module { ProgramForm::Module } else { ProgramForm::Script };
        Prepared { code: source.to_owned(), form, has_value: false, edits: Vec::new() }
    };
    guarded(source, || {
        let allocator = Allocator::default();
        let options = ParseOptions { allow_return_outside_function: true, ..ParseOptions::default() };
        for kind in [SourceType::unambiguous(), SourceType::mjs()] {
            let parsed = Parser::new(&allocator, source, kind).with_options(options).parse();
            if parsed.diagnostics.is_empty() && !parsed.panicked {
                return Some(change(&parsed.program));
            }
        }
        None
    })
    .ok()
    .flatten()
    .unwrap_or_else(unread)
}

fn form(program: &Program<'_>) -> ProgramForm {
    let is_module = |statement: &Statement<'_>| statement.is_module_declaration();
    if program.body.iter().any(is_module) || program.source_text.contains("import.meta") {
        ProgramForm::Module
    } else if awaits_at_top(program) {
        ProgramForm::Async
    } else {
        ProgramForm::Script
    }
}

fn awaits_at_top(program: &Program<'_>) -> bool {
    let mut awaits = Awaits(false);
    awaits.visit_program(program);
    awaits.0
}

/// Whether code awaits outside of functions.
struct Awaits(bool);

impl<'a> Visit<'a> for Awaits {
    fn visit_await_expression(&mut self, _: &AwaitExpression<'a>) {
        self.0 = true;
    }

    fn visit_for_of_statement(&mut self, statement: &ForOfStatement<'a>) {
        self.0 |= statement.r#await;
        walk::walk_for_of_statement(self, statement);
    }

    fn visit_variable_declaration(&mut self, declaration: &oxc_ast::ast::VariableDeclaration<'a>) {
        self.0 |= declaration.kind == VariableDeclarationKind::AwaitUsing;
        walk::walk_variable_declaration(self, declaration);
    }

    fn visit_function(&mut self, _: &Function<'a>, _: oxc_syntax::scope::ScopeFlags) {}

    fn visit_arrow_function_expression(&mut self, _: &ArrowFunctionExpression<'a>) {}
}

/// Returns where the expression of a statement is, if it is one.
fn expression(statement: &Statement<'_>) -> Option<Span> {
    match statement {
        Statement::ExpressionStatement(statement) => Some(statement.expression.span()),
        _ => None,
    }
}

/// Makes what a statement of a cell declares global. Returns whether the result awaits.
fn global(statement: &Statement<'_>, changes: &mut Changes<'_>) -> bool {
    match statement {
        Statement::VariableDeclaration(declaration) => variables(declaration.kind, declaration.span, changes),
        Statement::ClassDeclaration(class) => class_variable(class, changes),
        Statement::ImportDeclaration(import) => {
            let text = import_statement(import);
            if !text.is_empty() {
                changes.replace(import.span, &text);
            } else {
                changes.blank(import.span);
            }
            return !text.is_empty();
        }
        Statement::ExportDeclaration(export) => {
            changes.blank(Span::new(export.span.start, export.declaration.span().start));
            match &export.declaration {
                Declaration::VariableDeclaration(declaration) => variables(declaration.kind, declaration.span, changes),
                Declaration::ClassDeclaration(class) => class_variable(class, changes),
                _ => {}
            }
        }
        Statement::ExportNamedDeclaration(export) => changes.blank(export.span),
        Statement::ExportFromDeclaration(export) => changes.blank(export.span),
        Statement::ExportAllDeclaration(export) => changes.blank(export.span),
        Statement::ExportDefaultDeclaration(export) => {
            changes.blank(Span::new(export.span.start, export.declaration.span().start));
            if let ExportDefaultDeclarationKind::ClassDeclaration(class) = &export.declaration {
                class_variable(class, changes);
            }
        }
        _ => {}
    }
    false
}

fn variables(kind: VariableDeclarationKind, span: Span, changes: &mut Changes<'_>) {
    let width = match kind {
        VariableDeclarationKind::Const => 5,
        VariableDeclarationKind::Let => 3,
        _ => return,
    };
    changes.replace(Span::new(span.start, span.start + width), &format!("{:width$}", "var", width = width as usize));
}

fn class_variable(class: &Class<'_>, changes: &mut Changes<'_>) {
    if let Some(name) = &class.id {
        changes.insert(class.span.start, &format!("var {} = ", name.name));
        changes.insert(class.span.end, ";");
    }
}

/// Returns an import as a statement of a script; empty for one of types.
fn import_statement(import: &ImportDeclaration<'_>) -> String {
    let source = format!("{:?}", import.source.value.as_str());
    let Some(specifiers) = &import.specifiers else { return format!("await import({source});") };
    let (mut named, mut namespace) = (Vec::new(), None);
    for specifier in specifiers {
        match specifier {
            ImportDeclarationSpecifier::ImportDefaultSpecifier(default) => {
                named.push(format!("default: {}", default.local.name));
            }
            ImportDeclarationSpecifier::ImportNamespaceSpecifier(all) => namespace = Some(all.local.name.to_string()),
            ImportDeclarationSpecifier::ImportSpecifier(one) => {
                named.push(format!("{:?}: {}", one.imported.name().as_str(), one.local.name));
            }
        }
    }
    let named = format!("{{ {} }}", named.join(", "));
    match namespace {
        Some(name) if named.len() > 4 => format!("var {name} = await import({source}), {named} = {name};"),
        Some(name) => format!("var {name} = await import({source});"),
        None => format!("var {named} = await import({source});"),
    }
}

/// Changes of a text that keep its lines.
struct Changes<'a> {
    source: &'a str,
    /// A place, how many bytes are replaced, and by what; in order.
    changes: Vec<(usize, usize, String)>,
}

impl<'a> Changes<'a> {
    fn new(source: &'a str) -> Self {
        Self { source, changes: Vec::new() }
    }

    fn insert(&mut self, at: u32, text: &str) {
        self.changes.push((at as usize, 0, text.to_owned()));
    }

    /// Replaces a text; the new one has no line ends, so the old ones are added.
    fn replace(&mut self, span: Span, text: &str) {
        let (start, end) = (span.start as usize, span.end as usize);
        let lines = self.source.get(start..end).map_or(0, |old| old.matches('\n').count());
        self.changes.push((start, end - start, format!("{text}{}", "\n".repeat(lines))));
    }

    fn blank(&mut self, span: Span) {
        let old = self.source.get(span.start as usize..span.end as usize).unwrap_or_default();
        let blank = old.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        self.changes.push((span.start as usize, old.len(), blank));
    }

    fn finish(self, form: ProgramForm, has_value: bool) -> Prepared {
        let mut code = String::with_capacity(self.source.len() + 64);
        let (mut edits, mut from) = (Vec::new(), 0);
        for (at, width, text) in &self.changes {
            let Some(between) = self.source.get(from..*at) else { continue };
            code.push_str(between);
            let line = code.matches('\n').count() as u32 + 1;
            let column = code.rsplit('\n').next().map_or(0, |last| last.chars().count()) as u32;
            let added = text.chars().count().saturating_sub(*width);
            if added > 0 && !text.contains('\n') {
                edits.push(Edit { line, column, width: added as u32 });
            }
            code.push_str(text);
            from = at + width;
        }
        code.push_str(self.source.get(from..).unwrap_or_default());
        // The last edit of a line is undone first.
        edits.reverse();
        Prepared { code, form, has_value, edits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(prepare: fn(&str) -> Prepared, source: &str) -> (String, ProgramForm, bool) {
        let Prepared { code, form, has_value, .. } = prepare(source);
        (code, form, has_value)
    }

    #[test]
    fn the_last_expression_of_a_program_is_its_value() {
        let of = |source| prepared(program, source);
        assert_eq!(
            of("const x = 6\nx * 7 // six"),
            ("const x = 6\nreturn (x * 7) // six".into(), ProgramForm::Script, true)
        );
        assert_eq!(of("f()\nfunction f() {}"), ("f()\nfunction f() {}".into(), ProgramForm::Script, false));
        assert_eq!(of("'use strict'\nif (1) 2"), ("'use strict'\nif (1) 2".into(), ProgramForm::Script, false));
        assert_eq!(of("await f(1)"), ("return (await f(1))".into(), ProgramForm::Async, true));
        assert_eq!(of("async function f() { await 1 }\nf()").1, ProgramForm::Script);
        let (code, form, _) = of("import fs from 'fs'\nfs.x");
        assert_eq!(
            (code.as_str(), form),
            ("import fs from 'fs'\nexport const switchtower__result = (fs.x)", ProgramForm::Module)
        );
        assert_eq!(of("for await (const x of y) {}").1, ProgramForm::Async);
        assert_eq!(of("let x = ;"), ("let x = ;".into(), ProgramForm::Script, false));
    }

    #[test]
    fn the_declarations_of_a_cell_are_global_and_its_lines_stay() {
        let of = |source| prepared(cell, source);
        assert_eq!(of("const a = 1; let b = 2\n{ let c = 3 }").0, "var   a = 1; var b = 2\n{ let c = 3 }");
        assert_eq!(
            of("class A { m() {} }\nnew A()"),
            ("var A = class A { m() {} };\nnew A()".into(), ProgramForm::Script, true)
        );
        assert_eq!(
            of("import x, {\n  a as b\n} from './f.js'\nx"),
            ("var { default: x, \"a\": b } = await import(\"./f.js\");\n\n\nx".into(), ProgramForm::Async, true)
        );
        assert_eq!(of("import * as ns from 'fs'").0, "var ns = await import(\"fs\");");
        assert_eq!(of("export const x = 1\nexport default x").0, "       var   x = 1\n               x");
        assert_eq!(of("const y = await f()"), ("var   y = await f()".into(), ProgramForm::Async, false));
    }
}
