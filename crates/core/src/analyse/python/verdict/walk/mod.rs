//! The walk of the proof: every expression with the place that its value goes to.

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

use self::forms::{is_operator, is_ordered, is_set_operation, is_the_same_everywhere, is_view, orders, parts_of_type};
use self::receivers::Receivers;
use super::Reasons;
use super::allowed::{self, Member};
use super::hazard::{Hazard, Place, Places};
use crate::analyse::python::definitions::Definitions;
use crate::analyse::python::imports::Imports;

/// Adds to `reasons` whatever ends the proof.
pub(super) fn judge(body: &[Stmt], imports: &Imports<'_>, own: &Definitions<'_>, reasons: &mut Reasons) {
    let mut walk = Walk {
        imports,
        own,
        reasons,
        place: Place::Plain,
        in_class: false,
        lambdas: 0,
        science: imports.modules.iter().any(|named| allowed::is_science(named.module)),
        own_operators: own.methods.iter().any(|name| is_operator(name)),
        own_order: own.methods.iter().any(|name| orders(name)),
        floats: imports.modules.iter().any(|named| allowed::has_floats(named.module)),
        receivers: Receivers::of(body, own),
        views: None,
        augments: false,
        names_exceptions: false,
        hashes: imports.modules.iter().any(|named| matches!(named.module, "hashlib" | "hmac")),
        dates: imports.modules.iter().any(|named| named.module == "datetime"),
        fields: Fields::default(),
        functions: 0,
        callbacks: Vec::new(),
        in_order: Vec::new(),
        held: BTreeMap::new(),
        loads: BTreeMap::new(),
    };
    walk.dates(imports);
    if let Some(named) = imports.modules.iter().find(|named| named.module == "statistics" && !own.classes.is_empty()) {
        walk.no(named.at, "kinds of numbers are brought together in no order");
    }
    let own_buffer = ["StringIO", "BytesIO"].into_iter().find(|name| own.bound.contains(name));
    if let Some(name) = own_buffer.filter(|_| walk.science) {
        walk.reasons.add(TextSize::default(), || format!("nothing certain is known of {name}"));
    }
    walk.visit_body(body);
    walk.settle();
}

#[derive(Clone, Copy)]
struct Uses {
    places: Places,
    first: TextSize,
}

/// What becomes of the assignments in a class.
#[derive(Clone, Copy, Default)]
struct Fields {
    /// They are the fields of a dataclass.
    data: bool,
    /// They are the members of an enumeration.
    lists: bool,
}

