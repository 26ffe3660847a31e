//! The share of programs that stays on this machine, by category and by mixes of categories.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::exit::CliError;
use super::score::{Item, Score};

/// The largest file of mixes that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Mixes of categories: what part of its requests each category has in each. Other fields of the file are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Mixes {
    /// The weights of the categories by the mix's name.
    weights: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Mixes {
    /// Reads the mixes for these programs.
    ///
    /// # Errors
    /// The file cannot be read or has another form, or a mix has a category of which there are no programs.
    pub(super) fn read(path: &Path, items: &[Item]) -> Result<Self, CliError> {
        let name = path.display();
        let unreadable = |error: std::io::Error| CliError::usage(format!("cannot read {name}: {error}"));
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(CliError::usage(format!("{name}: mixes must be at most {MAX_BYTES} bytes, this has more")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mixes: Self = serde_json::from_str(&text).map_err(|error| CliError::usage(format!("{name}: {error}")))?;
        mixes.check(items).map_err(|why| CliError::usage(format!("{name}: {why}")))?;
        Ok(mixes)
    }

    fn check(&self, items: &[Item]) -> Result<(), String> {
        let categories: BTreeSet<&str> = items.iter().map(|item| item.category.as_str()).collect();
        for (mix, weights) in &self.weights {
            if let Some((category, weight)) = weights.iter().find(|(_, weight)| !(0.0..=1e9).contains(*weight)) {
                return Err(format!(
                    "the weight of {category} in the mix {mix} must be between 0 and 1e9, not {weight}"
                ));
            }
            if weights.values().sum::<f64>() == 0.0 {
                return Err(format!("the mix {mix} has no category with a weight above 0"));
            }
            let missing = weights.iter().find(|(name, weight)| **weight > 0.0 && !categories.contains(name.as_str()));
            if let Some((category, _)) = missing {
                return Err(format!("the mix {mix} has the category {category}, of which there are no programs here"));
            }
        }
        Ok(())
    }
}

/// The shares of one category, of all programs or of a mix, each from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ShareRow {
    /// The name of the category; `all`; `mix` and the mix's name.
    pub(super) name: String,
    /// The number of programs.
    pub(super) items: usize,
    /// Decided: the first tier of the route is on this machine.
    pub(super) routed_here: f64,
    /// Run: a tier of this machine gave the answer. `None`: nothing was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answered_here: Option<f64>,
    /// The answers of this machine whose output and end are the expected ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) as_expected_here: Option<f64>,
}

impl ShareRow {
    fn of(name: &str, scores: &[&Score]) -> Self {
        let share = |of: &dyn Fn(&Score) -> bool| {
            scores.iter().filter(|score| of(score)).count() as f64 / scores.len().max(1) as f64
        };
        let was_run = scores.iter().any(|score| score.answered_here.is_some());
        Self {
            name: name.to_owned(),
            items: scores.len(),
            routed_here: share(&|score| score.routed_here),
            answered_here: was_run.then(|| share(&|score| score.answered_here == Some(true))),
            as_expected_here: was_run.then(|| share(&|score| score.answered_here == Some(true) && !score.failed())),
        }
    }
}

/// Returns a row for each category, one for all programs, and one for each mix.
pub(super) fn rows(scores: &[Score], mixes: &Mixes) -> Vec<ShareRow> {
    let mut by_category: BTreeMap<&str, Vec<&Score>> = BTreeMap::new();
    for score in scores {
        by_category.entry(&score.category).or_default().push(score);
    }
    let categories: BTreeMap<&str, ShareRow> =
        by_category.iter().map(|(name, scores)| (*name, ShareRow::of(name, scores))).collect();
    let mut rows: Vec<ShareRow> = categories.values().cloned().collect();
    rows.push(ShareRow::of("all", &scores.iter().collect::<Vec<_>>()));
    rows.extend(mixes.weights.iter().map(|(mix, weights)| {
        let all: f64 = weights.values().sum();
        let parts = || weights.iter().filter_map(|(name, weight)| Some((categories.get(name.as_str())?, weight / all)));
        let share = |of: fn(&ShareRow) -> Option<f64>| -> Option<f64> {
            parts().map(|(row, weight)| of(row).map(|share| weight * share)).sum()
        };
        ShareRow {
            name: format!("mix {mix}"),
            items: parts().map(|(row, _)| row.items).sum(),
            routed_here: share(|row| Some(row.routed_here)).unwrap_or(0.0),
            answered_here: share(|row| row.answered_here),
            as_expected_here: share(|row| row.as_expected_here),
        }
    }));
    rows
}

/// Returns the table as text.
pub(super) fn table(rows: &[ShareRow]) -> String {
    let mut text = format!(
        "{:<18}{:>7}{:>14}{:>16}{:>20}\n",
        "share", "items", "routed here", "answered here", "as expected here"
    );
    for ShareRow { name, items, routed_here, answered_here, as_expected_here } in rows {
        let percent =
            |share: Option<f64>| share.map_or("not run".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let (routed, answered, as_expected) =
            (percent(Some(*routed_here)), percent(*answered_here), percent(*as_expected_here));
        let _ = writeln!(text, "{name:<18}{items:>7}{routed:>14}{answered:>16}{as_expected:>20}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::likeness::Likeness;
    use super::*;

    fn score(category: &str, routed_here: bool, answered_here: bool, output: Likeness) -> Score {
        Score {
            id: "1".into(),
            category: category.into(),
            tier: Some("wasm".into()),
            routed_here,
            answered_here: Some(answered_here),
            output: Some(output),
            error_equal: true,
            error: None,
            took: Duration::ZERO,
            stdout: None,
        }
    }

    fn mixes(text: &str) -> Mixes {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_mix_has_the_shares_of_its_categories_by_their_weights() {
        let scores = [
            score("algorithm", true, true, Likeness::Equal),
            score("algorithm", true, false, Likeness::Equal),
            score("network", false, false, Likeness::Equal),
            score("network", true, true, Likeness::Wrong),
            score("network", false, false, Likeness::Equal),
            score("network", false, false, Likeness::Equal),
        ];
        let mixes = mixes(r#"{"weights": {"A": {"algorithm": 3, "network": 1}, "B": {"network": 5}}, "tenants": 200}"#);
        insta::assert_snapshot!(table(&rows(&scores, &mixes)), @r"
        share               items   routed here   answered here    as expected here
        algorithm               2       100.0 %          50.0 %              50.0 %
        network                 4        25.0 %          25.0 %               0.0 %
        all                     6        50.0 %          33.3 %              16.7 %
        mix A                   6        81.2 %          43.8 %              37.5 %
        mix B                   4        25.0 %          25.0 %               0.0 %
        ");
    }

    #[test]
    fn a_mix_of_programs_that_are_not_there_is_refused() {
        let item: Item = serde_json::from_str(r#"{"id": "1", "category": "algorithm", "code": ""}"#).unwrap();
        let refused = |text: &str| mixes(text).check(std::slice::from_ref(&item)).unwrap_err();
        assert_eq!(
            refused(r#"{"weights": {"A": {"algorithm": 1, "network": 2}}}"#),
            "the mix A has the category network, of which there are no programs here"
        );
        assert!(refused(r#"{"weights": {"A": {"algorithm": -1}}}"#).contains("must be between 0 and 1e9, not -1"));
        assert!(refused(r#"{"weights": {"A": {}}}"#).contains("no category with a weight above 0"));
    }
}
