//! An [`Answer`] as JSON: the fields of `POST /v1/execute`, with or without the output, which a stream has sent before.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use switchtower_contract::events::DisplayedValue;
use switchtower_contract::{Failure, MimeBundle, Price, Usage};
use switchtower_core::cache::Stored;
use switchtower_core::decide::Decision;
use switchtower_core::route::TierName;
use switchtower_core::router::Answer;

use crate::service::attempts::{AttemptView, millis, thousandths};

/// The body of an answer.
#[derive(Serialize)]
pub struct AnswerBody<'a> {
    id: &'a str,
    exit: &'static str,
    exit_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<ResultView<'a>>>,
    /// The outer `None` omits the field; the inner one is `null`: no exception.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Option<&'a Failure>>,
    tier: &'a TierName,
    cache: &'static str,
    pure: bool,
    stored: Stored,
    decision: DecisionView<'a>,
    attempts: Vec<AttemptView<'a>>,
    usage: UsageView,
    note: Option<&'a str>,
}

impl<'a> AnswerBody<'a> {
    /// Returns all fields.
    pub fn whole(answer: &'a Answer) -> Self {
        let output = &answer.output;
        Self {
            stdout: Some(&output.stdout),
            stderr: Some(&output.stderr),
            results: Some(output.results.iter().map(ResultView::from).collect()),
            error: Some(output.error.as_ref()),
            ..Self::without_output(answer)
        }
    }

    /// Returns all fields but stdout, stderr, results and error.
    pub fn without_output(answer: &'a Answer) -> Self {
        Self {
            id: &answer.id,
            exit: answer.outcome.exit.name(),
            exit_code: answer.outcome.exit.code(),
            stdout: None,
            stderr: None,
            truncated: answer.outcome.truncated,
            results: None,
            error: None,
            tier: &answer.tier,
            cache: answer.cache.name(),
            pure: answer.pure,
            stored: answer.stored,
            decision: DecisionView::from(&*answer.decision),
            attempts: answer.attempts.iter().map(AttemptView::from).collect(),
            usage: UsageView::from(&answer.outcome.usage),
            note: answer.note.as_deref(),
        }
    }
}

/// Which route a program took, and why.
#[derive(Serialize)]
pub(crate) struct DecisionView<'a> {
    class: &'static str,
    score: f64,
    route: Vec<LegView<'a>>,
    rule: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    skipped: &'a [String],
}

impl<'a> From<&'a Decision> for DecisionView<'a> {
    fn from(decision: &'a Decision) -> Self {
        let leg =
            |leg: &'a switchtower_core::route::Leg| LegView { tier: &leg.tier, budget_ms: leg.budget.map(millis) };
        Self {
            class: decision.class.name(),
            score: decision.score,
            route: decision.route.0.iter().map(leg).collect(),
            rule: &decision.rule,
            reason: &decision.reason,
            skipped: &decision.skipped,
        }
    }
}

#[derive(Serialize)]
struct LegView<'a> {
    tier: &'a TierName,
    budget_ms: Option<f64>,
}

/// A displayed value.
#[derive(Serialize)]
pub(crate) struct ResultView<'a> {
    data: BTreeMap<&'a str, Value>,
    main: bool,
}

impl<'a> From<&'a DisplayedValue> for ResultView<'a> {
    fn from(shown: &'a DisplayedValue) -> Self {
        Self::new(&shown.data, shown.main)
    }
}

impl<'a> ResultView<'a> {
    /// Representations of JSON types are JSON values, all others are text.
    pub(crate) fn new(data: &'a MimeBundle, main: bool) -> Self {
        let value = |(mime, text): (&'a String, &'a String)| {
            let is_json = mime == "application/json" || mime.ends_with("+json");
            let parsed = is_json.then(|| serde_json::from_str(text).ok()).flatten();
            (mime.as_str(), parsed.unwrap_or_else(|| Value::from(text.as_str())))
        };
        Self { data: data.iter().map(value).collect(), main }
    }
}

#[derive(Serialize)]
pub(crate) struct UsageView {
    wall_ms: f64,
    cpu_ms: f64,
    memory_mb: f64,
    /// Cost of the cloud sandbox for the time of this run; absent for local tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
}

impl From<&Usage> for UsageView {
    fn from(usage: &Usage) -> Self {
        let megabytes = usage.memory as f64 / f64::from(1 << 20);
        Self {
            wall_ms: millis(usage.wall),
            cpu_ms: millis(usage.cpu),
            memory_mb: thousandths(megabytes),
            cost_usd: (usage.price != Price::default()).then(|| usage.price.dollars()),
        }
    }
}
