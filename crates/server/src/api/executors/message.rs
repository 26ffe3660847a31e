//! The messages of the protocol: programs, and their answers.

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use switchtower_contract::{Exit, Language};
use switchtower_core::router::Answer;

use crate::api::printed;
use crate::service::problem::{Problem, ProblemKind};

/// The languages that have executors, at least one.
pub(super) struct Languages(pub(super) Vec<Language>);

impl Languages {
    /// Returns the language of a name, or of another usual one, if it has an executor.
    pub(super) fn find(&self, name: &str) -> Option<Language> {
        name.parse().ok().filter(|language| self.0.contains(language))
    }

    /// Returns the paths of connections.
    pub(super) fn paths(&self) -> Vec<String> {
        std::iter::once("/".to_owned()).chain(self.0.iter().map(|language| format!("/{language}"))).collect()
    }

    /// Returns the language of a message. `own`: that of its connection's path; `named`: the text of its field.
    pub(super) fn choose(&self, own: Option<Language>, named: Option<&str>) -> Result<Language, Problem> {
        let Some(named) = named else { return Ok(own.or(self.0.first().copied()).unwrap_or_default()) };
        let names: Vec<&str> = self.0.iter().map(|language| language.name()).collect();
        match (self.find(named), own) {
            (None, _) => {
                let detail = format!("language must be one of {}, not {named:?}", names.join(", "));
                Err(Problem::field("language", detail).with("allowed", names))
            }
            (Some(language), Some(own)) if language != own => {
                let detail = format!("language must be {own} on /{own}: leave it out, or connect to another path");
                Err(Problem::field("language", detail).with("allowed", own.name()))
            }
            (Some(language), _) => Ok(language),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Success,
    Error,
}

/// The answer to a message.
#[derive(Serialize)]
struct ExecutorAnswer {
    status: Status,
    output: String,
    error: String,
}

impl ExecutorAnswer {
    fn text(&self) -> Utf8Bytes {
        // The fields are texts, which JSON can always represent.
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// Returns the answer of a program that ran.
pub(super) fn ran(answer: &Answer) -> Utf8Bytes {
    let output = printed::lines(&[&printed::streams(answer)]);
    let exit = answer.outcome.exit;
    if exit == Exit::Finished(0) {
        let error = printed::cut(answer).to_owned();
        return ExecutorAnswer { status: Status::Success, output, error }.text();
    }
    let end = match (printed::end(answer), exit) {
        ("", Exit::Finished(code)) => format!("the program ended with the exit code {code}"),
        (end, _) => end.to_owned(),
    };
    let error = printed::lines(&[&end, printed::note(answer), printed::cut(answer)]);
    ExecutorAnswer { status: Status::Error, output, error }.text()
}

/// Returns the answer of a message whose program did not run.
pub(super) fn refused(problem: &Problem) -> Utf8Bytes {
    let detail = &problem.detail;
    let error = match problem.kind {
        ProblemKind::Malformed => format!("the message is not JSON: {detail}"),
        _ => detail.clone(),
    };
    ExecutorAnswer { status: Status::Error, output: String::new(), error }.text()
}
