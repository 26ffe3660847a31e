//! Exception handlers that may catch the exhaustion of memory, stack or time. How far a program comes before that
//! differs between processes, and a handler can make it part of the output.
//!
//! A handler is narrow if it names only exceptions that are deterministic. Any other handler may catch `MemoryError`,
//! `RecursionError` or an interrupt: `except Exception`, a bare `except`, `finally` (which may discard the exception),
//! or an unknown context manager. A program with such a handler is proven only if its use of memory, stack and time is
//! obviously bounded: no loops, no recursion, nothing that builds large values.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{ExceptHandler, Expr, ExprCall, ExprContext, Operator, Stmt, StmtTry, StmtWith};
use ruff_text_size::{Ranged, TextSize};

use super::Reasons;
use super::allowed;
use crate::analyse::python::definitions::Definitions;
use crate::analyse::python::imports::Imports;

const REASON: &str = "a handler may catch the exhaustion of memory, stack or time";

/// Rejects a program that may catch the exhaustion of a resource, unless its use of resources is bounded.
pub(super) fn check(body: &[Stmt], imports: &Imports<'_>, definitions: &Definitions<'_>, reasons: &mut Reasons) {
    let mut search = HandlerSearch { imports, definitions, broad_handler: None };
    search.visit_body(body);
    let Some(at) = search.broad_handler else { return };
    let mut check =
        BoundednessCheck { imports, definitions, defined: BTreeSet::new(), function_depth: 0, is_bounded: true };
    check.visit_body(body);
    if !check.is_bounded {
        reasons.add(at, || REASON.to_owned());
    }
}

/// Searches for the first handler that is not narrow.
struct HandlerSearch<'a, 'r> {
    imports: &'r Imports<'a>,
    definitions: &'r Definitions<'a>,
    broad_handler: Option<TextSize>,
}

impl<'a> HandlerSearch<'a, '_> {
    fn is_narrow(&self, caught: &'a Expr) -> bool {
        match caught {
            Expr::Tuple(types) => types.elts.iter().all(|kind| self.is_narrow(kind)),
            Expr::Name(name) if self.definitions.bound.contains(name.id.as_str()) => {
                self.definitions.classes.contains(name.id.as_str()) && self.definitions.is_bound_once(&name.id)
            }
            Expr::Name(name) if !self.imports.is_bound(&name.id) => allowed::is_narrow(&name.id),
            Expr::Name(_) | Expr::Attribute(_) => {
                self.imports.resolve(caught).is_some_and(|path| allowed::is_narrow_member(path.segments()))
            }
            _ => false,
        }
    }

    fn check_try(&mut self, block: &'a StmtTry) {
        for ExceptHandler::ExceptHandler(handler) in &block.handlers {
            let narrow = handler.type_.as_deref().is_some_and(|caught| self.is_narrow(caught));
            if !narrow && !only_reraises(&handler.body, handler.name.as_deref()) {
                self.broad_handler.get_or_insert(handler.start());
            }
        }
        if !block.finalbody.is_empty() || block.is_star {
            self.broad_handler.get_or_insert(block.start());
        }
    }

    fn check_with(&mut self, with: &'a StmtWith) {
        let propagates = |entered: &'a Expr| {
            let Expr::Call(call) = entered else { return false };
            self.imports.resolve(&call.func).is_some_and(|path| allowed::propagates_exceptions(path.segments()))
        };
        if !with.items.iter().all(|item| propagates(&item.context_expr)) {
            self.broad_handler.get_or_insert(with.start());
        }
    }
}

/// Returns whether an expression is a literal or a conversion to a number.
fn is_small_value(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => {
            matches!(&*call.func, Expr::Name(name) if matches!(name.id.as_str(), "int" | "float" | "len" | "abs" | "bool"))
        }
        expr => expr.is_literal_expr(),
    }
}

/// Returns whether a handler only raises the caught exception again.
fn only_reraises(body: &[Stmt], name: Option<&str>) -> bool {
    match body {
        [Stmt::Raise(raise)] if raise.cause.is_none() => match raise.exc.as_deref() {
            None => true,
            Some(Expr::Name(raised)) => name == Some(raised.id.as_str()),
            Some(_) => false,
        },
        _ => false,
    }
}

impl<'a> Visitor<'a> for HandlerSearch<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Try(block) => self.check_try(block),
            Stmt::With(with) => self.check_with(with),
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    // Expressions contain no statements.
    fn visit_expr(&mut self, _expr: &'a Expr) {}
}

/// Checks whether a program takes so few steps and so little memory that it cannot exhaust a resource.
struct BoundednessCheck<'a, 'r> {
    imports: &'r Imports<'a>,
    definitions: &'r Definitions<'a>,
    /// Functions that have been visited completely. Functions may mention only these, so that none is recursive.
    defined: BTreeSet<&'a str>,
    /// The number of functions around the node that is being visited.
    function_depth: usize,
    is_bounded: bool,
}

impl<'a> BoundednessCheck<'a, '_> {
    fn reject(&mut self) {
        self.is_bounded = false;
    }

    fn call(&mut self, call: &'a ExprCall) {
        let is_bounded = match &*call.func {
            Expr::Name(name) if self.definitions.bound.contains(name.id.as_str()) => {
                self.definitions.functions.contains(name.id.as_str()) && self.definitions.is_bound_once(&name.id)
            }
            Expr::Name(name) => {
                matches!(name.id.as_str(), "int" | "float" | "str" | "len" | "isinstance" | "print" | "abs" | "bool")
                    || allowed::is_narrow(&name.id)
            }
            Expr::Attribute(attribute) => {
                self.imports.resolve(&call.func).is_none()
                    && !self.definitions.methods.contains(attribute.attr.as_str())
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
        if !is_bounded || call.arguments.keywords.iter().any(|keyword| keyword.arg.is_none()) {
            self.reject();
        }
    }
}

impl<'a> Visitor<'a> for BoundednessCheck<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(def) => {
                self.function_depth += 1;
                visitor::walk_stmt(self, statement);
                self.function_depth -= 1;
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
            _ => self.reject(),
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) => {
                let own = self.definitions.functions.contains(name.id.as_str());
                if own
                    && name.ctx == ExprContext::Load
                    && self.function_depth > 0
                    && !self.defined.contains(name.id.as_str())
                {
                    self.reject();
                }
            }
            Expr::Call(call) => self.call(call),
            // Nested collections that share elements can have a text of exponential length.
            Expr::List(list) if !list.elts.iter().all(Expr::is_literal_expr) => self.reject(),
            Expr::Set(set) if !set.elts.iter().all(Expr::is_literal_expr) => self.reject(),
            Expr::Dict(dict) if !dict.iter_values().all(Expr::is_literal_expr) => self.reject(),
            Expr::Tuple(tuple) if tuple.ctx == ExprContext::Load && !tuple.elts.iter().all(is_small_value) => {
                self.reject();
            }
            Expr::BinOp(binary) => {
                let number = |side: &Expr| side.is_number_literal_expr();
                let is_bounded = match binary.op {
                    Operator::Sub | Operator::Div | Operator::FloorDiv => true,
                    Operator::Mod => !binary.left.is_string_literal_expr() && number(&binary.right),
                    Operator::Add => number(&binary.left) || number(&binary.right),
                    _ => false,
                };
                if !is_bounded {
                    self.reject();
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
            | Expr::Await(_) => self.reject(),
            _ => {}
        }
        visitor::walk_expr(self, expr);
    }
}
