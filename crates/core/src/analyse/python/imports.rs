//! The imports of a program: its modules, the names that they bind, and what dotted expressions refer to.

use std::cell::Cell;
use std::collections::BTreeMap;

use ruff_python_ast::{ExceptHandler, Expr, Stmt, StmtImport, StmtImportFrom, StmtTry};
use ruff_text_size::{Ranged, TextSize};

use super::modules::{self, Domain};

/// A module that the program imports.
pub(super) struct ImportedModule<'a> {
    pub module: &'a str,
    pub optional: bool,
    pub used: Cell<bool>,
    pub at: TextSize,
    pub domain: Domain,
}

/// The path that a dotted expression refers to: the module's segments, then those of its members; at most six in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DottedPath<'a> {
    segments: [&'a str; 6],
    len: usize,
}

impl<'a> DottedPath<'a> {
    fn from_module(dotted: &'a str) -> Self {
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

    fn joined(mut self, segment: &'a str) -> Self {
        self.push(segment);
        self
    }

    pub(super) fn segments(&self) -> &[&'a str] {
        &self.segments[..self.len]
    }
}

/// The binding of a name by an import, or by an assignment from an imported name.
#[derive(Clone, Copy)]
struct Binding<'a> {
    path: DottedPath<'a>,
    module_index: usize,
}

/// All imports of a program. Scopes are ignored: a name that is bound to a module anywhere counts as that module
/// everywhere, which overestimates effects.
#[derive(Default)]
pub(super) struct Imports<'a> {
    pub modules: Vec<ImportedModule<'a>>,
    /// The first name that is bound to two different imports.
    pub ambiguous_name: Option<&'a str>,
    /// Whether there is a `from … import *`.
    pub has_star_import: bool,
    bindings: BTreeMap<&'a str, Binding<'a>>,
    /// How often each name is bound by an assignment from an imported name.
    alias_counts: BTreeMap<&'a str, usize>,
}

impl<'a> Imports<'a> {
    pub(super) fn collect(body: &'a [Stmt]) -> Self {
        let mut imports = Self::default();
        imports.visit_body(body, false);
        imports
    }

