//! Which modules a program names, by which names it knows them, and what a dotted expression leads to.

use std::cell::Cell;
use std::collections::BTreeMap;

use ruff_python_ast::{ExceptHandler, Expr, Stmt, StmtImport, StmtImportFrom, StmtTry};
use ruff_text_size::{Ranged, TextSize};

use super::modules::{self, Field};

/// A module named in an import.
pub(super) struct ImportedModule<'a> {
    pub module: &'a str,
    pub optional: bool,
    pub used: Cell<bool>,
    pub at: TextSize,
    pub field: Field,
}

/// Where a dotted expression leads: the segments of module and members, the first six of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Path<'a> {
    segments: [&'a str; 6],
    len: usize,
}

impl<'a> Path<'a> {
    fn of_module(dotted: &'a str) -> Self {
        let mut path = Self::default();
        dotted.split('.').for_each(|segment| path.push(segment));
        path
    }

    fn push(&mut self, segment: &'a str) {
        if let Some(slot) = self.segments.get_mut(self.len) {
            *slot = segment;
            self.len += 1;
        }
    }

    fn then(mut self, segment: &'a str) -> Self {
        self.push(segment);
        self
    }

    pub(super) fn segments(&self) -> &[&'a str] {
        &self.segments[..self.len]
    }
}

/// A name bound by an import, or by an assignment of what an import bound.
#[derive(Clone, Copy)]
struct Bound<'a> {
    path: Path<'a>,
    named: usize,
}

/// All imports of a program. Scopes are not told apart: a name that is bound to a module anywhere is that module
/// everywhere, which errs on the side of seeing too much.
#[derive(Default)]
pub(super) struct Imports<'a> {
    pub modules: Vec<ImportedModule<'a>>,
    /// A name that stands for two different things, the first found.
    pub torn: Option<&'a str>,
    /// Some module gives all its names.
    pub starred: bool,
    bound: BTreeMap<&'a str, Bound<'a>>,
    /// Names that are given what an import bound, and how often.
    aliases: BTreeMap<&'a str, usize>,
}

impl<'a> Imports<'a> {
    pub(super) fn of(body: &'a [Stmt]) -> Self {
        let mut imports = Self::default();
        imports.statements(body, false);
        imports
    }

