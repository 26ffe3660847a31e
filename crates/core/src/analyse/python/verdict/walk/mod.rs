//! The walk of the proof: visits every expression together with the usage of its value.

use std::collections::BTreeMap;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{
    CmpOp, Comprehension, Expr, ExprContext, InterpolatedStringElement, Number, Operator, Pattern, Stmt, UnaryOp,
};
use ruff_text_size::{Ranged, TextSize};

mod calls;
mod definitions;
mod forms;
mod receivers;
mod science;

use self::forms::{
    is_mapping_view, is_operator_method, is_ordering_method, is_portable_date_format, is_set_operation,
    is_totally_ordered, parts_of_type,
};
use self::receivers::Receivers;
use super::Reasons;
use super::allowed::{self, Member};
use super::hazard::{Hazard, Usage, Usages};
use crate::analyse::python::definitions::Definitions;
use crate::analyse::python::imports::Imports;

/// Adds to `reasons` everything for which the program is rejected.
pub(super) fn check(body: &[Stmt], imports: &Imports<'_>, definitions: &Definitions<'_>, reasons: &mut Reasons) {
    let mut walk = Walk {
        imports,
        definitions,
        reasons,
        usage: Usage::Unrestricted,
        in_class: false,
        lambda_depth: 0,
        uses_science: imports.modules.iter().any(|imported| allowed::is_science(imported.module)),
        overrides_operators: definitions.methods.iter().any(|name| is_operator_method(name)),
        overrides_ordering: definitions.methods.iter().any(|name| is_ordering_method(name)),
        has_floats: imports.modules.iter().any(|imported| allowed::is_float_module(imported.module)),
        receivers: Receivers::find(body, definitions),
        kept_view: None,
        has_set_augmentation: false,
        binds_exceptions: false,
        uses_digests: imports.modules.iter().any(|imported| matches!(imported.module, "hashlib" | "hmac")),
        uses_dates: imports.modules.iter().any(|imported| imported.module == "datetime"),
        class_kind: ClassKind::default(),
        function_depth: 0,
        callbacks: Vec::new(),
        ordered_reads: Vec::new(),
        name_hazards: BTreeMap::new(),
        name_usages: BTreeMap::new(),
    };
    walk.check_dates(imports);
    if let Some(imported) =
        imports.modules.iter().find(|imported| imported.module == "statistics" && !definitions.classes.is_empty())
    {
        walk.reject(imported.at, "statistics may combine types of numbers in any order");
    }
    let own_buffer = ["StringIO", "BytesIO"].into_iter().find(|name| definitions.bound.contains(name));
    if let Some(name) = own_buffer.filter(|_| walk.uses_science) {
        walk.reasons.add(TextSize::default(), || format!("{name} is not known to be deterministic"));
    }
    walk.visit_body(body);
    walk.check_names();
}

/// The usages of a name, and the position of the first.
#[derive(Clone, Copy)]
struct NameUsages {
    usages: Usages,
    first: TextSize,
}

/// The kind of a class, which determines the meaning of its assignments.
#[derive(Clone, Copy, Default)]
struct ClassKind {
    /// Assignments declare the fields of a dataclass.
    is_dataclass: bool,
    /// Assignments declare the members of an enumeration.
    is_enum: bool,
}

