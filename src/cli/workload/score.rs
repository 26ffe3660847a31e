//! The result of each program of a workload compared with the expected one, and the table of all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Exit, Language};
use switchtower_core::router::Answer;
use switchtower_server::service::millis;

use super::likeness::Likeness;

/// One program of a workload file. Other fields are ignored.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Item {
    pub(super) id: String,
    #[serde(default)]
    pub(super) category: String,
    pub(super) code: String,
    /// By default Python.
    #[serde(default)]
    pub(super) language: Language,
    pub(super) stdin: Option<String>,
    pub(super) expected_stdout: Option<String>,
    /// The expected end: the name of an exception, `Timeout`, an exit code as `Exit3`, or a signal as `Signal9`.
    pub(super) expected_error_type: Option<String>,
    /// `false`: the output differs from run to run and is not compared.
    pub(super) deterministic: Option<bool>,
}

/// The result of one program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Score {
    pub(super) id: String,
    pub(super) category: String,
    /// The tier that ran it; `None` if it got no answer.
    pub(super) tier: Option<String>,
    /// Whether the first tier of its route is on this machine.
    pub(super) routed_here: bool,
    /// Whether a tier of this machine gave the answer. `None`: it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answered_here: Option<bool>,
    /// `None` if the output is not compared.
    pub(super) output: Option<Likeness>,
    pub(super) error_equal: bool,
    /// The error that it ended with, in the form of `expected_error_type`.
    pub(super) error: Option<String>,
    #[serde(serialize_with = "as_millis")]
    pub(super) took: Duration,
    /// The standard output; kept only of a program that failed.
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
            routed_here: false,
            answered_here: None,
            output: compared.map(|expected| Likeness::of(stdout, expected)),
            error_equal: same_end(error.as_deref(), item.expected_error_type.as_deref()),
            error,
            took,
            stdout: None,
        };
        score.stdout = score.failed().then(|| stdout.to_owned());
        score
    }

    pub(super) fn failed(&self) -> bool {
        self.output.is_some_and(|output| !output.is_as_expected()) || !self.error_equal
    }
}

/// Returns whether two ends are the same. The number of a signal is not compared: it depends on the tier.
fn same_end(is: Option<&str>, expected: Option<&str>) -> bool {
    is == expected || (is == Some("Signal") && expected.is_some_and(|end| end.starts_with("Signal")))
}

/// Returns a program's end in the form of `expected_error_type`; `None` if it succeeded.
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

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) category: String,
    pub(super) items: usize,
    /// The number of answers of each tier.
    pub(super) tiers: BTreeMap<String, usize>,
    pub(super) outputs_compared: usize,
    /// Outputs that are equal byte for byte.
    pub(super) outputs_equal: usize,
    /// Outputs that are equal byte for byte or as numbers.
    pub(super) outputs_as_expected: usize,
    pub(super) texts_differ: usize,
    pub(super) outputs_wrong: usize,
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
        let outputs = |like: &dyn Fn(Likeness) -> bool| {
            scores.iter().filter_map(|score| score.output).filter(|output| like(*output)).count()
        };
        Self {
            category: category.to_owned(),
            items: scores.len(),
            tiers,
            outputs_compared: outputs(&|_| true),
            outputs_equal: outputs(&|output| output == Likeness::Equal),
            outputs_as_expected: outputs(&Likeness::is_as_expected),
            texts_differ: outputs(&|output| output == Likeness::TextDiffers),
            outputs_wrong: outputs(&|output| output == Likeness::Wrong),
            errors_equal: scores.iter().filter(|score| score.error_equal).count(),
            p50_ms: at(50).map_or(0.0, |time| millis(*time)),
            p99_ms: at(99).map_or(0.0, |time| millis(*time)),
        }
    }
}

/// Returns a row for each category, and one for all programs.
pub(super) fn rows(scores: &[Score]) -> Vec<Row> {
    let mut by_category: BTreeMap<&str, Vec<&Score>> = BTreeMap::new();
    for score in scores {
        by_category.entry(&score.category).or_default().push(score);
    }
    let mut rows: Vec<Row> = by_category.iter().map(|(category, scores)| Row::of(category, scores)).collect();
    rows.push(Row::of("all", &scores.iter().collect::<Vec<_>>()));
    rows
}

/// Returns the table as text.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<18}{:>7}  {:<24}{:>14}{:>12}{:>14}{:>8}{:>13}{:>10}{:>10}\n",
        "category",
        "items",
        "by tier",
        "output equal",
        "as numbers",
        "text differs",
        "wrong",
        "error equal",
        "p50 ms",
        "p99 ms"
    );
    for row in rows {
        let share = |(tier, count): (&String, &usize)| format!("{tier} {:.0} %", percent(*count, row.items));
        let tiers: Vec<String> = row.tiers.iter().map(share).collect();
        let outputs = |count: usize| format!("{:.1} %", percent(count, row.outputs_compared));
        let errors = format!("{:.1} %", percent(row.errors_equal, row.items));
        let _ = writeln!(
            text,
            "{:<18}{:>7}  {:<24}{:>14}{:>12}{:>14}{:>8}{errors:>13}{:>10.1}{:>10.1}",
            row.category,
            row.items,
            tiers.join(", "),
            outputs(row.outputs_equal),
            outputs(row.outputs_as_expected),
            row.texts_differ,
            row.outputs_wrong,
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
        let score = |category: &str, output, error_equal, took| Score {
            id: "1".into(),
            category: category.into(),
            tier: Some("wasm".into()),
            routed_here: true,
            answered_here: Some(true),
            output,
            error_equal,
            error: None,
            took: Duration::from_micros(took),
            stdout: None,
        };
        let scores = [
            score("algorithm", Some(Likeness::Equal), true, 1500),
            score("algorithm", Some(Likeness::Close), true, 1500),
            score("algorithm", Some(Likeness::TextDiffers), true, 1500),
            score("algorithm", Some(Likeness::Wrong), false, 2500),
            score("symbolic", None, true, 300),
        ];
        insta::assert_snapshot!(table(&rows(&scores)), @r"
category            items  by tier                   output equal  as numbers  text differs   wrong  error equal    p50 ms    p99 ms
algorithm               4  wasm 100 %                      25.0 %      50.0 %             1       1       75.0 %       1.5       2.5
symbolic                1  wasm 100 %                     100.0 %     100.0 %             0       0      100.0 %       0.3       0.3
all                     5  wasm 100 %                      25.0 %      50.0 %             1       1       80.0 %       1.5       2.5
");
    }
}
