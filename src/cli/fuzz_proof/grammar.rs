//! Programs from a grammar: the rules stand in `grammar.txt`.
//!
//! A rule is a name in brackets and its alternatives, one a line; `<name>` in an alternative stands for a rule, `\n` for
//! the end of a line, `\\n` for one in a text. A program is a few lines that make values under fixed names, then lines that use them, and in front
//! of all the imports of what is named.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How deep rules are followed before the plainest alternative is taken.
const DEEPEST: usize = 7;
/// Lines that use the values, at least and at most.
const LINES: std::ops::RangeInclusive<usize> = 1..=3;

/// The names under which values are made.
const VALUES: [&str; 9] = ["a", "b", "c", "df", "g", "o", "s", "X", "y"];
/// Lines that are made before one is taken as it is.
const TRIES: usize = 20;

/// What is imported where this is named.
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
    pub(super) fn known() -> Self {
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

    /// The statements of a program. Of two, one is made without a look at what it comes to; in the other a line is added
    /// only where `passes` holds of the program with it, if one is found: so it goes along the border from inside.
    pub(super) fn program(&self, chance: &mut ChaCha8Rng, passes: impl Fn(&str) -> bool) -> Vec<String> {
        let guided = chance.random_range(0..2) == 1;
        let kind = self.any("kind", chance);
        let mut parts: Vec<String> = self.made(kind, chance, 0).lines_of();
        let uses = if kind.contains("science") { "use_science" } else { "use_plain" };
        let names = assigned(&parts);
        for _ in 0..chance.random_range(LINES) {
            let mut lines = || self.made(self.any(uses, chance), chance, 0);
            // Most lines are about values that are there; now and then one is not.
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

    fn any(&self, rule: &str, chance: &mut ChaCha8Rng) -> &'static str {
        let alternatives = &self.rules[rule];
        alternatives[chance.random_range(0..alternatives.len())]
    }

    fn made(&self, alternative: &str, chance: &mut ChaCha8Rng, depth: usize) -> String {
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
            let plainest = alternatives.iter().min_by_key(|it| (it.matches('<').count(), it.len()));
            let chosen = match plainest {
                Some(plainest) if depth >= DEEPEST => plainest,
                _ => alternatives[chance.random_range(0..alternatives.len())],
            };
            text += &self.made(chosen, chance, depth + 1);
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

/// The names that a program's beginning gives values to.
fn assigned(parts: &[String]) -> Vec<String> {
    parts.iter().filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
}

/// True where none of the [`VALUES`] is mentioned that is not there.
fn mentions_only(line: &str, names: &[String]) -> bool {
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| VALUES.contains(word)).all(|word| names.iter().any(|name| name == word))
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

trait LinesOf {
    /// The statements of a text whose lines are parted by `\n` as it is written in the rules.
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
    fn the_same_seed_makes_the_same_programs_and_they_are_python() {
        let grammar = Grammar::known();
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
        // Most are new, and the proof passes neither nearly all of them nor nearly none.
        println!("{} distinct, {proven} proven", distinct.len());
        assert!(distinct.len() > 950, "{}", distinct.len());
        assert!((300..800).contains(&proven), "{proven}");
    }
}
