//! One walk over a program's syntax tree, which measures what the profile is made of.

use oxc_ast::ast::{
    Argument, ArrowFunctionExpression, BinaryOperator, CallExpression, Class, DoWhileStatement, Expression,
    ForInStatement, ForOfStatement, ForStatement, ForStatementInit, Function, IdentifierReference, IfStatement,
    ImportDeclaration, ImportExpression, NewExpression, Statement, StaticMemberExpression, WhileStatement,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};
use oxc_syntax::scope::ScopeFlags;

use super::super::profile::{FileScope, Import, NetworkUse, StaticEffect};
use super::super::score::Measure;
use super::{Lines, modules};

/// Most imports that are listed; hostile programs have thousands.
const MAX_IMPORTS: usize = 512;
/// Functions with names that a recursive call may be in.
const MAX_ENCLOSING: usize = 64;

/// What a walk found.
pub(super) struct Survey<'l> {
    lines: &'l Lines,
    pub(super) imports: Vec<Import>,
    pub(super) effects: [Option<u32>; StaticEffect::ALL.len()],
    pub(super) network: NetworkUse,
    pub(super) files: FileScope,
    pub(super) statements: f64,
    pub(super) calls: f64,
    pub(super) loops: Measure,
    pub(super) nesting: Measure,
    pub(super) iterations: Measure,
    pub(super) endless_loops: Measure,
    pub(super) recursion: Measure,
    pub(super) allocation: Measure,
    pub(super) dynamic_code: Measure,
    /// The line at which it reads standard input.
    pub(super) reads_input: Option<u32>,
    functions: f64,
    classes: f64,
    branches: f64,
    /// The loops around the current place, and the product of their known bounds.
    depth: f64,
    product: f64,
    /// How many functions are around the current place.
    inside: usize,
    /// The names of the functions around the current place.
    enclosing: Vec<String>,
}

impl<'l> Survey<'l> {
    pub(super) fn new(lines: &'l Lines) -> Self {
        Self {
            lines,
            imports: Vec::new(),
            effects: [None; StaticEffect::ALL.len()],
            network: NetworkUse::None,
            files: FileScope::None,
            statements: 0.0,
            calls: 0.0,
            loops: Measure::default(),
            nesting: Measure::default(),
            iterations: Measure::default(),
            endless_loops: Measure::default(),
            recursion: Measure::default(),
            allocation: Measure::default(),
            dynamic_code: Measure::default(),
            reads_input: None,
            functions: 0.0,
            classes: 0.0,
            branches: 0.0,
            depth: 0.0,
            product: 1.0,
            inside: 0,
            enclosing: Vec::new(),
        }
    }

    /// Returns whether a program is more than arithmetic.
    pub(super) fn is_algorithm(&self) -> bool {
        self.classes > 0.0
            || self.recursion.value > 0.0
            || self.functions > 1.0
            || self.nesting.value > 1.0
            || self.endless_loops.value > 0.0
            || self.statements > 40.0
            || (self.functions > 0.0 && self.branches + self.loops.value > 0.0)
    }

    fn line(&self, span: Span) -> u32 {
        self.lines.line(span.start)
    }

    fn add(&mut self, effect: StaticEffect, span: Span) {
        let line = self.line(span);
        self.effects[effect as usize].get_or_insert(line);
        if effect == StaticEffect::Network && self.network != NetworkUse::Certain {
            self.network = if self.inside == 0 { NetworkUse::Certain } else { NetworkUse::Possible };
        }
    }

    fn import(&mut self, specifier: &str, span: Span, used: bool) {
        let Some(module) = modules::name(specifier) else { return };
        let line = self.line(span);
        if self.imports.len() < MAX_IMPORTS && !self.imports.iter().any(|import| import.module == module) {
            self.imports.push(Import { module: module.to_owned(), used, optional: false, line });
        }
        if let Some(effect) = modules::effect(module) {
            self.add(effect, span);
        }
    }

