//! Syntactic forms that are recognised without context.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{CmpOp, Expr, ExprCall, Number, Stmt};
use ruff_text_size::{Ranged as _, TextSize};

pub(super) fn same_name(one: &Expr, other: &Expr) -> bool {
    matches!((one, other), (Expr::Name(one), Expr::Name(other)) if one.id == other.id)
}

pub(super) fn string_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::StringLiteral(literal) => Some(literal.value.to_str()),
        _ => None,
    }
}

/// Returns whether an expression is a number literal.
pub(in crate::analyse::python) fn is_number_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::NumberLiteral(_))
}

/// Returns whether the seed of a call is a literal other than `None`.
pub(super) fn has_literal_seed(call: &ExprCall) -> bool {
    fn is_fixed_seed(expr: &Expr) -> bool {
        match expr {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::BytesLiteral(_) => true,
            Expr::UnaryOp(unary) => matches!(&*unary.operand, Expr::NumberLiteral(_)),
            _ => false,
        }
    }
    let named = || {
        call.arguments.keywords.iter().find(|key| key.arg.as_ref().is_some_and(|name| name.as_str().ends_with("seed")))
    };
    call.arguments.args.first().or_else(|| named().map(|key| &key.value)).is_some_and(is_fixed_seed)
}

pub(super) fn is_always_true(test: &Expr) -> bool {
    match test {
        Expr::BooleanLiteral(literal) => literal.value,
        Expr::NumberLiteral(literal) => !matches!(&literal.value, Number::Int(int) if int.as_u8() == Some(0)),
        _ => false,
    }
}

/// Returns the start positions of the calls that run exactly once and in the order of the lines, unless the program
/// ends before: expression statements of the module, and of a block directly under `if __name__ == "__main__":`. A call
/// inside a larger expression, a branch, a loop, a `with` or `try` block, or a definition may be skipped or run later.
pub(super) fn certain_calls(body: &[Stmt]) -> BTreeSet<TextSize> {
    fn call(statement: &Stmt) -> Option<TextSize> {
        match statement {
            Stmt::Expr(alone) if alone.value.is_call_expr() => Some(alone.value.start()),
            _ => None,
        }
    }
    let mut calls = BTreeSet::new();
    for statement in body {
        match statement {
            Stmt::If(branch) if is_main(&branch.test) => calls.extend(branch.body.iter().filter_map(call)),
            _ => calls.extend(call(statement)),
        }
    }
    calls
}

/// Returns the names of all functions and classes of a program.
pub(super) fn defined_names(body: &[Stmt]) -> BTreeSet<&str> {
    #[derive(Default)]
    struct Defined<'a>(BTreeSet<&'a str>);

    impl<'a> Visitor<'a> for Defined<'a> {
        fn visit_stmt(&mut self, statement: &'a Stmt) {
            match statement {
                Stmt::FunctionDef(def) => self.0.insert(def.name.as_str()),
                Stmt::ClassDef(class) => self.0.insert(class.name.as_str()),
                _ => false,
            };
            visitor::walk_stmt(self, statement);
        }

        // Expressions contain no statements.
        fn visit_expr(&mut self, _expr: &'a Expr) {}
    }

    let mut all = Defined::default();
    all.visit_body(body);
    all.0
}

fn is_main(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    matches!(&*compare.left, Expr::Name(name) if name.id == "__name__")
        && matches!(&*compare.ops, [CmpOp::Eq])
        && matches!(&*compare.comparators, [Expr::StringLiteral(main)] if main.value.to_str() == "__main__")
}

/// Returns whether a statement in the body of a loop may exit the loop. `inner_loops` is the number of loops in
/// between: a `break` exits only the innermost.
pub(super) fn may_exit_loop(body: &[Stmt], inner_loops: usize) -> bool {
    body.iter().any(|statement| match statement {
        Stmt::Break(_) => inner_loops == 0,
        Stmt::Return(_) | Stmt::Raise(_) => true,
        Stmt::If(branch) => {
            may_exit_loop(&branch.body, inner_loops)
                || branch.elif_else_clauses.iter().any(|clause| may_exit_loop(&clause.body, inner_loops))
        }
        Stmt::For(each) => may_exit_loop(&each.body, inner_loops + 1) || may_exit_loop(&each.orelse, inner_loops),
        Stmt::While(each) => may_exit_loop(&each.body, inner_loops + 1) || may_exit_loop(&each.orelse, inner_loops),
        Stmt::With(with) => may_exit_loop(&with.body, inner_loops),
        // An exception may exit the loop.
        Stmt::Try(_) => true,
        Stmt::Match(matched) => matched.cases.iter().any(|case| may_exit_loop(&case.body, inner_loops)),
        // Any call can raise an exception; only those that are likely to end the loop count.
        Stmt::Expr(expr) => match &*expr.value {
            Expr::Call(call) => match &*call.func {
                Expr::Name(name) => matches!(name.id.as_str(), "exit" | "quit" | "next" | "input"),
                Expr::Attribute(attribute) => matches!(attribute.attr.as_str(), "exit" | "_exit"),
                _ => false,
            },
            Expr::Yield(_) | Expr::Await(_) => true,
            _ => false,
        },
        _ => false,
    })
}
