//! Generates programs from the grammar in `grammar.txt`.
//!
//! A rule is a name in brackets, followed by its alternatives, one a line. In an alternative, `<name>` is replaced by
//! an alternative of that rule, `\n` ends a line, and `\\n` is a newline in a string. A program consists of the imports
//! that it needs, a few lines that assign values to fixed names, and lines that use them.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The nesting depth from which the simplest alternative is taken.
const MAX_DEPTH: usize = 7;
/// The number of lines that use the values.
const LINES: std::ops::RangeInclusive<usize> = 1..=3;

/// The names that values are assigned to.
const VALUES: [&str; 9] = ["a", "b", "c", "df", "g", "o", "s", "X", "y"];
/// The number of lines to try before one is taken without a check.
const TRIES: usize = 20;

/// Imports, each with the text that needs it.
const IMPORTS: [(&str, &str); 27] = [
    ("np.", "import numpy as np\n"),
    ("pd.", "import pandas as pd\n"),
    ("stats.", "from scipy import stats\n"),
    ("optimize.", "from scipy import optimize\n"),
    ("linalg.", "from scipy import linalg\n"),
    ("special.", "from scipy import special\n"),
    ("interpolate.", "from scipy import interpolate\n"),
    ("integrate.", "from scipy import integrate\n"),
    ("LinearRegression", "from sklearn.linear_model import LinearRegression, Ridge, Lasso, LogisticRegression\n"),
    ("StandardScaler", "from sklearn.preprocessing import StandardScaler, MinMaxScaler, LabelEncoder\n"),
    ("train_test_split", "from sklearn.model_selection import train_test_split\n"),
    ("PCA(", "from sklearn.decomposition import PCA\n"),
    ("make_blobs", "from sklearn.datasets import make_blobs\n"),
    ("random.", "import random\n"),
    ("math.", "import math\n"),
    ("re.", "import re\n"),
    ("json.", "import json\n"),
    ("itertools.", "import itertools\n"),
    ("functools.", "import functools\n"),
    ("collections.", "import collections\n"),
    ("hashlib.", "import hashlib\n"),
    ("io.", "import io\n"),
    ("sys.", "import sys\n"),
    ("operator.", "import operator\n"),
    ("dataclass", "from dataclasses import dataclass, field\n"),
    ("Enum", "from enum import Enum, auto\n"),
    ("Fraction", "from fractions import Fraction\n"),
];

pub(super) struct Grammar {
    rules: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Grammar {
    pub(super) fn built_in() -> Self {
        let mut rules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut name = "";
        for line in include_str!("grammar.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("## ")) {
            match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).filter(|name| is_name(name)) {
                Some(next) => name = next,
                None => rules.entry(name).or_default().push(line),
            }
        }
        Self { rules }
    }

    /// Returns the statements of a program. Half of the programs are random; in the other half each added line keeps
    /// `passes` true if such a line is found, so these programs are close to the limit of what the proof passes.
    pub(super) fn program(&self, rng: &mut ChaCha8Rng, passes: impl Fn(&str) -> bool) -> Vec<String> {
        let guided = rng.random_range(0..2) == 1;
        let kind = self.pick("kind", rng);
        let mut parts: Vec<String> = self.expand(kind, rng, 0).lines_of();
        let uses = if kind.contains("science") { "use_science" } else { "use_plain" };
        let names = assigned(&parts);
        for _ in 0..rng.random_range(LINES) {
            let mut lines = || self.expand(self.pick(uses, rng), rng, 0);
            // Most lines use names that have values; a few do not.
            let before = &parts;
            let fits = |line: &String| {
                let with = || with_imports(before.iter().cloned().chain(line.lines_of()).collect()).concat();
                mentions_only(line, &names) && (!guided || passes(&with()))
            };
            let found = (0..TRIES).map(|_| lines()).find(fits);
            let chosen = found.unwrap_or_else(lines).lines_of();
            parts.extend(chosen);
        }
        with_imports(parts)
    }

    fn pick(&self, rule: &str, rng: &mut ChaCha8Rng) -> &'static str {
        let alternatives = &self.rules[rule];
        alternatives[rng.random_range(0..alternatives.len())]
    }

    fn expand(&self, alternative: &str, rng: &mut ChaCha8Rng, depth: usize) -> String {
        let mut text = String::new();
        let mut rest = alternative;
        while let Some(at) = rest.find('<') {
            let name = rest[at + 1..].split('>').next().unwrap_or_default();
            if !self.rules.contains_key(name) {
                text += &rest[..=at];
                rest = &rest[at + 1..];
                continue;
            }
            text += &rest[..at];
            let alternatives = &self.rules[name];
            let simplest = alternatives.iter().min_by_key(|it| (it.matches('<').count(), it.len()));
            let chosen = match simplest {
                Some(simplest) if depth >= MAX_DEPTH => simplest,
                _ => alternatives[rng.random_range(0..alternatives.len())],
            };
            text += &self.expand(chosen, rng, depth + 1);
            rest = &rest[at + name.len() + 2..];
        }
        text + rest
    }
}

fn with_imports(parts: Vec<String>) -> Vec<String> {
    let all = parts.concat();
    let needed = IMPORTS.iter().filter(|(named, _)| all.contains(named));
    needed.map(|(_, import)| (*import).to_owned()).chain(parts).collect()
}

/// Returns the names that the first lines of a program assign.
fn assigned(parts: &[String]) -> Vec<String> {
    parts.iter().filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
}

/// Returns whether a line uses only those of the [`VALUES`] that are in `names`.
fn mentions_only(line: &str, names: &[String]) -> bool {
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| VALUES.contains(word)).all(|word| names.iter().any(|name| name == word))
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

trait LinesOf {
    /// Returns the statements of a text in which `\n` ends a line, as in the rules.
    fn lines_of(&self) -> Vec<String>;
}

impl LinesOf for String {
    fn lines_of(&self) -> Vec<String> {
        let text = self.replace("\\\\n", "\0").replace("\\n", "\n").replace('\0', "\\n");
        super::shrink::parts(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::Grammar;
    use switchtower_contract::Program;
    use switchtower_core::analyse::analyse;
    use switchtower_core::seed::Seed;

    #[test]
    fn the_same_seed_generates_the_same_programs_and_they_parse() {
        let grammar = Grammar::built_in();
        let passes = |source: &str| analyse(&Program::python(source)).verdict.deterministic;
        let source = |number: u64| grammar.program(&mut Seed::fixed(number).rng(), passes).concat();
        let (mut proven, mut distinct) = (0, std::collections::BTreeSet::new());
        for number in 0..1000 {
            let program = source(number);
            let profile = analyse(&Program::python(&*program));
            assert!(profile.parses, "{program}\n{:?}", profile.analysis_error);
            proven += usize::from(profile.verdict.deterministic);
            distinct.insert(program);
        }
        assert_eq!(source(7), source(7));
        // Most are distinct, and the proof passes some of them, neither nearly all nor nearly none.
        println!("{} distinct, {proven} proven", distinct.len());
        assert!(distinct.len() > 950, "{}", distinct.len());
        assert!((300..800).contains(&proven), "{proven}");
    }
}