    fn count(measure: &mut Measure, value: f64, line: u32) {
        measure.value += value;
        measure.line.get_or_insert(line);
    }

    fn most(measure: &mut Measure, value: f64, line: u32) {
        if value > measure.value {
            *measure = Measure { value, line: Some(line) };
        }
    }

    /// Walks the body of a loop. `bound`: how often it runs, if the text shows it.
    fn enter_loop(&mut self, span: Span, bound: Option<f64>, body: impl FnOnce(&mut Self)) {
        let line = self.line(span);
        let before = (self.depth, self.product);
        self.depth += 1.0;
        self.product *= bound.unwrap_or(1.0).max(1.0);
        Self::count(&mut self.loops, 1.0, line);
        Self::most(&mut self.nesting, self.depth, line);
        if bound.is_some() {
            Self::most(&mut self.iterations, self.product, line);
        }
        body(self);
        (self.depth, self.product) = before;
    }

    fn enter_function(&mut self, name: Option<&str>, body: impl FnOnce(&mut Self)) {
        self.functions += 1.0;
        self.inside += 1;
        let named = name.filter(|_| self.enclosing.len() < MAX_ENCLOSING);
        self.enclosing.extend(named.map(str::to_owned));
        // A loop around a function does not run its body that often.
        let before = (std::mem::take(&mut self.depth), std::mem::replace(&mut self.product, 1.0));
        body(self);
        (self.depth, self.product) = before;
        if named.is_some() {
            self.enclosing.pop();
        }
        self.inside -= 1;
    }

    /// Notes what the text shows of a file.
    fn file(&mut self, argument: Option<&Argument<'_>>, span: Span) {
        self.add(StaticEffect::Files, span);
        let scope = match argument {
            Some(Argument::StringLiteral(path)) => scope(path.value.as_str()),
            Some(Argument::NumericLiteral(descriptor)) => {
                if descriptor.value == 0.0 {
                    let line = self.line(span);
                    self.reads_input.get_or_insert(line);
                }
                FileScope::None
            }
            _ => FileScope::Computed,
        };
        if matches!(argument, Some(Argument::StringLiteral(path)) if path.value == "/dev/stdin") {
            let line = self.line(span);
            self.reads_input.get_or_insert(line);
            return;
        }
        self.files = self.files.max(scope);
    }

    /// Notes what is created with a literal size.
    fn create(&mut self, name: &str, argument: Option<&Argument<'_>>, span: Span) {
        let Some(Argument::NumericLiteral(size)) = argument else { return };
        let bytes = match name {
            "Uint8Array" | "Int8Array" | "Buffer" | "ArrayBuffer" | "repeat" => 0.125,
            "Array" | "Float64Array" | "BigInt64Array" | "BigUint64Array" | "fill" => 1.0,
            "Uint32Array" | "Int32Array" | "Float32Array" => 0.5,
            "Uint16Array" | "Int16Array" => 0.25,
            _ => return,
        };
        let line = self.line(span);
        Self::most(&mut self.allocation, size.value * bytes, line);
    }
}

/// Returns the scope of a path.
fn scope(path: &str) -> FileScope {
    let is_own = ["/tmp", "/home/user"]
        .iter()
        .any(|own| path == *own || path.strip_prefix(own).is_some_and(|rest| rest.starts_with('/')));
    if path.split('/').any(|part| part == "..") || (path.starts_with('/') && !is_own) {
        FileScope::Outside
    } else {
        FileScope::Scratch
    }
}

/// Returns how often a loop runs that counts up to a literal.
fn bound(statement: &ForStatement<'_>) -> Option<f64> {
    let Some(Expression::BinaryExpression(test)) = &statement.test else { return None };
    let (Expression::NumericLiteral(end), BinaryOperator::LessThan | BinaryOperator::LessEqualThan) =
        (&test.right, test.operator)
    else {
        return None;
    };
    let start = match &statement.init {
        Some(ForStatementInit::VariableDeclaration(declaration)) => {
            match declaration.declarations.first()?.init.as_ref()? {
                Expression::NumericLiteral(start) => start.value,
                _ => 0.0,
            }
        }
        _ => 0.0,
    };
    Some((end.value - start).max(0.0))
}

