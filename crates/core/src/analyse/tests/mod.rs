//! The guarantees of analysis, and its results on the workloads.

mod arrays;
mod determinism;
mod effects;
mod hostile;
mod imports;
mod javascript;
mod side_effects;
mod training;
pub(crate) mod workloads;

use switchtower_contract::{File, Program};

use super::{Class, Profile, analyse};
use crate::request::SideEffects;

fn profile(source: &str) -> Profile {
    analyse(&Program::python(source))
}

fn effects(source: &str) -> Vec<&'static str> {
    profile(source).effects.iter().map(|effect| effect.name()).collect()
}

fn deterministic(source: &str) -> bool {
    profile(source).verdict.deterministic
}

#[test]
fn a_program_in_a_language_without_an_analyser_is_unproven_and_may_have_any_side_effect() {
    let file = File { path: "data.csv".to_owned(), content: vec![0; 10] };
    let program = Program { files: vec![file], ..Program::python("puts 1\nputs 2") };
    let profile = super::analyse_with(None, &program);
    assert_eq!((profile.class, profile.score, profile.lines), (Class::Unknown, 0.0, 2));
    assert_eq!((profile.side_effects, profile.memory), (SideEffects::World, 40));
    assert!(profile.parses && !profile.verdict.deterministic && profile.verdict.doubt.is_some());
    assert_eq!(profile.analysis_error.unwrap().text, "python programs are not analysed");
}

#[test]
fn literal_bounds_determine_the_signals_of_work() {
    let value = |source: &str, name: &str| profile(source).signal(name).map_or(0.0, |signal| signal.value);
    assert!((value("for i in range(10**8):\n    pass", "iterations") - 2.0).abs() < 1e-9);
    let nested = "n = 10000\nfor i in range(n):\n    for j in range(n):\n        pass";
    assert!((value(nested, "iterations") - 2.0).abs() < 1e-9);
    assert!(value("while True:\n    pass", "endless_loop") > 0.0);
    assert_eq!(value("while True:\n    if f():\n        break", "endless_loop"), 0.0);
    assert!(value("x = [0] * 10**9", "allocation") > 0.0);
    assert!(value("def f(n):\n    return f(n - 1)", "recursion") > 0.0);
    let work = profile("def f(n):\n    return f(n - 1)\nfor i in range(10**7):\n    print(i)");
    let sum: f64 = work.signals.iter().map(|signal| signal.weight * signal.value).sum();
    assert_eq!(work.score, sum);
    assert_eq!(work.signal("iterations").unwrap().line, Some(3));
}
