//! The analyser for Python, with Ruff's own parser.
//!
//! A look at the tokens comes first, so that no input is nested too deeply for the stack.

mod arrays;
mod bounds;
mod cell;
mod class;
mod definitions;
mod depth;
mod dynamic_access;
mod files;
mod imports;
mod modules;
mod prefix;
mod random;
mod side_effects;
mod survey;
mod verdict;

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use ruff_python_ast::{ModModule, Stmt};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::TextSize;
use switchtower_contract::Program;

use super::profile::{Import, Profile, Reason, StaticEffect, Verdict};
use super::score::{self, Measure, Measurements};
use crate::request::SideEffects;

pub(super) use prefix::side_effects_before_import;

use cell::Cell;
use depth::Depth;
use imports::Imports;
use modules::Field;
use survey::{Peak, Survey};
use verdict::Input;

/// The stack of the thread that analyses deeply nested programs: virtual memory, of which only what is used is taken.
const DEEP_STACK: usize = 128 << 20;

/// Bytes of one element of an array or a list.
const ELEMENT: f64 = 8.0;

const PARSER_PANICKED: &str = "the parser cannot read it";

/// Analyses a program: ordinary programs on the caller's thread, those that nest hundreds of levels on one of their own.
pub(super) fn analyse(program: &Program) -> Profile {
    let source = program.source.as_str();
    let lines = Lines::of(source);
    let cell = Cell::of(source);
    let input = match program.stdin.as_deref() {
        None => Input::Open,
        Some("") => Input::Empty,
        Some(_) => Input::Given,
    };
    if source.contains('\0') {
        return unparsable("a NUL character", None, &lines);
    }
    let parser_panicked = || Profile::unknown(PARSER_PANICKED, lines.count());
    let mut profile = match depth::of(cell.python) {
        Depth::Shallow => catch_panic(|| parse(cell.python, input, &lines)).unwrap_or_else(parser_panicked),
        Depth::Deep => on_deep_stack(|| parse(cell.python, input, &lines)).unwrap_or_else(parser_panicked),
        Depth::Refused(reason) => unparsable(reason, None, &lines),
        Depth::Excessive(reason) => Profile::unknown(reason, lines.count()),
    };
    cell.add_to(&mut profile);
    if !program.files.is_empty() {
        profile
            .verdict
            .refuse("files are given with it, and an import may find them before the modules that are known");
        let own: BTreeSet<&str> = program.files.iter().filter_map(|file| module_of_file(&file.path)).collect();
        profile.imports.retain(|import| !own.contains(import.top()));
    }
    profile
}

/// Returns the module that a file in the working directory, where Python looks first, defines or belongs to.
fn module_of_file(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/home/user/").unwrap_or(path);
    match path.split_once('/') {
        None => path.strip_suffix(".py"),
        Some(("", _)) => None,
        Some((package, inside)) => inside.ends_with(".py").then_some(package),
    }
}

fn parse(source: &str, input: Input, lines: &Lines) -> Profile {
    let parsed = ruff_python_parser::parse_unchecked(source, ParseOptions::from(Mode::Ipython));
    let Some(parsed) = parsed.try_into_module() else { return unparsable("it is not a module", None, lines) };
    if let Some(error) = parsed.errors().first() {
        let profile = unparsable(&error.error.to_string(), Some(error.location.start()), lines);
        // Error recovery may have nested more levels than the tokens showed.
        on_deep_stack(move || drop(parsed));
        return profile;
    }
    profile(&parsed, input, lines)
}

