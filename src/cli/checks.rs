//! The result of a check, and how a list of them is printed.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::exit::{CliError, FAILED};
use super::terminal;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Check {
    what: String,
    state: State,
    /// What failed, for programs that read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Ok,
    /// Programs run, but an optional part is absent or a protection is not in force.
    Missing,
    /// Programs or the server cannot run.
    Broken,
}

impl Check {
    pub(super) fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Ok, code: None, detail: detail.into(), remedy: None }
    }

    pub(super) fn missing(what: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { what: what.into(), state: State::Missing, code: None, detail: detail.into(), remedy }
    }

    pub(super) fn broken(what: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Broken, ..Self::missing(what, detail, remedy) }
    }

    #[must_use]
    pub(super) fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }
}

/// Prints checks. Returns the exit code: a failure if one is broken.
pub(super) fn print(checks: &[Check], json: bool) -> Result<ExitCode, CliError> {
    if json {
        let json = serde_json::to_string_pretty(checks).map_err(|e| CliError::failed(e.to_string()))?;
        terminal::out(&format!("{json}\n"));
    } else {
        terminal::out(&text(checks));
    }
    let is_broken = checks.iter().any(|check| check.state == State::Broken);
    Ok(if is_broken { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { what, state, code, detail, remedy } in checks {
        let mark = match state {
            State::Ok => "ok    ",
            State::Missing => "absent",
            State::Broken => "BROKEN",
        };
        let code = code.map_or_else(String::new, |code| format!(" [{code}]"));
        let _ = writeln!(text, "{mark}  {what:<width$}  {detail}{code}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "        {:<width$}  → {remedy}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_fails_says_how_to_fix_it() {
        let checks = [
            Check::ok("rules", "built-in rules"),
            Check::missing("E2B key", "E2B_API_KEY is not set", "set it to use cloud sandboxes"),
            Check::broken("a program", "no guest", "see the step that failed").with_code("no_guest"),
        ];
        insta::assert_snapshot!(text(&checks), @r"
ok      rules      built-in rules
absent  E2B key    E2B_API_KEY is not set
                   → set it to use cloud sandboxes
BROKEN  a program  no guest [no_guest]
                   → see the step that failed
");
    }
}
