//! Numbers that are known from the source: literals, arithmetic on literals, and names that are bound to them.

use std::collections::BTreeMap;

use ruff_python_ast::{Expr, ExprBinOp, ExprCall, Number, Operator, UnaryOp};

/// How many levels of nested arithmetic are evaluated.
const MAX_DEPTH: usize = 16;

/// The names that are bound to known numbers, each with the largest of them.
#[derive(Default)]
pub(super) struct Bounds<'a> {
    names: BTreeMap<&'a str, f64>,
    /// The rows and columns of what names are bound to.
    shapes: BTreeMap<&'a str, [Option<f64>; 2]>,
}

impl<'a> Bounds<'a> {
    /// Records the assignment `name = value`.
    pub(super) fn assign(&mut self, name: &'a str, value: &Expr) {
        if let Some(number) = self.number(value)
            && number >= 1.0
        {
            let known = self.names.entry(name).or_insert(number);
            *known = known.max(number);
        }
    }

    /// Records the rows and columns of what a name is bound to.
    pub(super) fn set_shape(&mut self, name: &'a str, shape: [Option<f64>; 2]) {
        self.shapes.insert(name, shape);
    }

    /// Returns the value of an expression, if it is known.
    pub(super) fn number(&self, expr: &Expr) -> Option<f64> {
        self.evaluate(expr, MAX_DEPTH)
    }

    fn evaluate(&self, expr: &Expr, steps: usize) -> Option<f64> {
        let steps = steps.checked_sub(1)?;
        match expr {
            Expr::NumberLiteral(literal) => match &literal.value {
                // An integer that does not fit has at least twenty digits.
                Number::Int(int) => Some(int.as_u64().map_or(1e20, |value| value as f64)),
                Number::Float(float) => Some(*float),
                Number::Complex { .. } => None,
            },
            Expr::Name(name) => self.names.get(name.id.as_str()).copied(),
            Expr::UnaryOp(unary) => {
                let value = self.evaluate(&unary.operand, steps)?;
                match unary.op {
                    UnaryOp::USub => Some(-value),
                    UnaryOp::UAdd => Some(value),
                    UnaryOp::Invert | UnaryOp::Not => None,
                }
            }
            Expr::BinOp(binary) => {
                let (left, right) = (self.evaluate(&binary.left, steps)?, self.evaluate(&binary.right, steps)?);
                let value = match binary.op {
                    Operator::Add => left + right,
                    Operator::Sub => left - right,
                    Operator::Mult => left * right,
                    Operator::Div => left / right,
                    Operator::FloorDiv => (left / right).floor(),
                    Operator::Mod => left.rem_euclid(right),
                    Operator::Pow => left.powf(right),
                    Operator::LShift => left * right.exp2(),
                    Operator::RShift => (left / right.exp2()).floor(),
                    Operator::BitOr | Operator::BitXor | Operator::BitAnd | Operator::MatMult => return None,
                };
                (!value.is_nan()).then_some(value)
            }
            Expr::Call(call) => match (&*call.func, &*call.arguments.args) {
                (Expr::Name(name), [value]) if name.id == "int" => self.evaluate(value, steps).map(f64::trunc),
                (Expr::Name(name), [Expr::Name(of)]) if name.id == "len" => self.side(&of.id, 0),
                _ => None,
            },
            // `x.shape[1]`
            Expr::Subscript(part) => match (&*part.value, &*part.slice) {
                (Expr::Attribute(shape), Expr::NumberLiteral(literal)) if shape.attr.as_str() == "shape" => {
                    let (Expr::Name(of), Number::Int(index)) = (&*shape.value, &literal.value) else { return None };
                    self.side(&of.id, index.as_usize()?)
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn side(&self, name: &str, index: usize) -> Option<f64> {
        *self.shapes.get(name)?.get(index)?
    }

    /// Returns the number of iterations of `range(…)`, if it is known.
    pub(super) fn range(&self, call: &ExprCall) -> Option<f64> {
        let rounds = match &*call.arguments.args {
            [end] => self.number(end)?,
            [start, end] => self.number(end)? - self.number(start)?,
            [start, end, step] => (self.number(end)? - self.number(start)?) / self.number(step)?,
            _ => return None,
        };
        rounds.is_finite().then(|| rounds.max(0.0))
    }

    /// Returns the number of decimal digits of a power with an exponent above 1000, or 0 if it is not known.
    pub(super) fn digits(&self, power: &ExprBinOp) -> f64 {
        match (self.number(&power.left), self.number(&power.right)) {
            (Some(base), Some(exponent)) if base.abs() > 1.0 && exponent > 1000.0 => base.abs().log10() * exponent,
            _ => 0.0,
        }
    }

    /// Returns the number of tuples that `itertools.permutations`, `combinations` or `product` yields, or 0 if it is
    /// not known.
    pub(super) fn selections(&self, kind: &str, call: &ExprCall) -> f64 {
        let Some(of) = call.arguments.args.first().and_then(|items| self.length(items)) else { return 0.0 };
        let take = match kind {
            "product" => call.arguments.find_keyword("repeat").and_then(|repeat| self.number(&repeat.value)),
            _ => call.arguments.args.get(1).and_then(|take| self.number(take)),
        };
        let steps = |take: f64| (0..take.clamp(0.0, 200.0) as u32).map(f64::from);
        match (kind, take) {
            ("product", Some(take)) => of.powf(take),
            ("permutations", take) => steps(take.unwrap_or(of)).map(|step| (of - step).max(1.0)).product(),
            ("combinations", Some(take)) => steps(take).map(|step| ((of - step) / (step + 1.0)).max(1.0)).product(),
            _ => 0.0,
        }
    }

    fn length(&self, items: &Expr) -> Option<f64> {
        match items {
            Expr::List(list) => Some(list.elts.len() as f64),
            Expr::Tuple(tuple) => Some(tuple.elts.len() as f64),
            Expr::StringLiteral(text) => Some(text.value.to_str().len() as f64),
            Expr::Call(call) if matches!(&*call.func, Expr::Name(name) if name.id == "range") => self.range(call),
            _ => None,
        }
    }
}