    /// Returns the path that a name refers to, if an import binds it. Marks the import as used.
    pub(super) fn resolve_name(&self, name: &str) -> Option<DottedPath<'a>> {
        let binding = self.bindings.get(name)?;
        if let Some(imported) = self.modules.get(binding.module_index) {
            imported.used.set(true);
        }
        Some(binding.path)
    }

    /// Returns the names that are bound by imports.
    pub(super) fn bound_names(&self) -> impl Iterator<Item = &'a str> {
        self.bindings.keys().copied()
    }

    /// Returns whether an import binds this name. Does not mark the import as used.
    pub(super) fn is_bound(&self, name: &str) -> bool {
        self.bindings.contains_key(name)
    }

    /// Returns the path that an expression refers to: a name, its attributes, `getattr` and dynamic imports with
    /// literals.
    pub(super) fn resolve(&self, expr: &'a Expr) -> Option<DottedPath<'a>> {
        self.resolve_within(expr, 6)
    }

    fn resolve_within(&self, expr: &'a Expr, steps: usize) -> Option<DottedPath<'a>> {
        match expr {
            Expr::Name(name) => self.resolve_name(&name.id),
            Expr::Attribute(attribute) => {
                let path = self.resolve_within(&attribute.value, steps.checked_sub(1)?)?;
                Some(path.joined(attribute.attr.as_str()))
            }
            Expr::Call(call) => {
                if let Some(module) = dynamic_import(expr) {
                    return Some(DottedPath::from_module(module));
                }
                match (&*call.func, &*call.arguments.args) {
                    (Expr::Name(name), [object, Expr::StringLiteral(member), ..]) if name.id == "getattr" => {
                        let path = self.resolve_within(object, steps.checked_sub(1)?)?;
                        Some(path.joined(member.value.to_str()))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn visit_body(&mut self, body: &'a [Stmt], optional: bool) {
        for statement in body {
            self.visit_statement(statement, optional);
        }
    }

    fn visit_statement(&mut self, statement: &'a Stmt, optional: bool) {
        match statement {
            Stmt::Import(import) => self.visit_import(import, optional),
            Stmt::ImportFrom(import) => self.visit_import_from(import, optional),
            Stmt::Assign(assign) => {
                if let [Expr::Name(target)] = assign.targets.as_slice() {
                    self.visit_assignment(target.id.as_str(), &assign.value, optional);
                }
            }
            Stmt::Try(block) => self.visit_try(block, optional),
            Stmt::If(branch) => {
                let checking = matches!(&*branch.test, Expr::Name(name) if name.id == "TYPE_CHECKING")
                    || matches!(&*branch.test, Expr::Attribute(test) if test.attr.as_str() == "TYPE_CHECKING");
                self.visit_body(&branch.body, optional || checking);
                branch.elif_else_clauses.iter().for_each(|clause| self.visit_body(&clause.body, optional));
            }
            Stmt::FunctionDef(def) => self.visit_body(&def.body, optional),
            Stmt::ClassDef(class) => self.visit_body(&class.body, optional),
            Stmt::For(each) => {
                self.visit_body(&each.body, optional);
                self.visit_body(&each.orelse, optional);
            }
            Stmt::While(each) => {
                self.visit_body(&each.body, optional);
                self.visit_body(&each.orelse, optional);
            }
            Stmt::With(with) => self.visit_body(&with.body, optional),
            Stmt::Match(matched) => matched.cases.iter().for_each(|case| self.visit_body(&case.body, optional)),
            _ => {}
        }
    }

    fn visit_try(&mut self, block: &'a StmtTry, optional: bool) {
        let catches = block
            .handlers
            .iter()
            .any(|ExceptHandler::ExceptHandler(handler)| catches_import_error(handler.type_.as_deref()));
        self.visit_body(&block.body, optional || catches);
        for ExceptHandler::ExceptHandler(handler) in &block.handlers {
            self.visit_body(&handler.body, optional || catches);
        }
        self.visit_body(&block.orelse, optional || catches);
        self.visit_body(&block.finalbody, optional);
    }

    fn visit_import(&mut self, import: &'a StmtImport, optional: bool) {
        for alias in &import.names {
            let module = alias.name.as_str();
            let module_index = self.add(module, optional, import.start());
            let (name, path) = match &alias.asname {
                Some(name) => (name.as_str(), DottedPath::from_module(module)),
                None => {
                    let top = module.split('.').next().unwrap_or(module);
                    (top, DottedPath::from_module(top))
                }
            };
            self.bind(name, Binding { path, module_index });
        }
    }

    fn visit_import_from(&mut self, import: &'a StmtImportFrom, optional: bool) {
        let module = import.module.as_ref().map_or(".", |name| name.as_str());
        // There is no package for a relative import: `.` represents a module that no tier has.
        let module = if import.level > 0 { "." } else { module };
        let module_index = self.add(module, optional, import.start());
        for alias in &import.names {
            if &alias.name == "*" {
                self.modules[module_index].used.set(true);
                self.has_star_import = true;
                continue;
            }
            let name = alias.asname.as_ref().unwrap_or(&alias.name);
            let path = DottedPath::from_module(module).joined(alias.name.as_str());
            self.bind(name.as_str(), Binding { path, module_index });
        }
    }

    /// Visits `x = __import__("m")`, `x = importlib.import_module("m")`, and `x = m` with an imported `m`.
    fn visit_assignment(&mut self, name: &'a str, value: &'a Expr, optional: bool) {
        let before = self.bindings.get(name).map(|binding| binding.path);
        self.bind_alias(name, value, optional);
        if self.bindings.get(name).map(|binding| binding.path) != before {
            *self.alias_counts.entry(name).or_default() += 1;
        }
    }

    /// Returns how often a name is bound by an assignment from an imported name.
    pub(super) fn alias_count(&self, name: &str) -> usize {
        self.alias_counts.get(name).copied().unwrap_or_default()
    }

    fn bind_alias(&mut self, name: &'a str, value: &'a Expr, optional: bool) {
        if let Some(module) = dynamic_import(value) {
            let module_index = self.add(module, optional, value.start());
            self.bind(name, Binding { path: DottedPath::from_module(module), module_index });
        } else if let Expr::Name(other) = value
            && let Some(binding) = self.bindings.get(other.id.as_str()).copied()
        {
            self.bind(name, binding);
        }
    }

    fn add(&mut self, module: &'a str, optional: bool, at: TextSize) -> usize {
        self.modules.push(ImportedModule {
            module,
            optional,
            used: Cell::new(false),
            at,
            domain: modules::domain(module),
        });
        self.modules.len() - 1
    }

    fn bind(&mut self, name: &'a str, binding: Binding<'a>) {
        if let Some(before) = self.bindings.insert(name, binding)
            && before.path != binding.path
        {
            self.ambiguous_name = self.ambiguous_name.or(Some(name));
        }
    }
}

/// Returns the module that a call imports by a literal name.
pub(super) fn dynamic_import(expr: &Expr) -> Option<&str> {
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

/// Returns whether a handler of this exception type catches `ImportError`.
fn catches_import_error(caught: Option<&Expr>) -> bool {
    match caught {
        None => true,
        Some(Expr::Name(name)) => {
            matches!(name.id.as_str(), "ImportError" | "ModuleNotFoundError" | "Exception" | "BaseException")
        }
        Some(Expr::Tuple(tuple)) => tuple.elts.iter().any(|caught| catches_import_error(Some(caught))),
        _ => false,
    }
}