struct Walk<'a, 'r> {
    imports: &'r Imports<'a>,
    own: &'r Definitions<'a>,
    reasons: &'r mut Reasons,
    /// Where the value of the expression that is visited next goes.
    place: Place,
    in_class: bool,
    /// Lambdas around this place.
    lambdas: usize,
    /// It holds arrays and tables: an object may have more methods than the language gives it, and a number may be a NaN.
    science: bool,
    /// The program says itself what operators do, so that an operand may end up anywhere.
    own_operators: bool,
    /// The program says itself what comes first, or what is true: then a set shows in which order it was asked.
    own_order: bool,
    /// It counts with fractions, of which one may be a NaN, which has no order.
    floats: bool,
    /// What `self` and `cls` are.
    receivers: Receivers,
    /// Where a view of a mapping is kept: an operation of sets makes a set of it.
    views: Option<TextSize>,
    /// A name is changed by an operation that sets have.
    augments: bool,
    /// It tells what an exception says.
    names_exceptions: bool,
    /// It makes digests.
    hashes: bool,
    /// It has dates, whose text is made as a format says.
    dates: bool,
    /// What the class around this place is.
    fields: Fields,
    /// Functions around this place.
    functions: usize,
    /// Names of what is called by a library that would also take the name of a function.
    callbacks: Vec<(&'a str, TextSize)>,
    /// Names of what is taken in order, empty where it is a set that has none, and whether only one end of it is.
    in_order: Vec<(&'a str, TextSize, bool)>,
    /// Names that were given a hazard.
    held: BTreeMap<&'a str, Vec<Hazard>>,
    /// Where names are read.
    loads: BTreeMap<&'a str, Uses>,
}

impl<'a> Walk<'a, '_> {
    fn no(&mut self, at: TextSize, text: &str) {
        self.reasons.add(at, || text.to_owned());
    }

    /// Tables and arrays of dates compare them with texts, some of which mean the present.
    fn dates(&mut self, imports: &Imports<'_>) {
        let at = |wanted: &str| imports.modules.iter().find(|named| named.module == wanted).map(|named| named.at);
        if let (Some(_), Some(at)) = (at("pandas").or(at("numpy")), at("datetime")) {
            self.no(at, "a table of dates reads texts, which may mean the present");
        }
    }

    /// This place is in a function.
    fn in_method(&self) -> bool {
        self.functions > 0
    }

    fn visit_in(&mut self, place: Place, expr: &'a Expr) {
        self.place = place;
        self.visit_expr(expr);
        self.place = Place::Plain;
    }

    /// A hazard is made here and goes to `place`.
    fn makes(&mut self, hazard: Hazard, place: Place, at: TextSize) {
        if !hazard.is_safe_in(place) {
            self.reasons.add_hazard(hazard, at, || hazard.reason().to_owned());
        }
    }

    fn noted(uses: &mut BTreeMap<&'a str, Uses>, name: &'a str, place: Place, at: TextSize) {
        uses.entry(name).or_insert(Uses { places: Places::default(), first: at }).places.add(place);
    }

    /// What was learnt of names is held against what became of them.
    fn settle(&mut self) {
        for (name, uses) in std::mem::take(&mut self.loads) {
            let mut hazards = self.held.get(name).cloned().unwrap_or_default();
            if self.own.functions.contains(name) {
                hazards.push(Hazard::Function);
            }
            if self.own.generators.contains(name) && !uses.places.all(|place| place != Place::Callback) {
                hazards.push(Hazard::Iterator);
            }
            for hazard in hazards {
                if !uses.places.all(|place| hazard.is_safe_in(place)) {
                    self.reasons.add_hazard(hazard, uses.first, || format!("{name}: {}", hazard.reason()));
                }
            }
            // The class itself is handed on, and what is asked of it then may be a property.
            if (self.own.classes.contains(name) || name == "cls")
                && !self.own.properties.is_empty()
                && !uses.places.all(|place| {
                    place.is_receiver()
                        || matches!(
                            place,
                            Place::Callee
                                | Place::Type
                                | Place::Callback
                                | Place::Holder
                                | Place::Unordered
                                | Place::Shown
                        )
                })
            {
                self.no(uses.first, "a property may be asked of its class, where its text is an address");
            }
            // The name may still be the builtin where it is read.
            if (self.own.bound.contains(name) || self.imports.binds(name)) && !allowed::is_dangerous(name) {
                continue;
            }
            match allowed::builtin(name) {
                None => self.reasons.add(uses.first, || format!("nothing certain is known of {name}")),
                Some(Member::Makes(hazard))
                    if !uses.places.all(|place| matches!(place, Place::Callee | Place::Type)) =>
                {
                    self.reasons.add_hazard(hazard, uses.first, || format!("{name}: {}", hazard.reason()));
                }
                Some(_)
                    if self.science
                        && matches!(name, "bytes" | "bytearray")
                        && !uses.places.all(|place| place == Place::Type) =>
                {
                    self.no(uses.first, "the memory of an array may be shown");
                }
                Some(_)
                    if allowed::is_replaced(name)
                        && !uses.places.all(|place| matches!(place, Place::Callee | Place::Callback)) =>
                {
                    self.reasons.add(uses.first, || format!("nothing certain is known of the text of {name}"));
                }
                Some(_) => {}
            }
        }
        for (name, at) in std::mem::take(&mut self.callbacks) {
            let is_function = self.own.functions.contains(name)
                || self.held.get(name).is_some_and(|hazards| hazards.contains(&Hazard::Function));
            // Bound elsewhere too, it may be a text there.
            let known = (is_function && self.own.is_bound_once(name))
                || self.imports.binds(name)
                || (!self.own.bound.contains(name) && allowed::builtin(name).is_some());
            if !known {
                self.no(at, "a library may find any method by a name that is not written here");
            }
        }
        if let Some(at) = self.views.filter(|_| self.augments) {
            self.no(at, "a view of a mapping is kept where it may become a set");
        }
        // An end is found without comparing each with each: it may come out before two are compared that cannot be.
        let shows = self.own_order || self.floats || self.names_exceptions;
        for (name, at, one_end) in std::mem::take(&mut self.in_order) {
            let is_set = name.is_empty() || self.held.get(name).is_some_and(|hazards| hazards.contains(&Hazard::Set));
            if is_set && (shows || one_end) {
                self.no(at, "what has no order among the elements of a set is left in the order of the set");
            }
        }
    }

    /// `target = value`: a hazard may be bound to one name that is followed.
    fn assign(&mut self, target: &'a Expr, value: &'a Expr) {
        match (target, self.made(value)) {
            (Expr::Name(name), Some(hazard)) if !self.in_class => {
                self.held.entry(name.id.as_str()).or_default().push(hazard);
                self.visit_in(Place::Bound, value);
            }
            (Expr::Tuple(_) | Expr::List(_), _) => self.visit_in(Place::Consumed, value),
            _ => self.visit_expr(value),
        }
        self.visit_expr(target);
    }

    /// The elements are sorted, or compared one after the other. Of a set that is safe where they are all told apart, and
    /// where it does not show which were compared with which.
    fn takes_in_order(&mut self, how: &str, elements: &'a Expr) {
        let ordered = is_ordered(elements) && !self.own_order && !self.renames_what_orders();
        match elements {
            _ if ordered => {}
            Expr::BoolOp(either) => either.values.iter().for_each(|set| self.takes_in_order(how, set)),
            Expr::If(either) => {
                self.takes_in_order(how, &either.body);
                self.takes_in_order(how, &either.orelse);
            }
            Expr::Name(name) => self.in_order.push((name.id.as_str(), elements.start(), how == "min" || how == "max")),
            _ if self.made(elements) == Some(Hazard::Set) => {
                self.in_order.push(("", elements.start(), how == "min" || how == "max"));
            }
            _ => {}
        }
    }

    /// What [`is_ordered`] goes by may be something else here.
    fn renames_what_orders(&self) -> bool {
        let builtins = ["len", "int", "str", "ord", "range", "set", "frozenset"];
        let methods = ["lower", "upper", "strip", "title", "capitalize", "split", "splitlines"];
        builtins.iter().any(|name| self.own.bound.contains(name) || self.own.functions.contains(name))
            || builtins.iter().any(|name| self.own.classes.contains(name) || self.imports.binds(name))
            || methods.iter().any(|name| self.own.methods.contains(name) || self.own.data.contains(name))
    }

    fn held_as_set(&self, name: &str) -> bool {
        !self.in_class && self.held.get(name).is_some_and(|hazards| hazards.contains(&Hazard::Set))
    }

    fn generators(&mut self, generators: &'a [Comprehension]) {
        for generator in generators {
            if generator.is_async {
                self.no(generator.start(), "it runs asynchronously");
            }
            self.visit_in(Place::Consumed, &generator.iter);
            self.visit_expr(&generator.target);
            generator.ifs.iter().for_each(|test| self.visit_in(Place::Unordered, test));
        }
    }
}

impl<'a> Visitor<'a> for Walk<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if self.reasons.is_settled() {
            return;
        }
        self.place = Place::Plain;
        match statement {
            Stmt::FunctionDef(def) => self.function(def),
            Stmt::ClassDef(class) => self.class(class),
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
                // `s |= t` of a set reads and binds the name: what it holds already is followed.
                self.floats |= matches!(assign.op, Operator::Div | Operator::Pow);
                self.augments |= is_set_operation(assign.op);
                let followed = matches!(&*assign.target, Expr::Name(name) if self.held_as_set(name.id.as_str()));
                if is_set_operation(assign.op) && followed && !self.own_operators {
                    self.visit_in(Place::Unordered, &assign.value);
                } else {
                    self.visit_expr(&assign.value);
                }
                self.visit_expr(&assign.target);
            }
            Stmt::For(each) => {
                if each.is_async {
                    self.no(each.start(), "it runs asynchronously");
                }
                self.visit_in(Place::Consumed, &each.iter);
                self.visit_expr(&each.target);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
            }
            Stmt::While(each) => {
                self.visit_in(Place::Unordered, &each.test);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
            }
            Stmt::If(branch) => {
                self.visit_in(Place::Unordered, &branch.test);
                self.visit_body(&branch.body);
                for clause in &branch.elif_else_clauses {
                    clause.test.iter().for_each(|test| self.visit_in(Place::Unordered, test));
                    self.visit_body(&clause.body);
                }
            }
            Stmt::Assert(assert) => {
                self.visit_in(Place::Unordered, &assert.test);
                assert.msg.iter().for_each(|message| self.visit_expr(message));
            }
            Stmt::With(with) => {
                if with.is_async {
                    self.no(with.start(), "it runs asynchronously");
                }
                for item in &with.items {
                    // What is not bound is entered, left and gone.
                    let place = if item.optional_vars.is_none() { Place::ObjectReceiver } else { Place::Plain };
                    self.visit_in(place, &item.context_expr);
                    item.optional_vars.iter().for_each(|target| self.visit_expr(target));
                }
                self.visit_body(&with.body);
            }
            Stmt::ImportFrom(import) if import.names.iter().any(|alias| &alias.name == "*") => {
                self.no(import.start(), "names are imported that are not written here");
            }
            Stmt::IpyEscapeCommand(_) => self.no(statement.start(), "it uses magics of a notebook"),
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_annotation(&mut self, annotation: &'a Expr) {
        self.visit_in(Place::Type, annotation);
    }