    /// Where a name leads, if it was bound by an import. Asking marks the import as used.
    pub(super) fn name(&self, name: &str) -> Option<Path<'a>> {
        let bound = self.bound.get(name)?;
        if let Some(named) = self.modules.get(bound.named) {
            named.used.set(true);
        }
        Some(bound.path)
    }

    /// Every name that an import bound.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.bound.keys().copied()
    }

    /// True where an import bound this name; marks nothing.
    pub(super) fn binds(&self, name: &str) -> bool {
        self.bound.contains_key(name)
    }

    /// Where an expression leads: a name, attributes of it, `getattr` and dynamic imports with literals.
    pub(super) fn path(&self, expr: &'a Expr) -> Option<Path<'a>> {
        self.path_within(expr, 6)
    }

    fn path_within(&self, expr: &'a Expr, steps: usize) -> Option<Path<'a>> {
        match expr {
            Expr::Name(name) => self.name(&name.id),
            Expr::Attribute(attribute) => {
                let path = self.path_within(&attribute.value, steps.checked_sub(1)?)?;
                Some(path.then(attribute.attr.as_str()))
            }
            Expr::Call(call) => {
                if let Some(module) = dynamic(expr) {
                    return Some(Path::of_module(module));
                }
                match (&*call.func, &*call.arguments.args) {
                    (Expr::Name(name), [object, Expr::StringLiteral(member), ..]) if name.id == "getattr" => {
                        let path = self.path_within(object, steps.checked_sub(1)?)?;
                        Some(path.then(member.value.to_str()))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn statements(&mut self, body: &'a [Stmt], optional: bool) {
        for statement in body {
            self.statement(statement, optional);
        }
    }

    fn statement(&mut self, statement: &'a Stmt, optional: bool) {
        match statement {
            Stmt::Import(import) => self.import(import, optional),
            Stmt::ImportFrom(import) => self.import_from(import, optional),
            Stmt::Assign(assign) => {
                if let [Expr::Name(target)] = assign.targets.as_slice() {
                    self.alias(target.id.as_str(), &assign.value, optional);
                }
            }
            Stmt::Try(block) => self.try_block(block, optional),
            Stmt::If(branch) => {
                let checking = matches!(&*branch.test, Expr::Name(name) if name.id == "TYPE_CHECKING")
                    || matches!(&*branch.test, Expr::Attribute(test) if test.attr.as_str() == "TYPE_CHECKING");
                self.statements(&branch.body, optional || checking);
                branch.elif_else_clauses.iter().for_each(|clause| self.statements(&clause.body, optional));
            }
            Stmt::FunctionDef(def) => self.statements(&def.body, optional),
            Stmt::ClassDef(class) => self.statements(&class.body, optional),
            Stmt::For(each) => {
                self.statements(&each.body, optional);
                self.statements(&each.orelse, optional);
            }
            Stmt::While(each) => {
                self.statements(&each.body, optional);
                self.statements(&each.orelse, optional);
            }
            Stmt::With(with) => self.statements(&with.body, optional),
            Stmt::Match(matched) => matched.cases.iter().for_each(|case| self.statements(&case.body, optional)),
            _ => {}
        }
    }

    fn try_block(&mut self, block: &'a StmtTry, optional: bool) {
        let answered =
            block.handlers.iter().any(|ExceptHandler::ExceptHandler(handler)| answers(handler.type_.as_deref()));
        self.statements(&block.body, optional || answered);
        for ExceptHandler::ExceptHandler(handler) in &block.handlers {
            self.statements(&handler.body, optional || answered);
        }
        self.statements(&block.orelse, optional || answered);
        self.statements(&block.finalbody, optional);
    }

    fn import(&mut self, import: &'a StmtImport, optional: bool) {
        for alias in &import.names {
            let module = alias.name.as_str();
            let named = self.add(module, optional, import.start());
            let (name, path) = match &alias.asname {
                Some(name) => (name.as_str(), Path::of_module(module)),
                None => {
                    let top = module.split('.').next().unwrap_or(module);
                    (top, Path::of_module(top))
                }
            };
            self.bind(name, Bound { path, named });
        }
    }

    fn import_from(&mut self, import: &'a StmtImportFrom, optional: bool) {
        let module = import.module.as_ref().map_or(".", |name| name.as_str());
        // A relative import finds no package here; its name says so.
        let module = if import.level > 0 { "." } else { module };
        let named = self.add(module, optional, import.start());
        for alias in &import.names {
            if &alias.name == "*" {
                self.modules[named].used.set(true);
                self.starred = true;
                continue;
            }
            let name = alias.asname.as_ref().unwrap_or(&alias.name);
            let path = Path::of_module(module).then(alias.name.as_str());
            self.bind(name.as_str(), Bound { path, named });
        }
    }

    /// `x = __import__("m")`, `x = importlib.import_module("m")`, and `x = m` of an imported m.
    fn alias(&mut self, name: &'a str, value: &'a Expr, optional: bool) {
        let before = self.bound.get(name).map(|bound| bound.path);
        self.alias_of(name, value, optional);
        if self.bound.get(name).map(|bound| bound.path) != before {
            *self.aliases.entry(name).or_default() += 1;
        }
    }

    /// How often a name is given what an import bound, by an assignment that says so.
    pub(super) fn aliased(&self, name: &str) -> usize {
        self.aliases.get(name).copied().unwrap_or_default()
    }

    fn alias_of(&mut self, name: &'a str, value: &'a Expr, optional: bool) {
        if let Some(module) = dynamic(value) {
            let named = self.add(module, optional, value.start());
            self.bind(name, Bound { path: Path::of_module(module), named });
        } else if let Expr::Name(other) = value
            && let Some(bound) = self.bound.get(other.id.as_str()).copied()
        {
            self.bind(name, bound);
        }
    }

    fn add(&mut self, module: &'a str, optional: bool, at: TextSize) -> usize {
        self.modules.push(ImportedModule {
            module,
            optional,
            used: Cell::new(false),
            at,
            field: modules::field(module),
        });
        self.modules.len() - 1
    }

    fn bind(&mut self, name: &'a str, bound: Bound<'a>) {
        if let Some(before) = self.bound.insert(name, bound)
            && before.path != bound.path
        {
            self.torn = self.torn.or(Some(name));
        }
    }
}

/// The module that a call imports by a literal name.
pub(super) fn dynamic(expr: &Expr) -> Option<&str> {
    let Expr::Call(call) = expr else { return None };
    let name = match &*call.func {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.as_str(),
        _ => return None,
    };
    match call.arguments.args.first() {
        Some(Expr::StringLiteral(module)) if matches!(name, "__import__" | "import_module") => {
            Some(module.value.to_str())
        }
        _ => None,
    }
}

/// True for handlers that catch a failed import.
fn answers(caught: Option<&Expr>) -> bool {
    match caught {
        None => true,
        Some(Expr::Name(name)) => {
            matches!(name.id.as_str(), "ImportError" | "ModuleNotFoundError" | "Exception" | "BaseException")
        }
        Some(Expr::Tuple(tuple)) => tuple.elts.iter().any(|caught| answers(Some(caught))),
        _ => false,
    }
}
