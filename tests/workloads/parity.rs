//! The output is the same as that of CPython, and every difference is listed with its cause.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::Regex;
use switchtower_core::request::CacheMode;
use switchtower_core::router::Answer;

use super::items::{Item, items};
use super::{execute, for_each, router};

/// The share that must be equal, in percent.
const SHARE: usize = 99;

#[test]
fn programs_of_the_standard_library_and_sympy_print_what_cpython_prints() {
    let core = items(|item| {
        let category = ["simple_math", "algorithm", "symbolic"].contains(&item.category.as_str());
        category && item.deterministic && item.runs_in_wasm()
    });
    let router = router();
    let numbers = Numbers::new();
    let missed = for_each(&core, |item| {
        let (router, numbers) = (&router, &numbers);
        async move {
            let answer = execute(router, item, CacheMode::Bypass, Duration::from_secs(60)).await;
            (!is_equal(item, &answer, numbers)).then(|| {
                println!("{}: {:?}, it printed {:?}", item.id, answer.outcome.exit, answer.output);
                item.id.clone()
            })
        }
    });
    if core.is_empty() {
        return;
    }
    let missed: BTreeSet<String> = missed.into_iter().flatten().collect();
    println!("{} of {} equal", core.len() - missed.len(), core.len());
    assert_eq!(missed, listed(), "tests/parity.md lists every program that differs, and no other");
    assert!((core.len() - missed.len()) * 100 >= core.len() * SHARE, "{missed:?}");
}

/// Returns the items that `tests/parity.md` lists with a cause.
fn listed() -> BTreeSet<String> {
    let rows = include_str!("../parity.md").lines().filter_map(|line| line.strip_prefix("| dev-"));
    rows.map(|row| {
        let (id, cause) = row.split_once(" | ").expect("a row is an id and a cause");
        assert!(cause.len() > 10, "dev-{id} has no cause");
        format!("dev-{}", id.trim())
    })
    .collect()
}

fn is_equal(item: &Item, answer: &Answer, numbers: &Numbers) -> bool {
    let error = answer.output.error.as_ref().map(|error| error.name.rsplit('.').next().unwrap_or_default());
    let ended = error == item.expected_error_type.as_deref() && (error.is_some() || answer.outcome.exit.code() == 0);
    ended && numbers.are_close(&answer.output.stdout, item.expected_stdout.as_deref().unwrap_or_default())
}

/// Compares texts: floats as numbers, everything else character by character.
struct Numbers(Regex);

impl Numbers {
    fn new() -> Self {
        Self(Regex::new(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?").unwrap())
    }

    fn are_close(&self, one: &str, two: &str) -> bool {
        let (one, two) = (one.trim_end(), two.trim_end());
        let values = |text| self.0.find_iter(text).map(|found| found.as_str().parse::<f64>().unwrap());
        one == two
            || self.0.replace_all(one, "#") == self.0.replace_all(two, "#")
                && values(one).zip(values(two)).all(|(a, b)| (a - b).abs() <= (1e-6 * a.abs().max(b.abs())).max(1e-9))
    }
}

#[test]
fn floats_are_compared_as_numbers_and_text_character_by_character() {
    let numbers = Numbers::new();
    assert!(numbers.are_close("x = 0.1 y\n", "x = 0.10000000001 y"));
    assert!(!numbers.are_close("x = 0.1", "x = 0.2"));
    assert!(!numbers.are_close("0.1 0.2", "0.1"));
    assert!(!numbers.are_close("a 0.1", "b 0.1"));
    assert!(!numbers.are_close("100", "100.0"));
}
