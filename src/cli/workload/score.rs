//! How a workload went: each program held against what it was expected to do, and the table of all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::Exit;

use crate::http::millis;
use crate::router::Answer;

/// One program of a workload file. Fields that are not named here are left alone.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Item {
    pub(super) id: String,
    #[serde(default)]
    pub(super) category: String,
    pub(super) code: String,
    pub(super) stdin: Option<String>,
    pub(super) expected_stdout: Option<String>,
    /// The exception's name; `Timeout`; `Exit3` and `Signal9` for other ends.
    pub(super) expected_error_type: Option<String>,
    /// False: the output differs from run to run, so it is not compared.
    pub(super) deterministic: Option<bool>,
}

/// How one program did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Score {
    pub(super) id: String,
    pub(super) category: String,
    /// None where it got no answer.
    pub(super) tier: Option<String>,
    /// Not there where the output is not compared.
    pub(super) output_equal: Option<bool>,
    pub(super) error_equal: bool,
    /// The error that it ended with, in the words of the file.
    pub(super) error: Option<String>,
    #[serde(serialize_with = "as_millis")]
    pub(super) took: Duration,
    /// What was printed; only kept of those that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stdout: Option<String>,
}

fn as_millis<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(millis(*time))
}

impl Score {
    pub(super) fn of(item: &Item, answer: Option<&Answer>, refusal: Option<String>, took: Duration) -> Self {
        let error = answer.map_or(refusal, ended);
        let stdout = answer.map_or("", |answer| answer.output.stdout.as_str());
        let compared = item.deterministic.unwrap_or(true).then_some(item.expected_stdout.as_deref()).flatten();
        let mut score = Self {
            id: item.id.clone(),
            category: item.category.clone(),
            tier: answer.map(|answer| answer.tier.to_string()),
            output_equal: compared.map(|expected| expected == stdout),
            error_equal: same_end(error.as_deref(), item.expected_error_type.as_deref()),
            error,
            took,
            stdout: None,
        };
        score.stdout = score.failed().then(|| stdout.to_owned());
        score
    }

    pub(super) fn failed(&self) -> bool {
        self.output_equal == Some(false) || !self.error_equal
    }
}

/// Which signal ended an interpreter depends on where it runs.
fn same_end(is: Option<&str>, expected: Option<&str>) -> bool {
    is == expected || (is == Some("Signal") && expected.is_some_and(|end| end.starts_with("Signal")))
}

/// A program's end in the words of a workload file; nothing where all was well.
fn ended(answer: &Answer) -> Option<String> {
    match (answer.outcome.exit, &answer.output.error) {
        (Exit::Finished(0), _) => None,
        (Exit::Finished(code), _) => Some(format!("Exit{code}")),
        (Exit::Raised, Some(failure)) => failure.name.rsplit('.').next().map(str::to_owned),
        (Exit::Raised, None) => Some("Exception".to_owned()),
        (Exit::TimedOut, _) => Some("Timeout".to_owned()),
        (Exit::OutOfMemory, _) => Some("MemoryError".to_owned()),
        (Exit::Killed, _) => Some("Signal".to_owned()),
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) category: String,
    pub(super) items: usize,
    /// Answers by the tier that gave them.
    pub(super) tiers: BTreeMap<String, usize>,
    pub(super) outputs_compared: usize,
    pub(super) outputs_equal: usize,
    pub(super) errors_equal: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Row {
    fn of(category: &str, scores: &[&Score]) -> Self {
        let mut times: Vec<Duration> = scores.iter().map(|score| score.took).collect();
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let mut tiers = BTreeMap::new();
        for tier in scores.iter().filter_map(|score| score.tier.clone()) {
            *tiers.entry(tier).or_default() += 1;
        }
        Self {
            category: category.to_owned(),
            items: scores.len(),
            tiers,
            outputs_compared: scores.iter().filter(|score| score.output_equal.is_some()).count(),
            outputs_equal: scores.iter().filter(|score| score.output_equal == Some(true)).count(),
            errors_equal: scores.iter().filter(|score| score.error_equal).count(),
            p50_ms: at(50).map_or(0.0, |time| millis(*time)),
            p99_ms: at(99).map_or(0.0, |time| millis(*time)),
        }
    }
}

/// A row per category, and one for all.
pub(super) fn rows(scores: &[Score]) -> Vec<Row> {
    let mut by_category: BTreeMap<&str, Vec<&Score>> = BTreeMap::new();
    for score in scores {
        by_category.entry(&score.category).or_default().push(score);
    }
    let mut rows: Vec<Row> = by_category.iter().map(|(category, scores)| Row::of(category, scores)).collect();
    rows.push(Row::of("all", &scores.iter().collect::<Vec<_>>()));
    rows
}

/// The table for people.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<18}{:>7}  {:<24}{:>14}{:>14}{:>10}{:>10}\n",
        "category", "items", "by tier", "output equal", "error equal", "p50 ms", "p99 ms"
    );
    for row in rows {
        let share = |(tier, count): (&String, &usize)| format!("{tier} {:.0} %", percent(*count, row.items));
        let tiers: Vec<String> = row.tiers.iter().map(share).collect();
        let outputs = format!("{:.1} %", percent(row.outputs_equal, row.outputs_compared));
        let errors = format!("{:.1} %", percent(row.errors_equal, row.items));
        let _ = writeln!(
            text,
            "{:<18}{:>7}  {:<24}{outputs:>14}{errors:>14}{:>10.1}{:>10.1}",
            row.category,
            row.items,
            tiers.join(", "),
            row.p50_ms,
            row.p99_ms
        );
    }
    text
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 100.0 } else { 100.0 * part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_per_category_and_one_for_all() {
        let score = |category: &str, equal, error_equal, took| Score {
            id: "1".into(),
            category: category.into(),
            tier: Some("wasm".into()),
            output_equal: equal,
            error_equal,
            error: None,
            took: Duration::from_micros(took),
            stdout: None,
        };
        let scores = [
            score("algorithm", Some(true), true, 1500),
            score("algorithm", Some(false), false, 2500),
            score("symbolic", None, true, 300),
        ];
        insta::assert_snapshot!(table(&rows(&scores)), @r"
category            items  by tier                   output equal   error equal    p50 ms    p99 ms
algorithm               2  wasm 100 %                      50.0 %        50.0 %       2.5       2.5
symbolic                1  wasm 100 %                     100.0 %       100.0 %       0.3       0.3
all                     3  wasm 100 %                      50.0 %        66.7 %       1.5       2.5
");
    }
}
