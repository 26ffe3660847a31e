//! Whether a program that names the network uses it whenever it runs, as far as its text shows.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Expr, Stmt};
use ruff_text_size::{Ranged, TextSize};

use crate::analyse::profile::NetworkUse;

/// Returns how certainly a program uses the network at these places. `ends_at`: where a line of input is read that is not
/// given, which ends the program.
///
/// It is possible only in functions that nothing mentions which runs: those that a test replaces by mocks, that a notebook
/// cell only defines, or that come after the program has ended.
pub(super) fn estimate(body: &[Stmt], places: &[TextSize], ends_at: Option<TextSize>) -> NetworkUse {
    if places.is_empty() {
        return NetworkUse::None;
    }
    let mut reach = Reach::default();
    reach.visit_body(body);
    let users: BTreeSet<Option<&str>> = places.iter().map(|place| reach.function_at(*place)).collect();
    let direct = places.iter().filter(|place| reach.function_at(**place).is_none()).min().copied();
    // A method with two underscores is called without being mentioned.
    let implicit = users.iter().flatten().any(|name| name.starts_with("__"));
    let mentioned = reach.first_mention_that_leads_to(&users.iter().flatten().copied().collect());
    let Some(first) = direct.into_iter().chain(mentioned).chain(implicit.then(TextSize::default)).min() else {
        return NetworkUse::Possible;
    };
    let ends_before =
        ends_at.is_some_and(|end| reach.function_at(end).is_none() && !reach.is_tried(end) && end < first);
    if ends_before || reach.mocks && direct.is_none() { NetworkUse::Possible } else { NetworkUse::Certain }
}

/// Functions of a program, and where names are mentioned.
#[derive(Default)]
struct Reach<'a> {
    /// The outermost functions: from where to where, and their names.
    functions: Vec<(TextSize, TextSize, &'a str)>,
    /// The outermost function around the node that is being visited.
    within: Option<&'a str>,
    /// For each name the outermost functions in which it is read.
    mentions: BTreeMap<&'a str, BTreeSet<Option<&'a str>>>,
    /// Where a name is first read outside of all functions.
    first: BTreeMap<&'a str, TextSize>,
    /// The bodies of statements with handlers of exceptions.
    tried: Vec<(TextSize, TextSize)>,
    /// Whether the program replaces functions by mocks.
    mocks: bool,
}

impl<'a> Reach<'a> {
    fn function_at(&self, place: TextSize) -> Option<&'a str> {
        // In the order of the text, and none within another.
        let at = self.functions.partition_point(|(from, ..)| *from <= place).checked_sub(1)?;
        let (_, to, name) = self.functions[at];
        (place < to).then_some(name)
    }

    fn is_tried(&self, place: TextSize) -> bool {
        self.tried.iter().any(|(from, to)| (*from..*to).contains(&place))
    }

    /// Returns the first place outside of functions that mentions one of these functions, or one that mentions it, and so on.
    fn first_mention_that_leads_to(&self, functions: &BTreeSet<&'a str>) -> Option<TextSize> {
        let mut leading = functions.clone();
        let mut queue: Vec<&str> = functions.iter().copied().collect();
        while let Some(name) = queue.pop() {
            for within in self.mentions.get(name).into_iter().flatten().flatten() {
                if leading.insert(within) {
                    queue.push(within);
                }
            }
        }
        leading.iter().filter_map(|name| self.first.get(name)).min().copied()
    }

    fn mention(&mut self, name: &'a str, at: TextSize) {
        self.mentions.entry(name).or_default().insert(self.within);
        if self.within.is_none() {
            let first = self.first.entry(name).or_insert(at);
            *first = (*first).min(at);
        }
    }
}

impl<'a> Visitor<'a> for Reach<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) if self.within.is_none() => {
                function.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                self.functions.push((function.start(), function.end(), function.name.as_str()));
                self.within = Some(function.name.as_str());
                self.visit_parameters(&function.parameters);
                self.visit_body(&function.body);
                self.within = None;
            }
            Stmt::Try(tried) => {
                if let (Some(first), Some(last)) = (tried.body.first(), tried.body.last()) {
                    self.tried.push((first.start(), last.end()));
                }
                visitor::walk_stmt(self, statement);
            }
            Stmt::Import(import) => {
                self.mocks |= import.names.iter().any(|name| is_of_mocks(name.name.as_str()));
            }
            Stmt::ImportFrom(import) => {
                self.mocks |= import.module.as_ref().is_some_and(|module| is_of_mocks(module.as_str()))
                    || import.names.iter().any(|name| name.name.as_str() == "mock");
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) if name.ctx.is_load() => self.mention(name.id.as_str(), name.start()),
            Expr::Attribute(attribute) if attribute.ctx.is_load() => {
                self.mention(attribute.attr.as_str(), attribute.start());
            }
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }
}

fn is_of_mocks(module: &str) -> bool {
    matches!(module, "mock" | "unittest.mock" | "responses" | "httpretty" | "requests_mock" | "respx" | "vcr")
}