fn is_true(test: &Expression<'_>) -> bool {
    match test {
        Expression::BooleanLiteral(literal) => literal.value,
        Expression::NumericLiteral(literal) => literal.value != 0.0,
        _ => false,
    }
}

/// Looks for a way out of a loop.
struct WayOut(bool);

impl<'a> Visit<'a> for WayOut {
    fn visit_statement(&mut self, statement: &Statement<'a>) {
        self.0 |= matches!(
            statement,
            Statement::BreakStatement(_) | Statement::ReturnStatement(_) | Statement::ThrowStatement(_)
        );
        if !self.0 {
            walk::walk_statement(self, statement);
        }
    }

    fn visit_function(&mut self, _: &Function<'a>, _: ScopeFlags) {}

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        // `process.exit()`.
        self.0 |= call.callee_name() == Some("exit");
        walk::walk_call_expression(self, call);
    }
}

fn has_way_out(body: &Statement<'_>) -> bool {
    let mut out = WayOut(false);
    out.visit_statement(body);
    out.0
}

impl<'a> Visit<'a> for Survey<'_> {
    fn visit_statement(&mut self, statement: &Statement<'a>) {
        self.statements += 1.0;
        walk::walk_statement(self, statement);
    }

    fn visit_import_declaration(&mut self, import: &ImportDeclaration<'a>) {
        if !import.import_kind.is_type() {
            self.import(import.source.value.as_str(), import.span, true);
        }
    }

    fn visit_import_expression(&mut self, import: &ImportExpression<'a>) {
        if let Expression::StringLiteral(source) = &import.source {
            self.import(source.value.as_str(), import.span, true);
        }
        walk::walk_import_expression(self, import);
    }

    fn visit_if_statement(&mut self, statement: &IfStatement<'a>) {
        self.branches += 1.0;
        walk::walk_if_statement(self, statement);
    }

    fn visit_class(&mut self, class: &Class<'a>) {
        self.classes += 1.0;
        walk::walk_class(self, class);
    }

    fn visit_function(&mut self, function: &Function<'a>, flags: ScopeFlags) {
        let name = function.id.as_ref().map(|id| id.name.as_str());
        self.enter_function(name, |survey| walk::walk_function(survey, function, flags));
    }

    fn visit_arrow_function_expression(&mut self, function: &ArrowFunctionExpression<'a>) {
        self.enter_function(None, |survey| walk::walk_arrow_function_expression(survey, function));
    }

    fn visit_for_statement(&mut self, statement: &ForStatement<'a>) {
        if statement.test.is_none() && !has_way_out(&statement.body) {
            let line = self.line(statement.span);
            Self::count(&mut self.endless_loops, 1.0, line);
        }
        self.enter_loop(statement.span, bound(statement), |survey| walk::walk_for_statement(survey, statement));
    }

    fn visit_while_statement(&mut self, statement: &WhileStatement<'a>) {
        if is_true(&statement.test) && !has_way_out(&statement.body) {
            let line = self.line(statement.span);
            Self::count(&mut self.endless_loops, 1.0, line);
        }
        self.enter_loop(statement.span, None, |survey| walk::walk_while_statement(survey, statement));
    }

    fn visit_do_while_statement(&mut self, statement: &DoWhileStatement<'a>) {
        self.enter_loop(statement.span, None, |survey| walk::walk_do_while_statement(survey, statement));
    }

    fn visit_for_in_statement(&mut self, statement: &ForInStatement<'a>) {
        self.enter_loop(statement.span, None, |survey| walk::walk_for_in_statement(survey, statement));
    }

    fn visit_for_of_statement(&mut self, statement: &ForOfStatement<'a>) {
        self.enter_loop(statement.span, None, |survey| walk::walk_for_of_statement(survey, statement));
    }

    fn visit_identifier_reference(&mut self, identifier: &IdentifierReference<'a>) {
        match identifier.name.as_str() {
            "fetch" | "WebSocket" | "XMLHttpRequest" | "EventSource" => {
                self.add(StaticEffect::Network, identifier.span);
            }
            "Worker" | "SharedArrayBuffer" => self.add(StaticEffect::Threads, identifier.span),
            "performance" => self.add(StaticEffect::Clock, identifier.span),
            "crypto" => self.add(StaticEffect::Randomness, identifier.span),
            "readline" | "prompt" => {
                let line = self.line(identifier.span);
                self.reads_input.get_or_insert(line);
            }
            "eval" => {
                let line = self.line(identifier.span);
                Self::count(&mut self.dynamic_code, 1.0, line);
            }
            _ => {}
        }
    }

    fn visit_static_member_expression(&mut self, member: &StaticMemberExpression<'a>) {
        if let Expression::Identifier(object) = &member.object {
            match (object.name.as_str(), member.property.name.as_str()) {
                ("Math", "random") => self.add(StaticEffect::Randomness, member.span),
                ("Date", "now")
                | ("process", "hrtime" | "uptime" | "cpuUsage")
                | ("console", "time" | "timeEnd" | "timeLog") => {
                    self.add(StaticEffect::Clock, member.span);
                }
                ("process", "env") => self.add(StaticEffect::Environment, member.span),
                ("process", "stdin") => {
                    let line = self.line(member.span);
                    self.reads_input.get_or_insert(line);
                }
                _ => {}
            }
        }
        walk::walk_static_member_expression(self, member);
    }

    fn visit_new_expression(&mut self, new: &NewExpression<'a>) {
        if let Expression::Identifier(name) = &new.callee {
            match name.name.as_str() {
                "Date" if new.arguments.is_empty() => self.add(StaticEffect::Clock, new.span),
                "Function" => {
                    let line = self.line(new.span);
                    Self::count(&mut self.dynamic_code, 1.0, line);
                }
                name => self.create(name, new.arguments.first(), new.span),
            }
        }
        walk::walk_new_expression(self, new);
    }

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        self.calls += 1.0;
        let first = call.arguments.first();
        match &call.callee {
            Expression::Identifier(name) => match name.name.as_str() {
                "require" => {
                    if let Some(Argument::StringLiteral(source)) = first {
                        self.import(source.value.as_str(), call.span, true);
                    }
                }
                "Date" => self.add(StaticEffect::Clock, call.span),
                name if self.enclosing.iter().any(|function| function == name) => {
                    let line = self.line(call.span);
                    Self::count(&mut self.recursion, 1.0, line);
                }
                name => self.create(name, first, call.span),
            },
            Expression::StaticMemberExpression(member) => {
                let method = member.property.name.as_str();
                if is_file_method(method) {
                    self.file(first, member.property.span());
                }
                let name = match (&member.object, method) {
                    (Expression::Identifier(object), "alloc" | "allocUnsafe") => object.name.as_str(),
                    _ => method,
                };
                self.create(name, first, call.span);
            }
            _ => {}
        }
        walk::walk_call_expression(self, call);
    }
}

/// Returns whether a method of this name is one of `fs` that takes a path.
fn is_file_method(name: &str) -> bool {
    let plain = name.strip_suffix("Sync").unwrap_or(name);
    matches!(
        plain,
        "readFile"
            | "writeFile"
            | "appendFile"
            | "readdir"
            | "mkdir"
            | "mkdtemp"
            | "rmdir"
            | "unlink"
            | "copyFile"
            | "createReadStream"
            | "createWriteStream"
            | "opendir"
            | "realpath"
    ) || (name.ends_with("Sync")
        && matches!(plain, "exists" | "stat" | "lstat" | "open" | "rm" | "rename" | "access" | "chmod"))
}