    fn visit_except_handler(&mut self, handler: &'a ruff_python_ast::ExceptHandler) {
        let ruff_python_ast::ExceptHandler::ExceptHandler(caught) = handler;
        self.names_exceptions |= caught.name.is_some();
        if self.science && caught.name.is_some() {
            self.no(caught.start(), "the message of an exception may name things in no order");
        }
        caught.type_.iter().for_each(|kind| self.visit_in(Place::Type, kind));
        self.visit_body(&caught.body);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a InterpolatedStringElement) {
        let InterpolatedStringElement::Interpolation(shown) = element else { return };
        self.visit_in(Place::Shown, &shown.expression);
        if let Some(spec) = &shown.format_spec {
            let known = |part: &InterpolatedStringElement| matches!(part, InterpolatedStringElement::Literal(text) if is_the_same_everywhere(&text.value));
            if self.dates && !spec.elements.iter().all(known) {
                self.no(shown.start(), "a date is printed as the place where it runs has it");
            }
            spec.elements.iter().for_each(|part| self.visit_interpolated_string_element(part));
        }
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        let is_own = |class: &Expr| matches!(class, Expr::Name(name) if self.own.classes.contains(name.id.as_str()) && self.own.is_bound_once(name.id.as_str()));
        if let Pattern::MatchClass(class) = pattern
            && !(class.arguments.keywords.is_empty() || is_own(&class.cls) && !self.own.inherits)
        {
            self.no(class.start(), "a pattern reads attributes that may be methods");
        } else if let Pattern::MatchClass(class) = pattern
            && !class
                .arguments
                .keywords
                .iter()
                .all(|keyword| self.own.data.contains(keyword.attr.as_str()) && !self.science)
        {
            self.no(class.start(), "a pattern reads attributes that may be methods");
        }
        visitor::walk_pattern(self, pattern);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        let place = std::mem::replace(&mut self.place, Place::Plain);
        let at = expr.start();
        match expr {
            Expr::List(list) if place == Place::Callbacks => {
                list.elts.iter().for_each(|element| self.visit_in(place, element));
            }
            Expr::Dict(dict) if place == Place::Callbacks => {
                for item in &dict.items {
                    item.key.iter().for_each(|key| self.visit_expr(key));
                    self.visit_in(place, &item.value);
                }
            }
            Expr::Tuple(tuple) if place == Place::Callbacks => {
                tuple.elts.iter().for_each(|element| self.visit_in(place, element));
            }
            _ if place == Place::Callbacks => {
                self.found_by_name(expr);
                self.visit_in(Place::Callback, expr);
            }
            Expr::Name(name) => {
                if name.ctx != ExprContext::Load {
                    if self.in_class {
                        self.special(name.id.as_str(), at);
                    }
                    return;
                }
                Self::noted(&mut self.loads, name.id.as_str(), place, at);
                let (id, own) = (name.id.as_str(), self.own);
                if self.in_class && place != Place::Callee && (own.methods.contains(id) || own.properties.contains(id))
                {
                    self.makes(Hazard::Function, place, at);
                }
                if let Some(path) = self.imports.name(&name.id) {
                    self.member_read(path.segments(), name.ctx, place, at);
                }
            }
            Expr::Attribute(attribute) => self.attribute(expr, attribute, place),
            Expr::Call(call) => {
                if is_view(expr) && !matches!(place, Place::Consumed | Place::Unordered) {
                    self.views.get_or_insert(at);
                }
                self.call(call, place);
            }
            Expr::Set(set) => {
                self.makes(Hazard::Set, place, at);
                set.elts.iter().for_each(|element| self.visit_expr(element));
            }
            Expr::SetComp(set) => {
                self.makes(Hazard::Set, place, at);
                self.generators(&set.generators);
                self.visit_expr(&set.elt);
            }
            Expr::Generator(generator) => {
                self.makes(Hazard::Iterator, place, at);
                self.generators(&generator.generators);
                self.visit_expr(&generator.elt);
            }
            Expr::ListComp(list) => {
                self.generators(&list.generators);
                self.visit_expr(&list.elt);
            }
            Expr::DictComp(dict) => {
                self.generators(&dict.generators);
                dict.key.iter().for_each(|key| self.visit_expr(key));
                self.visit_expr(&dict.value);
            }
            Expr::Lambda(lambda) => {
                self.makes(Hazard::Function, place, at);
                lambda.parameters.iter().for_each(|parameters| self.visit_parameters(parameters));
                self.lambdas += 1;
                self.visit_expr(&lambda.body);
                self.lambdas -= 1;
            }
            Expr::BinOp(binary) => {
                self.floats |= matches!(binary.op, Operator::Div | Operator::Pow);
                let operand = if self.made(expr).is_some() {
                    self.makes(Hazard::Set, place, at);
                    Place::Unordered
                } else if place == Place::Type {
                    Place::Type
                } else if self.own_operators || binary.op == Operator::Mod {
                    Place::Plain
                } else {
                    Place::Operand
                };
                self.visit_in(operand, &binary.left);
                self.visit_in(operand, &binary.right);
            }
            Expr::BoolOp(operation) => operation.values.iter().for_each(|value| self.visit_in(place, value)),
            Expr::UnaryOp(unary) if unary.op == UnaryOp::Not => self.visit_in(Place::Unordered, &unary.operand),
            Expr::Compare(compare) => {
                let plain = compare.ops.iter().all(|op| {
                    matches!(op, CmpOp::Eq | CmpOp::NotEq | CmpOp::In | CmpOp::NotIn | CmpOp::Is | CmpOp::IsNot)
                });
                let place = if plain && !self.own_operators { Place::Unordered } else { Place::Plain };
                self.visit_in(place, &compare.left);
                compare.comparators.iter().for_each(|side| self.visit_in(place, side));
            }
            Expr::If(branch) => {
                self.visit_in(Place::Unordered, &branch.test);
                self.visit_in(place, &branch.body);
                self.visit_in(place, &branch.orelse);
            }
            // A value that goes on and is bound too is not followed.
            Expr::Named(named) => {
                self.visit_expr(&named.value);
                self.visit_expr(&named.target);
            }
            Expr::Starred(starred) if starred.ctx == ExprContext::Load => {
                self.visit_in(Place::Consumed, &starred.value);
            }
            Expr::Subscript(_) | Expr::Tuple(_) | Expr::List(_) if place == Place::Type => {
                for part in parts_of_type(expr) {
                    self.visit_in(place, part);
                }
            }
            Expr::Subscript(part) => {
                let grouped = self.made(&part.value) == Some(Hazard::Group);
                if grouped {
                    self.makes(Hazard::Group, place, at);
                }
                // A name may hold what is grouped: then a part of it is too, and must be used up as it is.
                let whole = if grouped || place.is_receiver() { Place::Receiver } else { Place::Element };
                self.visit_in(whole, &part.value);
                self.visit_expr(&part.slice);
            }
            Expr::BytesLiteral(_) if self.science => {
                self.no(at, "bytes may be compared with the memory of an array");
            }
            Expr::NumberLiteral(literal) if matches!(literal.value, Number::Float(_) | Number::Complex { .. }) => {
                self.floats = true;
            }
            Expr::StringLiteral(text) if self.science => {
                let text = text.value.to_str();
                let present = ["now", "today"].iter().any(|word| text.trim().eq_ignore_ascii_case(word));
                if present || text.contains("M8") || text.contains("datetime") {
                    self.no(at, "dates are read from text, which may mean the present");
                }
            }
            Expr::Yield(_) | Expr::YieldFrom(_) if self.lambdas > 0 => self.no(at, "a lambda makes an iterator"),
            Expr::Await(_) | Expr::TString(_) | Expr::IpyEscapeCommand(_) => {
                self.no(at, "nothing certain is known of this form");
            }
            _ => visitor::walk_expr(self, expr),
        }
    }
}
