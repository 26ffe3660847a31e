//! Program → [`Profile`]: what a program is, needs and may do, read off its source without running it.
//!
//! Python is parsed with Ruff's own parser. Nothing here panics on any input, and a look at the tokens comes first, so
//! that no input is nested too deeply for the stack. Analysis is advice: it sends programs where they run best and can
//! be wrong about what they do. The walls are the sandboxes', and only a verdict of "deterministic" must never be wrong.

mod arrays;
mod bounds;
mod cell;
mod definitions;
mod depth;
mod draws;
mod files;
mod imports;
mod modules;
mod prefix;
mod profile;
mod score;
mod side_effects;
mod survey;
#[cfg(test)]
mod tests;
mod verdict;
mod ways_out;

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use ruff_python_ast::{ModModule, Stmt};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::TextSize;
use switchtower_contract::Program;

use crate::request::SideEffects;

pub use prefix::side_effects_before_import;
pub use profile::{Class, Import, Profile, Reach, Reason, Signal, StaticEffect, Verdict};

use cell::Cell;
use depth::Depth;
use imports::Imports;
use survey::Survey;
use verdict::Input;

/// The stack of the thread that looks into deep programs: virtual memory, of which only what is used is taken.
const DEEP_STACK: usize = 128 << 20;

/// Bytes of one element of an array, or of one place in a list.
const ELEMENT: f64 = 8.0;
/// How much larger a file of text becomes where it is read into a table.
const FILE_GROWS: u64 = 4;

const CONFUSING: &str = "it confuses the parser";

/// Reads a program. Takes at most 100 ms for a megabyte of any bytes, in an optimised build; ordinary programs are read
/// on the caller's thread, those that nest hundreds of levels on one of their own.
pub fn analyse(program: &Program) -> Profile {
    let source = program.source.as_str();
    let lines = Lines::of(source);
    let cell = Cell::of(source);
    let input = match program.stdin.as_deref() {
        None => Input::Open,
        Some("") => Input::Empty,
        Some(_) => Input::Given,
    };
    if source.contains('\0') {
        return unread("a NUL character", None, &lines);
    }
    let mut profile = match depth::of(cell.python) {
        Depth::Shallow => caught(|| python(cell.python, input, &lines)).unwrap_or_else(|| excessive(CONFUSING, &lines)),
        Depth::Deep => deep(|| python(cell.python, input, &lines)).unwrap_or_else(|| excessive(CONFUSING, &lines)),
        Depth::Refused(reason) => unread(reason, None, &lines),
        Depth::Excessive(reason) => excessive(reason, &lines),
    };
    cell.add_to(&mut profile);
    let given: usize = program.files.iter().map(|file| file.content.len()).sum();
    profile.memory = profile.memory.saturating_add((given as u64).saturating_mul(FILE_GROWS));
    if !program.files.is_empty() {
        // They lie wherever the request put them, where a kernel looks at its start among others.
        profile.side_effects = profile.side_effects.max(SideEffects::Sandbox);
        profile.verdict.refuse("files come with it, and an import may find them before what is known");
        let own: BTreeSet<&str> = program.files.iter().filter_map(|file| module(&file.path)).collect();
        profile.imports.retain(|import| !own.contains(import.top()));
    }
    profile
}

/// The module that a file makes, or is a part of, where programs look for modules first: in their working directory.
fn module(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/home/user/").unwrap_or(path);
    match path.split_once('/') {
        None => path.strip_suffix(".py"),
        Some(("", _)) => None,
        Some((package, inside)) => inside.ends_with(".py").then_some(package),
    }
}

fn python(source: &str, input: Input, lines: &Lines) -> Profile {
    let parsed = ruff_python_parser::parse_unchecked(source, ParseOptions::from(Mode::Ipython));
    let Some(parsed) = parsed.try_into_module() else { return unread("it is no module", None, lines) };
    if let Some(error) = parsed.errors().first() {
        let profile = unread(&error.error.to_string(), Some(error.location.start()), lines);
        // Recovery may have nested more than the tokens showed.
        deep(move || drop(parsed));
        return profile;
    }
    read(&parsed, input, lines)
}

fn read(parsed: &Parsed<ModModule>, input: Input, lines: &Lines) -> Profile {
    let body: &[Stmt] = &parsed.syntax().body;
    let imports = Imports::of(body);
    let survey = Survey::of(body, &imports);
    let verdict = verdict::of(body, &imports, &survey, input, lines);
    let (score, signals) = score::signals(&survey, &imports, &|at| lines.line(at));
    let seen = |effect: &StaticEffect| survey.effects[*effect as usize].is_some();
    Profile {
        class: score::class(&survey, &imports),
        score,
        signals,
        imports: listed(&imports, &survey, lines),
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

/// Bytes for what is made with a literal size: all arrays together, or the one largest of anything else.
fn memory(survey: &Survey<'_>) -> u64 {
    (survey.elements.max(survey.allocation.value) * ELEMENT) as u64
}

fn listed(imports: &Imports<'_>, survey: &Survey<'_>, lines: &Lines) -> Vec<Import> {
    let named = imports.modules.iter().map(|named| Import {
        module: named.module.to_owned(),
        used: named.used.get(),
        optional: named.optional,
        line: lines.line(named.at),
    });
    // An import by a call whose value got a name is among the modules already.
    let known: BTreeSet<TextSize> = imports.modules.iter().map(|named| named.at).collect();
    let dynamic = survey.dynamic.iter().filter(|(_, at)| !known.contains(at)).map(|(module, at)| Import {
        module: (*module).to_owned(),
        used: true,
        optional: false,
        line: lines.line(*at),
    });
    named.chain(dynamic).collect()
}

/// The profile of what cannot be read: it runs where it is cheapest, and Python itself says what is wrong with it.
fn unread(reason: &str, at: Option<TextSize>, lines: &Lines) -> Profile {
    let reason = Reason { text: reason.to_owned(), line: at.map(|at| lines.line(at)) };
    Profile {
        class: Class::Unknown,
        score: 0.0,
        signals: Vec::new(),
        imports: Vec::new(),
        effects: BTreeSet::new(),
        files: Reach::None,
        // It does not parse, so it does not run; what is only not looked into is told of below.
        side_effects: SideEffects::None,
        memory: 0,
        verdict: Verdict {
            deterministic: false,
            reasons: vec![Reason { text: format!("it is not read: {}", reason.text), line: reason.line }],
            doubt: None,
        },
        parses: false,
        unread: Some(reason),
        lines: lines.count(),
    }
}

/// The profile of what may be a program, but is not looked into.
fn excessive(reason: &str, lines: &Lines) -> Profile {
    let mut profile = unread(reason, None, lines);
    profile.parses = true;
    profile.side_effects = SideEffects::World;
    profile.verdict.doubt = profile.unread.clone();
    profile
}

/// Runs `work`; `None` where it panics. The parser's recovery from errors in notebook syntax has a state that its authors
/// hold to be unreachable, and it is not.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Runs `work` on a thread with a large stack. `None` where there is no room for one, or it panics.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("analyse".to_owned()).stack_size(DEEP_STACK);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Offsets to lines.
struct Lines {
    /// Where each line after the first begins.
    starts: Vec<u32>,
}

impl Lines {
    fn of(source: &str) -> Self {
        let ends = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: ends.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)).collect() }
    }

    /// The line of an offset, from 1.
    fn line(&self, at: TextSize) -> u32 {
        let before = self.starts.partition_point(|start| *start <= at.to_u32());
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }
}
