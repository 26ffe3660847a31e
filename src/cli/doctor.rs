//! `switchtower doctor`: checks everything that is needed to run programs, and prints how to fix what is missing.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::ExitCode;

use clap::Args;
use switchtower_contract::{Exit, Program, rounded};
use switchtower_core::request::{CacheMode, Request};
use switchtower_core::tier::AbsentTier;

use super::exit::{CliError, FAILED};
use super::terminal;
use crate::assemble::{self, AccountCheck, NativeReport, WasmReport};
use crate::config::{Config, SettingsSource};

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 125 if programs cannot run, else with 0.")]
pub(super) struct Doctor {
    /// Print the checks as JSON.
    #[arg(long)]
    json: bool,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
struct Check {
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
enum State {
    Ok,
    /// Programs run, but an optional part is absent or a protection is not in force.
    Missing,
    /// Programs or the server cannot run.
    Broken,
}

impl Check {
    fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Ok, code: None, detail: detail.into(), remedy: None }
    }

    fn failed(state: State, what: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), state, code: None, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

impl Doctor {
    pub(super) fn doctor(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let checks = match crate::config::load(source) {
            Ok(config) => {
                // A requirement of `serve` only; `run` works without it.
                let settings = match config.http.exposure_problem() {
                    Some(problem) => Check::failed(
                        State::Broken,
                        "settings",
                        problem,
                        "change the setting named here; `serve` refuses it",
                    ),
                    None => Check::ok("settings", "valid"),
                };
                let mut checks = vec![settings];
                checks.extend(check_all(&config)?);
                checks
            }
            Err(error) => {
                vec![Check::failed(State::Broken, "settings", error.to_string(), "change the setting named here")]
            }
        };
        if self.json {
            let json = serde_json::to_string_pretty(&checks).map_err(|e| CliError::failed(e.to_string()))?;
            terminal::out(&format!("{json}\n"));
        } else {
            terminal::out(&text(&checks));
        }
        let broken = checks.iter().any(|check| check.state == State::Broken);
        Ok(if broken { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }
}

fn check_all(config: &Config) -> Result<Vec<Check>, CliError> {
    let mut checks = vec![rules(config), program(config)?];
    checks.extend(jail(config)?);
    checks.extend(native(config)?);
    checks.push(port(config));
    checks.extend(clouds(config)?);
    Ok(checks)
}

/// Checks that every cloud account answers and accepts its key. Creates no sandbox.
fn clouds(config: &Config) -> Result<Vec<Check>, CliError> {
    let found = super::runtime(1)?.block_on(assemble::check_accounts(config));
    Ok(found
        .into_iter()
        .map(|reached| match reached {
            AccountCheck::Reachable { api, template, build_tag, limits } => {
                let modules = match build_tag {
                    Some(tag) => format!("each sandbox must have the build tag {tag}"),
                    None => {
                        "its modules are not known before a program fails to import one: `switchtower template check` \
                             looks, a build_tag promises them"
                            .to_owned()
                    }
                };
                Check::ok("E2B", format!("{api} answers and accepts the key; {limits}; template {template}, {modules}"))
            }
            AccountCheck::Absent(absent) => absent_tier(absent),
            AccountCheck::Failing { tier, code, error, remedy } => {
                let failed = Check::failed(State::Missing, format!("tier {tier}"), error, remedy);
                Check { code: Some(code), ..failed }
            }
        })
        .collect())
}

fn rules(config: &Config) -> Check {
    match assemble::load_rules(&config.rules) {
        Ok(_) => Check::ok(
            "rules",
            config.rules.folder.as_ref().map_or("built-in rules".into(), |d| d.display().to_string()),
        ),
        Err(error) => {
            Check::failed(State::Broken, "rules", error.to_string(), "`switchtower rules check DIR` prints the line")
        }
    }
}

/// Runs a program through the whole request path.
fn program(config: &Config) -> Result<Check, CliError> {
    const WHAT: &str = "a program";
    super::runtime(1)?.block_on(async {
        let assembly = match assemble::in_process(config, &terminal::note) {
            Ok(assembly) => assembly,
            Err(error) => {
                let remedy = "see the step that failed; SWITCHTOWER_GUEST can name a guest built elsewhere";
                return Ok(Check::failed(State::Broken, WHAT, error.to_string(), remedy));
            }
        };
        let mut request = Request::new(Program::python("6 * 7"), &config.limits)?;
        request.cache = CacheMode::Bypass;
        let most = rounded(request.timeout);
        Ok(match assembly.router.execute(request, None).await {
            Ok(answer) if answer.outcome.exit == Exit::Finished(0) => {
                let took = answer.outcome.usage.wall;
                Check::ok(WHAT, format!("`6 * 7` ran in {} in {}, of at most {most}", answer.tier, rounded(took)))
            }
            Ok(answer) if answer.outcome.exit == Exit::TimedOut => {
                let detail = format!("`6 * 7` did not end within {most}");
                let remedy = "see whether the machine is overloaded; limits.default_timeout is the time-out of requests that set none";
                Check { code: Some("timed_out"), ..Check::failed(State::Broken, WHAT, detail, remedy) }
            }
            Ok(answer) => {
                let detail = format!("`6 * 7` ended as {}", answer.outcome.exit.name());
                Check::failed(State::Broken, WHAT, detail, "the guest is damaged: remove its cache, and it is rebuilt")
            }
            Err(error) => Check::failed(State::Broken, WHAT, error.to_string(), "see the message"),
        })
    })
}

/// Checks the scientific tier with the self-test of one worker.
fn native(config: &Config) -> Result<Vec<Check>, CliError> {
    let tier = config.native.tier.as_str();
    Ok(match super::runtime(1)?.block_on(assemble::check_native(config)) {
        NativeReport::Disabled => Vec::new(),
        NativeReport::Absent(absent) => vec![absent_tier(absent)],
        NativeReport::Working { python, packages, full, layers } => {
            let profile = if full { "full" } else { "reduced" };
            let detail = format!("Python {python} with {packages} packages, {profile} profile; its self-test passed");
            let passed = Check::ok(format!("tier {tier}"), detail);
            [passed].into_iter().chain(layers.into_iter().map(|found| layer(tier, found))).collect()
        }
    })
}

/// Returns the check of one layer of a jail.
fn layer(whose: &str, (name, status): (String, Result<(), String>)) -> Check {
    match status {
        Ok(()) => Check::ok(format!("{whose}: {name}"), "in force"),
        Err(why) => {
            let remedy = "the other layers are in force without it; use a newer kernel, or a container that allows it";
            Check::failed(State::Missing, format!("{whose}: {name}"), why, remedy)
        }
    }
}

fn jail(config: &Config) -> Result<Vec<Check>, CliError> {
    Ok(match super::runtime(1)?.block_on(assemble::check_workers(config, terminal::note)) {
        WasmReport::Working { layers } => layers.into_iter().map(|found| layer("jail", found)).collect(),
        WasmReport::Absent(absent) => vec![absent_tier(absent)],
        WasmReport::Failed(error) => {
            let remedy = "`serve` has no WebAssembly tier without workers; `run` does not need them";
            vec![Check::failed(State::Broken, "a worker", error.to_string(), remedy)]
        }
    })
}

fn absent_tier(absent: AbsentTier) -> Check {
    let remedy = absent.remedy.unwrap_or_else(|| "see the message".to_owned());
    Check::failed(State::Missing, format!("tier {}", absent.tier), absent.reason, remedy)
}

fn port(config: &Config) -> Check {
    let address = config.http.listen();
    match TcpListener::bind(address) {
        Ok(_) => Check::ok("port", format!("{address} is free")),
        Err(error) => {
            let remedy = "a server may be running there; set another port with `serve --port`";
            Check::failed(State::Missing, "port", format!("{address}: {error}"), remedy)
        }
    }
}

fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { what, state, detail, remedy, .. } in checks {
        let mark = match state {
            State::Ok => "ok    ",
            State::Missing => "absent",
            State::Broken => "BROKEN",
        };
        let _ = writeln!(text, "{mark}  {what:<width$}  {detail}");
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
            Check::failed(State::Missing, "E2B key", "E2B_API_KEY is not set", "set it to use cloud sandboxes"),
            Check::failed(State::Broken, "a program", "no guest", "see the step that failed"),
        ];
        insta::assert_snapshot!(text(&checks), @r"
ok      rules      built-in rules
absent  E2B key    E2B_API_KEY is not set
                   → set it to use cloud sandboxes
BROKEN  a program  no guest
                   → see the step that failed
");
    }
}
