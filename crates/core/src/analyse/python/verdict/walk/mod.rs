//! The walk of the proof: visits every expression together with the usage of its value.

use std::collections::BTreeMap;

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Comprehension, Expr, Stmt};
use ruff_text_size::{Ranged, TextSize};

mod calls;
mod definitions;
mod forms;
mod names;
mod receivers;
mod science;
mod visitor;

use self::forms::{is_operator_method, is_ordering_method, is_totally_ordered};
use self::names::NameUsages;
use self::receivers::Receivers;
use super::Reasons;
use super::allowed;
use super::hazard::{Hazard, Usage};
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
                self.ordered_reads.push((name.id.as_str(), elements.start(), how == "min" || how == "max"));
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
