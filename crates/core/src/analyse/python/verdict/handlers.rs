//! What catches an exception that tells how much room there was: how far a program came before memory, stack or time ran
//! out differs from process to process, and a handler makes a result of it.
//!
//! An exception is told from the others by its name. A handler is narrow where it names exceptions that mean the same
//! everywhere. Everything else may catch `MemoryError`, `RecursionError` or an interrupt: `except Exception`, a bare
//! `except`, `finally` (which may leave by another way), a context manager of the program's own. Such a program is proven
//! only where it is so plain that nothing can run out: no loop, no recursion, nothing that makes much of little.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{ExceptHandler, Expr, ExprCall, ExprContext, Operator, Stmt, StmtTry, StmtWith};
use ruff_text_size::{Ranged, TextSize};

use super::Reasons;
use super::allowed;
use crate::analyse::python::definitions::Definitions;
use crate::analyse::python::imports::Imports;

const REASON: &str = "what it does when memory, stack or time runs out may be caught";

/// Ends the proof of a program that may catch what it cannot be asked about, and is not plain.
pub(super) fn judge(body: &[Stmt], imports: &Imports<'_>, own: &Definitions<'_>, reasons: &mut Reasons) {
    let mut handlers = Handlers { imports, own, broad: None };
    handlers.visit_body(body);
    let Some(at) = handlers.broad else { return };
    let mut plain = Plain { imports, own, defined: BTreeSet::new(), inside: 0, is_plain: true };
    plain.visit_body(body);
    if !plain.is_plain {
        reasons.add(at, || REASON.to_owned());
    }
}

/// Looks for the first handler that is not narrow.
struct Handlers<'a, 'r> {
    imports: &'r Imports<'a>,
    own: &'r Definitions<'a>,
    broad: Option<TextSize>,
}

impl<'a> Handlers<'a, '_> {
    fn is_narrow(&self, caught: &'a Expr) -> bool {
        match caught {
            Expr::Tuple(kinds) => kinds.elts.iter().all(|kind| self.is_narrow(kind)),
            Expr::Name(name) if self.own.bound.contains(name.id.as_str()) => {
                self.own.classes.contains(name.id.as_str()) && self.own.is_bound_once(&name.id)
            }
            Expr::Name(name) if !self.imports.binds(&name.id) => allowed::is_narrow(&name.id),
            Expr::Name(_) | Expr::Attribute(_) => {
                self.imports.path(caught).is_some_and(|path| allowed::is_narrow_member(path.segments()))
            }
            _ => false,
        }
    }

    fn tries(&mut self, block: &'a StmtTry) {
        for ExceptHandler::ExceptHandler(handler) in &block.handlers {
            let narrow = handler.type_.as_deref().is_some_and(|caught| self.is_narrow(caught));
            if !narrow && !passes_on(&handler.body, handler.name.as_deref()) {
                self.broad.get_or_insert(handler.start());
            }
        }
        if !block.finalbody.is_empty() || block.is_star {
            self.broad.get_or_insert(block.start());
        }
    }

    fn enters(&mut self, with: &'a StmtWith) {
        let known = |entered: &'a Expr| {
            let Expr::Call(call) = entered else { return false };
            self.imports.path(&call.func).is_some_and(|path| allowed::lets_pass(path.segments()))
        };
        if !with.items.iter().all(|item| known(&item.context_expr)) {
            self.broad.get_or_insert(with.start());
        }
    }
}

/// A literal, or a number that is made here.
fn is_small(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => {
            matches!(&*call.func, Expr::Name(name) if matches!(name.id.as_str(), "int" | "float" | "len" | "abs" | "bool"))
        }
        expr => expr.is_literal_expr(),
    }
}

/// A handler that only raises again what it caught.
fn passes_on(body: &[Stmt], name: Option<&str>) -> bool {
    match body {
        [Stmt::Raise(raise)] if raise.cause.is_none() => match raise.exc.as_deref() {
            None => true,
            Some(Expr::Name(raised)) => name == Some(raised.id.as_str()),
            Some(_) => false,
        },
        _ => false,
    }
}

