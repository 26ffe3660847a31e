//! An [`Answer`] as JSON: every field of `POST /v1/execute`, whole or without the output that was streamed before.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use switchtower_contract::events::DisplayedValue;
use switchtower_contract::{Failure, MimeBundle, Price, Usage};
use switchtower_core::cache::Stored;
use switchtower_core::decide::Decision;
use switchtower_core::route::TierName;
use switchtower_core::router::Answer;

use crate::service::attempts::{Tried, millis, thousandths};

/// The whole answer.
#[derive(Serialize)]
pub struct Body<'a> {
    id: &'a str,
    exit: &'static str,
    exit_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<Displayed<'a>>>,
    /// Outside: is it told here at all? Inside: was there an exception?
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Option<&'a Failure>>,
    tier: &'a TierName,
    cache: &'static str,
    pure: bool,
    stored: Stored,
    decision: Decided<'a>,
    attempts: Vec<Tried<'a>>,
    usage: Used,
    note: Option<&'a str>,
}

impl<'a> Body<'a> {
    /// Everything.
    pub fn whole(answer: &'a Answer) -> Self {
        let output = &answer.output;
        Self {
            stdout: Some(&output.stdout),
            stderr: Some(&output.stderr),
            results: Some(output.results.iter().map(Displayed::from).collect()),
            error: Some(output.error.as_ref()),
            ..Self::without_output(answer)
        }
    }

    /// Everything but stdout, stderr, results and error.
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
            decision: Decided::from(&answer.decision),
            attempts: answer.attempts.iter().map(Tried::from).collect(),
            usage: Used::from(&answer.outcome.usage),
            note: answer.note.as_deref(),
        }
    }
}

/// Where a program was sent, and why.
#[derive(Serialize)]
pub(crate) struct Decided<'a> {
    class: &'static str,
    score: f64,
    route: Vec<Planned<'a>>,
    rule: &'a str,
    reason: &'a str,
}

impl<'a> From<&'a Decision> for Decided<'a> {
    fn from(decision: &'a Decision) -> Self {
        let leg =
            |leg: &'a switchtower_core::route::Leg| Planned { tier: &leg.tier, budget_ms: leg.budget.map(millis) };
        Self {
            class: decision.class.name(),
            score: decision.score,
            route: decision.route.0.iter().map(leg).collect(),
            rule: &decision.rule,
            reason: &decision.reason,
        }
    }
}

#[derive(Serialize)]
struct Planned<'a> {
    tier: &'a TierName,
    budget_ms: Option<f64>,
}

/// A value that was shown.
#[derive(Serialize)]
pub(crate) struct Displayed<'a> {
    data: BTreeMap<&'a str, Value>,
    main: bool,
}

impl<'a> From<&'a DisplayedValue> for Displayed<'a> {
    fn from(shown: &'a DisplayedValue) -> Self {
        Self::new(&shown.data, shown.main)
    }
}

impl<'a> Displayed<'a> {
    /// Values of JSON types are told as JSON, all others as text.
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
pub(crate) struct Used {
    wall_ms: f64,
    cpu_ms: f64,
    memory_mb: f64,
    /// Of the cloud sandbox, for the time of this run. Nothing where the machine is one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
}

impl From<&Usage> for Used {
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
