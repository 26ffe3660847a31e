//! The analyser for Python, based on Ruff's parser.
//!
//! The tokens are checked before parsing, so that no input is nested too deeply for the stack.

mod arrays;
mod bounds;
mod cell;
mod class;
mod definitions;
mod depth;
mod dynamic_access;
mod escape_commands;
mod files;
mod imports;
mod modules;
mod network_reach;
pub(super) mod packages;
mod pip;
mod prefix;
mod random;
mod shell_line;
mod side_effects;
mod survey;
mod training;
mod verdict;

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use ruff_python_ast::{ModModule, Stmt};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::TextSize;
use switchtower_contract::python::HOME;
use switchtower_contract::{File, Program};

use super::profile::{Import, Profile, Reason, StaticEffect, Training, Verdict};
use super::score::{self, Measure, Measurements};
use crate::request::SideEffects;

pub use escape_commands::{EscapeCommand, escape_commands};
pub(super) use modules::is_known_package;
pub(crate) use pip::MODULE as PIP;
pub(super) use prefix::side_effects_before_import;

use cell::NotebookCell;
use depth::Depth;
use imports::Imports;
use modules::Domain;
use survey::{Metric, Survey};
use verdict::Stdin;

/// The stack size of the thread that analyses deeply nested programs, in bytes of virtual memory; only used pages are
/// allocated.
const DEEP_STACK: usize = 128 << 20;

/// The size of an element of an array or a list.
const ELEMENT_BYTES: f64 = 8.0;

const PARSER_PANICKED: &str = "the parser failed";

/// Analyses a program: on the caller's thread, or on a thread with a larger stack if it is nested deeply.
pub(super) fn analyse(program: &Program) -> Profile {
    let source = program.source.as_str();
    let lines = Lines::new(source);
    let cell = NotebookCell::parse(source);
    let stdin = match program.stdin.as_deref() {
        None => Stdin::NotGiven,
        Some("") => Stdin::Empty,
        Some(_) => Stdin::Given,
    };
    if source.contains('\0') {
        return unparsable("the source contains a NUL character", None, &lines);
    }
    let parser_panicked = || Profile::unknown(PARSER_PANICKED, lines.count());
    let mut profile = match depth::measure(cell.python) {
        Depth::Shallow => {
            catch_panic(|| parse(cell.python, stdin, &program.files, &lines)).unwrap_or_else(parser_panicked)
        }
        Depth::Deep => {
            on_deep_stack(|| parse(cell.python, stdin, &program.files, &lines)).unwrap_or_else(parser_panicked)
        }
        Depth::Invalid(reason) => unparsable(reason, None, &lines),
        Depth::Excessive(reason) => Profile::unknown(reason, lines.count()),
    };
    cell.add_to(&mut profile);
    if !program.files.is_empty() {
        profile.verdict.refuse("an import may find a file of the request instead of a known module");
        let own: BTreeSet<&str> = program.files.iter().filter_map(|file| module_of_file(&file.path)).collect();
        profile.imports.retain(|import| !own.contains(import.top()));
    }
    // A program that names the file of a module may write it; where it does not, the import reports the need.
    let named = named_modules(cell.python);
    if profile.imports.iter().any(|import| named.contains(import.top())) {
        profile.verdict.refuse("an import may find a file that the program writes");
        profile.imports.retain(|import| !named.contains(import.top()) || is_known_package(import.top()));
    }
    profile
}

/// Returns the words of a program's text that may be modules which it writes: the names of files and folders in paths that
/// end with `.py`, and where a package's `__init__.py` is among them, the texts that may be its folder.
fn named_modules(source: &str) -> BTreeSet<&str> {
    let is_in_path = |c: char| c.is_alphanumeric() || c == '_' || c == '/';
    let mut named = BTreeSet::new();
    for (end, _) in source.match_indices(".py") {
        let before = source[..end].trim_end_matches(is_in_path);
        if !before.ends_with('.') {
            named.extend(source[before.len()..end].split('/').filter(|part| !part.is_empty()));
        }
    }
    if named.contains("__init__") {
        let is_name = |text: &&str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
        named.extend(source.split(['"', '\'']).filter(is_name));
    }
    named
}

/// Returns the top-level module that a file belongs to, if it is in the working directory, where Python looks for
/// modules first.
fn module_of_file(path: &str) -> Option<&str> {
    let path = path.strip_prefix(HOME).and_then(|below| below.strip_prefix('/')).unwrap_or(path);
    match path.split_once('/') {
        None => path.strip_suffix(".py"),
        Some(("", _)) => None,
        Some((package, inside)) => inside.ends_with(".py").then_some(package),
    }
}

fn parse(source: &str, stdin: Stdin, files: &[File], lines: &Lines) -> Profile {
    let parsed = ruff_python_parser::parse_unchecked(source, ParseOptions::from(Mode::Ipython));
    let Some(parsed) = parsed.try_into_module() else { return unparsable("it is not a module", None, lines) };
    if let Some(error) = parsed.errors().first() {
        let profile = unparsable(&error.error.to_string(), Some(error.location.start()), lines);
        // Error recovery may have produced a deeper tree than the tokens suggest.
        on_deep_stack(move || drop(parsed));
        return profile;
    }
    profile(&parsed, stdin, files, lines)
}