impl<'a> Visitor<'a> for Handlers<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Try(block) => self.tries(block),
            Stmt::With(with) => self.enters(with),
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    // No statement stands in an expression.
    fn visit_expr(&mut self, _expr: &'a Expr) {}
}

/// Looks whether a program runs through in so few steps, and with so little room, that nothing can run out.
struct Plain<'a, 'r> {
    imports: &'r Imports<'a>,
    own: &'r Definitions<'a>,
    /// Functions whose whole text has been passed: only those may be mentioned in others, so none calls itself.
    defined: BTreeSet<&'a str>,
    /// Functions around this place.
    inside: usize,
    is_plain: bool,
}

impl<'a> Plain<'a, '_> {
    fn no(&mut self) {
        self.is_plain = false;
    }

    fn call(&mut self, call: &'a ExprCall) {
        let light = match &*call.func {
            Expr::Name(name) if self.own.bound.contains(name.id.as_str()) => {
                self.own.functions.contains(name.id.as_str()) && self.own.is_bound_once(&name.id)
            }
            Expr::Name(name) => {
                matches!(name.id.as_str(), "int" | "float" | "str" | "len" | "isinstance" | "print" | "abs" | "bool")
                    || allowed::is_narrow(&name.id)
            }
            Expr::Attribute(attribute) => {
                self.imports.path(&call.func).is_none()
                    && !self.own.methods.contains(attribute.attr.as_str())
                    && matches!(
                        attribute.attr.as_str(),
                        "strip"
                            | "lstrip"
                            | "rstrip"
                            | "split"
                            | "lower"
                            | "upper"
                            | "isdigit"
                            | "isalpha"
                            | "startswith"
                            | "endswith"
                            | "get"
                            | "count"
                            | "find"
                            | "index"
                    )
            }
            _ => false,
        };
        if !light || call.arguments.keywords.iter().any(|keyword| keyword.arg.is_none()) {
            self.no();
        }
    }
}

impl<'a> Visitor<'a> for Plain<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(def) => {
                self.inside += 1;
                visitor::walk_stmt(self, statement);
                self.inside -= 1;
                self.defined.insert(def.name.as_str());
                return;
            }
            Stmt::Assign(_)
            | Stmt::AnnAssign(_)
            | Stmt::Expr(_)
            | Stmt::Return(_)
            | Stmt::Raise(_)
            | Stmt::Pass(_)
            | Stmt::If(_)
            | Stmt::Try(_)
            | Stmt::Import(_)
            | Stmt::ImportFrom(_)
            | Stmt::Assert(_) => {}
            _ => self.no(),
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) => {
                let own = self.own.functions.contains(name.id.as_str());
                if own && name.ctx == ExprContext::Load && self.inside > 0 && !self.defined.contains(name.id.as_str()) {
                    self.no();
                }
            }
            Expr::Call(call) => self.call(call),
            // What holds a thing twice, and is held twice itself, is long when it is printed.
            Expr::List(list) if !list.elts.iter().all(Expr::is_literal_expr) => self.no(),
            Expr::Set(set) if !set.elts.iter().all(Expr::is_literal_expr) => self.no(),
            Expr::Dict(dict) if !dict.iter_values().all(Expr::is_literal_expr) => self.no(),
            Expr::Tuple(tuple) if tuple.ctx == ExprContext::Load && !tuple.elts.iter().all(is_small) => self.no(),
            Expr::BinOp(binary) => {
                let number = |side: &Expr| side.is_number_literal_expr();
                let light = match binary.op {
                    Operator::Sub | Operator::Div | Operator::FloorDiv => true,
                    Operator::Mod => !binary.left.is_string_literal_expr() && number(&binary.right),
                    Operator::Add => number(&binary.left) || number(&binary.right),
                    _ => false,
                };
                if !light {
                    self.no();
                }
            }
            Expr::ListComp(_)
            | Expr::SetComp(_)
            | Expr::DictComp(_)
            | Expr::Generator(_)
            | Expr::Lambda(_)
            | Expr::Starred(_)
            | Expr::FString(_)
            | Expr::TString(_)
            | Expr::Yield(_)
            | Expr::YieldFrom(_)
            | Expr::Await(_) => self.no(),
            _ => {}
        }
        visitor::walk_expr(self, expr);
    }
}