struct Walk<'a, 'r> {
    imports: &'r Imports<'a>,
    definitions: &'r Definitions<'a>,
    reasons: &'r mut Reasons,
    /// The usage of the expression that is visited next.
    usage: Usage,
    in_class: bool,
    /// The number of lambdas around the node that is being visited.
    lambda_depth: usize,
    /// Whether the program imports numpy, pandas, scipy or scikit-learn: objects may be arrays and tables, and numbers
    /// NaN.
    uses_science: bool,
    /// Whether the program defines operator methods, which may use their operands in any way.
    overrides_operators: bool,
    /// Whether the program defines comparison or truth methods, which may reveal the order of a set.
    overrides_ordering: bool,
    /// Whether the program uses floating-point numbers, which may be NaN and then cannot be ordered.
    has_floats: bool,
    /// What is known of `self` and `cls`.
    receivers: Receivers,
    /// The first view of a mapping that is stored: a set operator turns it into a set.
    kept_view: Option<TextSize>,
    /// Whether a name is the target of an augmented assignment with a set operator.
    has_set_augmentation: bool,
    /// Whether a handler binds an exception, whose message may be printed.
    binds_exceptions: bool,
    /// Whether the program computes digests.
    uses_digests: bool,
    /// Whether the program uses dates, whose text depends on a format.
    uses_dates: bool,
    /// The kind of the class around the node that is being visited.
    class_kind: ClassKind,
    /// The number of functions around the node that is being visited.
    function_depth: usize,
    /// Names that are passed as callbacks to a library that also accepts the name of a function.
    callbacks: Vec<(&'a str, TextSize)>,
    /// Collections that are read in order: the name, or an empty one for a set without a name; the position; and
    /// whether only the minimum or maximum is read.
    ordered_reads: Vec<(&'a str, TextSize, bool)>,
    /// The hazards that each name is bound to.
    name_hazards: BTreeMap<&'a str, Vec<Hazard>>,
    /// The usages of each name that is read.
    name_usages: BTreeMap<&'a str, NameUsages>,
}

impl<'a> Walk<'a, '_> {
    fn reject(&mut self, at: TextSize, text: &str) {
        self.reasons.add(at, || text.to_owned());
    }

    /// Rejects dates in tables and arrays, which compare them with text, and some texts mean the current time.
    fn check_dates(&mut self, imports: &Imports<'_>) {
        let at = |wanted: &str| {
            imports.modules.iter().find(|imported| imported.module == wanted).map(|imported| imported.at)
        };
        if let (Some(_), Some(at)) = (at("pandas").or(at("numpy")), at("datetime")) {
            self.reject(at, "a table of dates parses text, which may mean the current time");
        }
    }

    /// Returns whether the node that is being visited is in a function.
    fn in_function(&self) -> bool {
        self.function_depth > 0
    }

    fn visit_as(&mut self, usage: Usage, expr: &'a Expr) {
        self.usage = usage;
        self.visit_expr(expr);
        self.usage = Usage::Unrestricted;
    }

    /// Rejects a hazard that is created at this position, unless its usage is safe.
    fn check_hazard(&mut self, hazard: Hazard, usage: Usage, at: TextSize) {
        if !hazard.is_safe_as(usage) {
            self.reasons.add_hazard(hazard, at, || hazard.reason().to_owned());
        }
    }

    fn record_usage(uses: &mut BTreeMap<&'a str, NameUsages>, name: &'a str, usage: Usage, at: TextSize) {
        uses.entry(name).or_insert(NameUsages { usages: Usages::default(), first: at }).usages.add(usage);
    }

    /// Checks the hazards of all names against their usages, after the walk.
    fn check_names(&mut self) {
        for (name, uses) in std::mem::take(&mut self.name_usages) {
            let mut hazards = self.name_hazards.get(name).cloned().unwrap_or_default();
            if self.definitions.functions.contains(name) {
                hazards.push(Hazard::Function);
            }
            if self.definitions.generators.contains(name) && !uses.usages.all(|usage| usage != Usage::Callback) {
                hazards.push(Hazard::Iterator);
            }
            for hazard in hazards {
                if !uses.usages.all(|usage| hazard.is_safe_as(usage)) {
                    self.reasons.add_hazard(hazard, uses.first, || format!("{name}: {}", hazard.reason()));
                }
            }
            // The class itself is used as a value, so that a property may be read on it.
            if (self.definitions.classes.contains(name) || name == "cls")
                && !self.definitions.properties.is_empty()
                && !uses.usages.all(|usage| {
                    usage.is_receiver()
                        || matches!(
                            usage,
                            Usage::Callee
                                | Usage::Type
                                | Usage::Callback
                                | Usage::AttributeBase
                                | Usage::OrderIndependent
                                | Usage::Formatted
                        )
                })
            {
                self.reject(uses.first, "a property may be read on its class, where its text is an address");
            }
            // Where the name is read, it may still be the builtin.
            if (self.definitions.bound.contains(name) || self.imports.is_bound(name))
                && !allowed::is_always_hazardous(name)
            {
                continue;
            }
            match allowed::builtin(name) {
                None => self.reasons.add(uses.first, || format!("{name} is not known to be deterministic")),
                Some(Member::Produces(hazard))
                    if !uses.usages.all(|usage| matches!(usage, Usage::Callee | Usage::Type)) =>
                {
                    self.reasons.add_hazard(hazard, uses.first, || format!("{name}: {}", hazard.reason()));
                }
                Some(_)
                    if self.uses_science
                        && matches!(name, "bytes" | "bytearray")
                        && !uses.usages.all(|usage| usage == Usage::Type) =>
                {
                    self.reject(uses.first, "the memory of an array may be printed");
                }
                Some(_)
                    if allowed::may_be_replaced(name)
                        && !uses.usages.all(|usage| matches!(usage, Usage::Callee | Usage::Callback)) =>
                {
                    self.reasons.add(uses.first, || format!("the text of {name} may differ between tiers"));
                }
                Some(_) => {}
            }
        }
        for (name, at) in std::mem::take(&mut self.callbacks) {
            let is_function = self.definitions.functions.contains(name)
                || self.name_hazards.get(name).is_some_and(|hazards| hazards.contains(&Hazard::Function));
            // If it has other bindings, it may be a string.
            let known = (is_function && self.definitions.is_bound_once(name))
                || self.imports.is_bound(name)
                || (!self.definitions.bound.contains(name) && allowed::builtin(name).is_some());
            if !known {
                self.reject(at, "a library may look up any method by a name that is not a literal");
            }
        }
        if let Some(at) = self.kept_view.filter(|_| self.has_set_augmentation) {
            self.reject(at, "a stored view of a mapping may become a set");
        }
        // `min` and `max` do not compare all pairs, so the order decides whether incomparable elements are compared.
        let shows = self.overrides_ordering || self.has_floats || self.binds_exceptions;
        for (name, at, one_end) in std::mem::take(&mut self.ordered_reads) {
            let is_set =
                name.is_empty() || self.name_hazards.get(name).is_some_and(|hazards| hazards.contains(&Hazard::Set));
            if is_set && (shows || one_end) {
                self.reject(at, "elements of a set that cannot be compared may keep the order of the set");
            }
        }
    }

    /// Visits `target = value`. A hazard may be bound to a single name, whose usages are then checked.
    fn assign(&mut self, target: &'a Expr, value: &'a Expr) {
        match (target, self.hazard_of(value)) {
            (Expr::Name(name), Some(hazard)) if !self.in_class => {
                self.name_hazards.entry(name.id.as_str()).or_default().push(hazard);
                self.visit_as(Usage::Bound, value);
            }
            (Expr::Tuple(_) | Expr::List(_), _) => self.visit_as(Usage::Consumed, value),
            _ => self.visit_expr(value),
        }
        self.visit_expr(target);
    }

    /// Records that elements are sorted or compared one after the other. For a set that is safe if the order of its
    /// elements is total and the program cannot observe the comparisons.
    fn check_ordered_read(&mut self, how: &str, elements: &'a Expr) {
        let ordered = is_totally_ordered(elements) && !self.overrides_ordering && !self.rebinds_ordering_names();
        match elements {
            _ if ordered => {}
            Expr::BoolOp(either) => either.values.iter().for_each(|set| self.check_ordered_read(how, set)),
            Expr::If(either) => {
                self.check_ordered_read(how, &either.body);
                self.check_ordered_read(how, &either.orelse);
            }
            Expr::Name(name) => {
                self.ordered_reads.push((name.id.as_str(), elements.start(), how == "min" || how == "max"))
            }
            _ if self.hazard_of(elements) == Some(Hazard::Set) => {
                self.ordered_reads.push(("", elements.start(), how == "min" || how == "max"));
            }
            _ => {}
        }
    }

    /// Returns whether the program rebinds a name that [`is_totally_ordered`] relies on.
    fn rebinds_ordering_names(&self) -> bool {
        let builtins = ["len", "int", "str", "ord", "range", "set", "frozenset"];
        let methods = ["lower", "upper", "strip", "title", "capitalize", "split", "splitlines"];
        builtins.iter().any(|name| self.definitions.bound.contains(name) || self.definitions.functions.contains(name))
            || builtins.iter().any(|name| self.definitions.classes.contains(name) || self.imports.is_bound(name))
            || methods
                .iter()
                .any(|name| self.definitions.methods.contains(name) || self.definitions.data_attributes.contains(name))
    }

    fn holds_set(&self, name: &str) -> bool {
        !self.in_class && self.name_hazards.get(name).is_some_and(|hazards| hazards.contains(&Hazard::Set))
    }

    fn visit_generators(&mut self, generators: &'a [Comprehension]) {
        for generator in generators {
            if generator.is_async {
                self.reject(generator.start(), "it uses asynchronous code");
            }
            self.visit_as(Usage::Consumed, &generator.iter);
            self.visit_expr(&generator.target);
            generator.ifs.iter().for_each(|test| self.visit_as(Usage::OrderIndependent, test));
        }
    }
}

impl<'a> Visitor<'a> for Walk<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if self.reasons.is_complete() {
            return;
        }
        self.usage = Usage::Unrestricted;
        match statement {
            Stmt::FunctionDef(def) => self.visit_function(def),
            Stmt::ClassDef(class) => self.visit_class(class),
            Stmt::Assign(assign) => match assign.targets.as_slice() {
                [target] => self.assign(target, &assign.value),
                targets => {
                    self.visit_expr(&assign.value);
                    targets.iter().for_each(|target| self.visit_expr(target));
                }
            },
            Stmt::AnnAssign(assign) => {
                self.visit_annotation(&assign.annotation);
                match &assign.value {
                    Some(value) => self.assign(&assign.target, value),
                    None => self.visit_expr(&assign.target),
                }
            }
            Stmt::AugAssign(assign) => {
                // `s |= t` with a set reads and binds the name, whose usages are checked already.
                self.has_floats |= matches!(assign.op, Operator::Div | Operator::Pow);
                self.has_set_augmentation |= is_set_operation(assign.op);
                let followed = matches!(&*assign.target, Expr::Name(name) if self.holds_set(name.id.as_str()));
                if is_set_operation(assign.op) && followed && !self.overrides_operators {
                    self.visit_as(Usage::OrderIndependent, &assign.value);
                } else {
                    self.visit_expr(&assign.value);
                }
                self.visit_expr(&assign.target);
            }
            Stmt::For(each) => {
                if each.is_async {
                    self.reject(each.start(), "it uses asynchronous code");
                }
                self.visit_as(Usage::Consumed, &each.iter);
                self.visit_expr(&each.target);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
            }
            Stmt::While(each) => {
                self.visit_as(Usage::OrderIndependent, &each.test);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
            }
            Stmt::If(branch) => {
                self.visit_as(Usage::OrderIndependent, &branch.test);
                self.visit_body(&branch.body);
                for clause in &branch.elif_else_clauses {
                    clause.test.iter().for_each(|test| self.visit_as(Usage::OrderIndependent, test));
                    self.visit_body(&clause.body);
                }
            }
            Stmt::Assert(assert) => {
                self.visit_as(Usage::OrderIndependent, &assert.test);
                assert.msg.iter().for_each(|message| self.visit_expr(message));
            }
            Stmt::With(with) => {
                if with.is_async {
                    self.reject(with.start(), "it uses asynchronous code");
                }
                for item in &with.items {
                    // A context manager that is not bound is only entered and left.
                    let usage = if item.optional_vars.is_none() { Usage::ObjectReceiver } else { Usage::Unrestricted };
                    self.visit_as(usage, &item.context_expr);
                    item.optional_vars.iter().for_each(|target| self.visit_expr(target));
                }
                self.visit_body(&with.body);
            }
            Stmt::ImportFrom(import) if import.names.iter().any(|alias| &alias.name == "*") => {
                self.reject(import.start(), "it imports all names of a module");
            }
            Stmt::IpyEscapeCommand(_) => self.reject(statement.start(), "it uses notebook magics"),
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_annotation(&mut self, annotation: &'a Expr) {
        self.visit_as(Usage::Type, annotation);
    }

    fn visit_except_handler(&mut self, handler: &'a ruff_python_ast::ExceptHandler) {
        let ruff_python_ast::ExceptHandler::ExceptHandler(caught) = handler;
        self.binds_exceptions |= caught.name.is_some();
        if self.uses_science && caught.name.is_some() {
            self.reject(caught.start(), "the message of an exception may list names in any order");
        }
        caught.type_.iter().for_each(|kind| self.visit_as(Usage::Type, kind));
        self.visit_body(&caught.body);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a InterpolatedStringElement) {
        let InterpolatedStringElement::Interpolation(shown) = element else { return };
        self.visit_as(Usage::Formatted, &shown.expression);
        if let Some(spec) = &shown.format_spec {
            let known = |part: &InterpolatedStringElement| matches!(part, InterpolatedStringElement::Literal(text) if is_portable_date_format(&text.value));
            if self.uses_dates && !spec.elements.iter().all(known) {
                self.reject(shown.start(), "the format of a date depends on the locale or the time zone");
            }
            spec.elements.iter().for_each(|part| self.visit_interpolated_string_element(part));
        }
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        let is_own = |class: &Expr| matches!(class, Expr::Name(name) if self.definitions.classes.contains(name.id.as_str()) && self.definitions.is_bound_once(name.id.as_str()));
        if let Pattern::MatchClass(class) = pattern
            && !(class.arguments.keywords.is_empty() || is_own(&class.cls) && !self.definitions.has_base_classes)
        {
            self.reject(class.start(), "a pattern reads attributes that may be methods");
        } else if let Pattern::MatchClass(class) = pattern
            && !class
                .arguments
                .keywords
                .iter()
                .all(|keyword| self.definitions.data_attributes.contains(keyword.attr.as_str()) && !self.uses_science)
        {
            self.reject(class.start(), "a pattern reads attributes that may be methods");
        }
        visitor::walk_pattern(self, pattern);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        let usage = std::mem::replace(&mut self.usage, Usage::Unrestricted);
        let at = expr.start();
        match expr {
            Expr::List(list) if usage == Usage::CallbackCollection => {
                list.elts.iter().for_each(|element| self.visit_as(usage, element));
            }
            Expr::Dict(dict) if usage == Usage::CallbackCollection => {
                for item in &dict.items {
                    item.key.iter().for_each(|key| self.visit_expr(key));
                    self.visit_as(usage, &item.value);
                }
            }
            Expr::Tuple(tuple) if usage == Usage::CallbackCollection => {
                tuple.elts.iter().for_each(|element| self.visit_as(usage, element));
            }
            _ if usage == Usage::CallbackCollection => {
                self.check_callback_name(expr);
                self.visit_as(Usage::Callback, expr);
            }
            Expr::Name(name) => {
                if name.ctx != ExprContext::Load {
                    if self.in_class {
                        self.check_special_name(name.id.as_str(), at);
                    }
                    return;
                }
                Self::record_usage(&mut self.name_usages, name.id.as_str(), usage, at);
                let (id, own) = (name.id.as_str(), self.definitions);
                if self.in_class && usage != Usage::Callee && (own.methods.contains(id) || own.properties.contains(id))
                {
                    self.check_hazard(Hazard::Function, usage, at);
                }
                if let Some(path) = self.imports.resolve_name(&name.id) {
                    self.check_member_read(path.segments(), name.ctx, usage, at);
                }
            }
            Expr::Attribute(attribute) => self.visit_attribute(expr, attribute, usage),
            Expr::Call(call) => {
                if is_mapping_view(expr) && !matches!(usage, Usage::Consumed | Usage::OrderIndependent) {
                    self.kept_view.get_or_insert(at);
                }
                self.visit_call(call, usage);
            }
            Expr::Set(set) => {
                self.check_hazard(Hazard::Set, usage, at);
                set.elts.iter().for_each(|element| self.visit_expr(element));
            }
            Expr::SetComp(set) => {
                self.check_hazard(Hazard::Set, usage, at);
                self.visit_generators(&set.generators);
                self.visit_expr(&set.elt);
            }
            Expr::Generator(generator) => {
                self.check_hazard(Hazard::Iterator, usage, at);
                self.visit_generators(&generator.generators);
                self.visit_expr(&generator.elt);
            }
            Expr::ListComp(list) => {
                self.visit_generators(&list.generators);
                self.visit_expr(&list.elt);
            }
            Expr::DictComp(dict) => {
                self.visit_generators(&dict.generators);
                dict.key.iter().for_each(|key| self.visit_expr(key));
                self.visit_expr(&dict.value);
            }
            Expr::Lambda(lambda) => {
                self.check_hazard(Hazard::Function, usage, at);
                lambda.parameters.iter().for_each(|parameters| self.visit_parameters(parameters));
                self.lambda_depth += 1;
                self.visit_expr(&lambda.body);
                self.lambda_depth -= 1;
            }
            Expr::BinOp(binary) => {
                self.has_floats |= matches!(binary.op, Operator::Div | Operator::Pow);
                let operand = if self.hazard_of(expr).is_some() {
                    self.check_hazard(Hazard::Set, usage, at);
                    Usage::OrderIndependent
                } else if usage == Usage::Type {
                    Usage::Type
                } else if self.overrides_operators || binary.op == Operator::Mod {
                    Usage::Unrestricted
                } else {
                    Usage::Operand
                };
                self.visit_as(operand, &binary.left);
                self.visit_as(operand, &binary.right);
            }
            Expr::BoolOp(operation) => operation.values.iter().for_each(|value| self.visit_as(usage, value)),
            Expr::UnaryOp(unary) if unary.op == UnaryOp::Not => self.visit_as(Usage::OrderIndependent, &unary.operand),
            Expr::Compare(compare) => {
                let plain = compare.ops.iter().all(|op| {
                    matches!(op, CmpOp::Eq | CmpOp::NotEq | CmpOp::In | CmpOp::NotIn | CmpOp::Is | CmpOp::IsNot)
                });
                let usage =
                    if plain && !self.overrides_operators { Usage::OrderIndependent } else { Usage::Unrestricted };
                self.visit_as(usage, &compare.left);
                compare.comparators.iter().for_each(|side| self.visit_as(usage, side));
            }
            Expr::If(branch) => {
                self.visit_as(Usage::OrderIndependent, &branch.test);
                self.visit_as(usage, &branch.body);
                self.visit_as(usage, &branch.orelse);
            }
            // A value that is used and also bound is not tracked.
            Expr::Named(named) => {
                self.visit_expr(&named.value);
                self.visit_expr(&named.target);
            }
            Expr::Starred(starred) if starred.ctx == ExprContext::Load => {
                self.visit_as(Usage::Consumed, &starred.value);
            }
            Expr::Subscript(_) | Expr::Tuple(_) | Expr::List(_) if usage == Usage::Type => {
                for part in parts_of_type(expr) {
                    self.visit_as(usage, part);
                }
            }
            Expr::Subscript(part) => {
                let grouped = self.hazard_of(&part.value) == Some(Hazard::Group);
                if grouped {
                    self.check_hazard(Hazard::Group, usage, at);
                }
                // A name may hold groups: then an element of it is a group too, and must be consumed like one.
                let whole = if grouped || usage.is_receiver() { Usage::OtherReceiver } else { Usage::Subscripted };
                self.visit_as(whole, &part.value);
                self.visit_expr(&part.slice);
            }
            Expr::BytesLiteral(_) if self.uses_science => {
                self.reject(at, "bytes may be compared with the memory of an array");
            }
            Expr::NumberLiteral(literal) if matches!(literal.value, Number::Float(_) | Number::Complex { .. }) => {
                self.has_floats = true;
            }
            Expr::StringLiteral(text) if self.uses_science => {
                let text = text.value.to_str();
                let present = ["now", "today"].iter().any(|word| text.trim().eq_ignore_ascii_case(word));
                if present || text.contains("M8") || text.contains("datetime") {
                    self.reject(at, "dates are parsed from text, which may mean the current time");
                }
            }
            Expr::Yield(_) | Expr::YieldFrom(_) if self.lambda_depth > 0 => {
                self.reject(at, "a lambda creates an iterator")
            }
            Expr::Await(_) | Expr::TString(_) | Expr::IpyEscapeCommand(_) => {
                self.reject(at, "this syntax is not known to be deterministic");
            }
            _ => visitor::walk_expr(self, expr),
        }
    }
}