fn profile(parsed: &Parsed<ModModule>, input: Input, lines: &Lines) -> Profile {
    let body: &[Stmt] = &parsed.syntax().body;
    let imports = Imports::of(body);
    let survey = Survey::of(body, &imports);
    let verdict = verdict::of(body, &imports, &survey, input, lines);
    let (score, signals) = score::score(&measurements(&survey, &imports, lines));
    let seen = |effect: &StaticEffect| survey.effects[*effect as usize].is_some();
    Profile {
        class: class::class(&survey, &imports),
        score,
        signals,
        imports: list_imports(&imports, &survey, lines),
        effects: StaticEffect::ALL.into_iter().filter(seen).collect(),
        files: survey.files,
        side_effects: side_effects::of(&imports, &survey),
        memory: memory(&survey),
        verdict,
        parses: true,
        unread: None,
        lines: lines.count(),
    }
}

/// Returns the bytes of what is created with a literal size: all arrays together, or the largest other object.
fn memory(survey: &Survey<'_>) -> u64 {
    (survey.elements.max(survey.allocation.value) * ELEMENT) as u64
}

fn list_imports(imports: &Imports<'_>, survey: &Survey<'_>, lines: &Lines) -> Vec<Import> {
    let named = imports.modules.iter().map(|named| Import {
        module: named.module.to_owned(),
        used: named.used.get(),
        optional: named.optional,
        line: lines.line(named.at),
    });
    // A dynamic import whose value is assigned to a name is among the modules already.
    let known: BTreeSet<TextSize> = imports.modules.iter().map(|named| named.at).collect();
    let dynamic = survey.dynamic.iter().filter(|(_, at)| !known.contains(at)).map(|(module, at)| Import {
        module: (*module).to_owned(),
        used: true,
        optional: false,
        line: lines.line(*at),
    });
    named.chain(dynamic).collect()
}

/// The profile of a program that Python itself refuses: it runs where it is cheapest, and Python prints the error.
fn unparsable(reason: &str, at: Option<TextSize>, lines: &Lines) -> Profile {
    let reason = Reason { text: reason.to_owned(), line: at.map(|at| lines.line(at)) };
    let refused = Reason { text: format!("it cannot be parsed: {}", reason.text), line: reason.line };
    Profile {
        parses: false,
        // What does not parse does not run.
        side_effects: SideEffects::None,
        verdict: Verdict { deterministic: false, reasons: vec![refused], doubt: None },
        unread: Some(reason),
        ..Profile::unknown("", lines.count())
    }
}

/// What the score counts.
fn measurements(survey: &Survey<'_>, imports: &Imports<'_>, lines: &Lines) -> Measurements {
    let measure = |peak: Peak| Measure { value: peak.value, line: Some(lines.line(peak.at)) };
    let field = |field| class::line_of_field(imports, field).map(|at| lines.line(at));
    let learning_modules = field(Field::Learn);
    Measurements {
        statements: survey.statements,
        calls: survey.calls,
        loops: measure(survey.loops),
        nesting: measure(survey.nesting),
        iterations: measure(survey.iterations),
        endless_loops: measure(survey.endless),
        recursion: measure(survey.recursion),
        allocation: measure(survey.allocation),
        // `fit` and `train` are names of other things too.
        training: learning_modules.map_or(Measure::default(), |_| measure(survey.training)),
        dynamic_code: measure(survey.dynamic_code),
        symbolic_modules: field(Field::Symbolic),
        data_modules: field(Field::Data),
        plotting_modules: field(Field::Plot),
        learning_modules,
        effects: survey.effects.map(|at| at.map(|at| lines.line(at))),
    }
}

/// Returns `None` where `work` panics: the parser's error recovery in notebook syntax can reach a state that it takes for
/// unreachable.
fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Runs `work` on a thread with a large stack. Returns `None` where none can be started, or `work` panics.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("analyse".to_owned()).stack_size(DEEP_STACK);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Maps offsets to lines.
struct Lines {
    /// The offset at which each line after the first begins.
    starts: Vec<u32>,
}

impl Lines {
    fn of(source: &str) -> Self {
        let ends = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: ends.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)).collect() }
    }

    /// Returns the line of an offset, from 1.
    fn line(&self, at: TextSize) -> u32 {
        let before = self.starts.partition_point(|start| *start <= at.to_u32());
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }
}