fn profile(parsed: &Parsed<ModModule>, stdin: Stdin, files: &[File], lines: &Lines) -> Profile {
    let body: &[Stmt] = &parsed.syntax().body;
    let imports = Imports::collect(body);
    let survey = Survey::collect(body, &imports);
    let verdict = verdict::prove(body, &imports, &survey, stdin, lines);
    let training = training::estimate(body, &imports, files).map(|work| Training {
        operations: work.operations,
        exact: work.exact,
        line: lines.line(work.at),
    });
    let (score, signals) = score::score(&measurements(&survey, &imports, training.as_ref(), lines));
    let seen = |effect: &StaticEffect| survey.effects[*effect as usize].is_some();
    Profile {
        class: class::class(&survey, &imports),
        score,
        signals,
        imports: list_imports(&imports, &survey, lines),
        effects: StaticEffect::ALL.into_iter().filter(seen).collect(),
        network: network_reach::estimate(body, &survey.network_at, survey.input_read.filter(|_| stdin != Stdin::Given)),
        files: survey.files,
        side_effects: side_effects::estimate(&imports, &survey),
        memory: memory(&survey),
        training,
        verdict,
        parses: true,
        analysis_error: None,
        lines: lines.count(),
    }
}

/// Returns the bytes of what is created with a literal size: all arrays together, or the largest other object.
fn memory(survey: &Survey<'_>) -> u64 {
    (survey.elements.max(survey.allocation.value) * ELEMENT_BYTES) as u64
}

fn list_imports(imports: &Imports<'_>, survey: &Survey<'_>, lines: &Lines) -> Vec<Import> {
    let imported = imports.modules.iter().map(|imported| Import {
        module: imported.module.to_owned(),
        used: imported.used.get(),
        optional: imported.optional,
        line: lines.line(imported.at),
    });
    // Dynamic imports whose value is assigned to a name are among the modules already.
    let known: BTreeSet<TextSize> = imports.modules.iter().map(|imported| imported.at).collect();
    let dynamic = survey.dynamic_imports.iter().filter(|(_, at)| !known.contains(at)).map(|(module, at)| Import {
        module: (*module).to_owned(),
        used: true,
        optional: false,
        line: lines.line(*at),
    });
    imported.chain(dynamic).collect()
}

/// Returns the profile of a program that is not valid Python. It runs in the cheapest tier, where Python prints the
/// error.
fn unparsable(reason: &str, at: Option<TextSize>, lines: &Lines) -> Profile {
    let reason = Reason { text: reason.to_owned(), line: at.map(|at| lines.line(at)) };
    let unparsed = Reason { text: format!("it cannot be parsed: {}", reason.text), line: reason.line };
    Profile {
        parses: false,
        // A program that does not parse does not run.
        side_effects: SideEffects::None,
        verdict: Verdict { deterministic: false, reasons: vec![unparsed], doubt: None },
        analysis_error: Some(reason),
        ..Profile::unknown("", lines.count())
    }
}

/// Returns the measurements from which the score is computed.
fn measurements(
    survey: &Survey<'_>,
    imports: &Imports<'_>,
    training: Option<&Training>,
    lines: &Lines,
) -> Measurements {
    let measure = |metric: Metric| Measure { value: metric.value, line: Some(lines.line(metric.at)) };
    let import_line = |domain| class::import_of_domain(imports, domain).map(|at| lines.line(at));
    Measurements {
        statements: survey.statements,
        calls: survey.calls,
        loops: measure(survey.loops),
        nesting: measure(survey.nesting),
        iterations: measure(survey.iterations),
        endless_loops: measure(survey.endless_loops),
        recursion: measure(survey.recursion),
        allocation: measure(survey.allocation),
        training: training
            .map_or(Measure::default(), |training| Measure { value: training.operations, line: Some(training.line) }),
        dynamic_code: measure(survey.dynamic_code),
        symbolic_modules: import_line(Domain::Symbolic),
        data_modules: import_line(Domain::Data),
        plotting_modules: import_line(Domain::Plotting),
        learning_modules: import_line(Domain::MachineLearning),
        effects: survey.effects.map(|at| at.map(|at| lines.line(at))),
    }
}

/// Returns `None` if `work` panics: the parser's error recovery in notebook syntax can reach a state that it considers
/// unreachable.
fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Runs `work` on a thread with a large stack. Returns `None` if the thread cannot be started or `work` panics.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("analyse".to_owned()).stack_size(DEEP_STACK);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Maps byte offsets to lines.
struct Lines {
    /// The byte offset at which each line after the first begins.
    starts: Vec<u32>,
}

impl Lines {
    fn new(source: &str) -> Self {
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
