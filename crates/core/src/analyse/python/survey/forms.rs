//! Forms that mean something by their shape alone.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{CmpOp, Expr, ExprCall, Number, Stmt};
use ruff_text_size::{Ranged as _, TextSize};

pub(super) fn same_name(one: &Expr, other: &Expr) -> bool {
    matches!((one, other), (Expr::Name(one), Expr::Name(other)) if one.id == other.id)
}

pub(super) fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::StringLiteral(literal) => Some(literal.value.to_str()),
        _ => None,
    }
}

/// A number that stands in the source.
pub(in crate::analyse::python) fn is_number(expr: &Expr) -> bool {
    matches!(expr, Expr::NumberLiteral(_))
}

/// Seeded by a literal that is not `None`.
pub(super) fn is_seed(call: &ExprCall) -> bool {
    fn fixes(expr: &Expr) -> bool {
        match expr {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::BytesLiteral(_) => true,
            Expr::UnaryOp(unary) => matches!(&*unary.operand, Expr::NumberLiteral(_)),
            _ => false,
        }
    }
    let named = || {
        call.arguments.keywords.iter().find(|key| key.arg.as_ref().is_some_and(|name| name.as_str().ends_with("seed")))
    };
    call.arguments.args.first().or_else(|| named().map(|key| &key.value)).is_some_and(fixes)
}

pub(super) fn is_true(test: &Expr) -> bool {
    match test {
        Expr::BooleanLiteral(literal) => literal.value,
        Expr::NumberLiteral(literal) => !matches!(&literal.value, Number::Int(int) if int.as_u8() == Some(0)),
        _ => false,
    }
}

/// Where the calls begin that run once and in the order of the lines, if the program comes that far: a statement of the
/// module that is nothing but a call, or one directly under `if __name__ == "__main__":`. Whatever else holds a call, an
/// expression, a branch, a loop, a block that is entered or tried, a definition, may leave it out or run it later.
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

/// The names of all functions and classes of a program.
pub(super) fn defined(body: &[Stmt]) -> BTreeSet<&str> {
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

        // No statement stands in an expression.
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

/// True where something in a loop's body may end the loop. `within` counts the loops in between, whose own `break` ends
/// only them.
pub(super) fn leaves(body: &[Stmt], within: usize) -> bool {
    body.iter().any(|statement| match statement {
        Stmt::Break(_) => within == 0,
        Stmt::Return(_) | Stmt::Raise(_) => true,
        Stmt::If(branch) => {
            leaves(&branch.body, within) || branch.elif_else_clauses.iter().any(|clause| leaves(&clause.body, within))
        }
        Stmt::For(each) => leaves(&each.body, within + 1) || leaves(&each.orelse, within),
        Stmt::While(each) => leaves(&each.body, within + 1) || leaves(&each.orelse, within),
        Stmt::With(with) => leaves(&with.body, within),
        // Its exceptions leave too, so the loop is given the benefit of the doubt.
        Stmt::Try(_) => true,
        Stmt::Match(matched) => matched.cases.iter().any(|case| leaves(&case.body, within)),
        // Any call can raise; only those that mean to end the program count.
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
