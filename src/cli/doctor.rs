//! `switchtower doctor`: everything that running needs, looked at, each with its remedy.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use switchtower_contract::{Exit, Program};
use switchtower_core::request::{CacheMode, Request};
use switchtower_core::tier::Absent;

use super::exit::{Complaint, FAILED};
use super::terminal;
use crate::assemble::{self, Reached, Science};
use crate::config::Config;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Ends with 125 when something is missing that stops programs from running, else with 0.")]
pub(super) struct Doctor {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
struct Finding {
    what: String,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Well,
    /// Programs run, but something is weaker or absent.
    Lacking,
    /// Programs do not run.
    Broken,
}

impl Finding {
    fn well(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Well, detail: detail.into(), remedy: None }
    }

    fn not(state: State, what: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), state, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

impl Doctor {
    pub(super) fn doctor(&self, file: Option<&Path>) -> Result<ExitCode, Complaint> {
        let findings = match crate::config::load(file, serde_json::json!({})) {
            Ok(config) => {
                // What only a server needs: `run` takes no notice of it.
                let settings = match config.http.exposure_problem() {
                    Some(problem) => Finding::not(
                        State::Broken,
                        "settings",
                        problem,
                        "change the setting named here; `serve` refuses it",
                    ),
                    None => Finding::well("settings", "they fit together"),
                };
                let mut findings = vec![settings];
                findings.extend(look(&config)?);
                findings
            }
            Err(error) => {
                vec![Finding::not(State::Broken, "settings", error.to_string(), "mend the setting named here")]
            }
        };
        if self.json {
            let json = serde_json::to_string_pretty(&findings).map_err(|e| Complaint::failed(e.to_string()))?;
            terminal::out(&format!("{json}\n"));
        } else {
            terminal::out(&text(&findings));
        }
        let broken = findings.iter().any(|finding| finding.state == State::Broken);
        Ok(if broken { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }
}

fn look(config: &Config) -> Result<Vec<Finding>, Complaint> {
    let mut findings = vec![rules(config), program(config)?];
    findings.extend(jail(config)?);
    findings.extend(science(config)?);
    findings.push(port(config));
    findings.extend(clouds(config)?);
    Ok(findings)
}

/// Every cloud account is asked whether it answers and takes its key. No sandbox is made.
fn clouds(config: &Config) -> Result<Vec<Finding>, Complaint> {
    let found = super::runtime(1)?.block_on(assemble::reach(config));
    Ok(found
        .into_iter()
        .map(|reached| match reached {
            Reached::Well { api, template } => {
                Finding::well("E2B", format!("{api} answers and takes the key; template {template}"))
            }
            Reached::Absent(Absent { tier, reason, remedy, .. }) => {
                let remedy = remedy.unwrap_or_else(|| "see the message".to_owned());
                Finding::not(State::Lacking, format!("tier {tier}"), reason, remedy)
            }
            Reached::NoTemplate { tier, template, error } => {
                let remedy = format!(
                    "build it in this account (`switchtower template show` prints the one that ships with Switchtower, \
                     `e2b template build` builds it), or name one that is there: it is {template} by \
                     clouds.{tier}.account.template, or by E2B_TEMPLATE_ID"
                );
                Finding::not(State::Lacking, format!("tier {tier}"), error, remedy)
            }
            Reached::Failing { tier, error } => {
                let remedy = "`switchtower template check` looks into its template once it answers";
                Finding::not(State::Lacking, format!("tier {tier}"), error, remedy)
            }
        })
        .collect())
}

fn rules(config: &Config) -> Finding {
    match assemble::rules(&config.rules) {
        Ok(_) => Finding::well(
            "rules",
            config.rules.folder.as_ref().map_or("the built-in ones".into(), |d| d.display().to_string()),
        ),
        Err(error) => {
            Finding::not(State::Broken, "rules", error.to_string(), "`switchtower rules check DIR` names the line")
        }
    }
}

/// The one test that counts: a program through the whole line.
fn program(config: &Config) -> Result<Finding, Complaint> {
    const WHAT: &str = "a program";
    super::runtime(1)?.block_on(async {
        let house = match assemble::in_process(config, &terminal::note) {
            Ok(house) => house,
            Err(unbuilt) => {
                let remedy = "see the step that failed; SWITCHTOWER_GUEST names a guest made elsewhere";
                return Ok(Finding::not(State::Broken, WHAT, unbuilt.to_string(), remedy));
            }
        };
        let mut request = Request::new(Program::python("6 * 7"), &config.limits)?;
        request.cache = CacheMode::Bypass;
        Ok(match house.router.execute(request, None).await {
            Ok(answer) if answer.outcome.exit == Exit::Finished(0) => {
                Finding::well(WHAT, format!("`6 * 7` ran in {}", answer.tier))
            }
            Ok(answer) => {
                let detail = format!("`6 * 7` ended as {}", answer.outcome.exit.name());
                Finding::not(State::Broken, WHAT, detail, "the guest is damaged: remove its cache, it is made again")
            }
            Err(error) => Finding::not(State::Broken, WHAT, error.to_string(), "see the message"),
        })
    })
}

/// The scientific tier, after a worker of it has proved itself.
fn science(config: &Config) -> Result<Vec<Finding>, Complaint> {
    let tier = config.native.tier.as_str();
    Ok(match super::runtime(1)?.block_on(assemble::science(config)) {
        Science::Off => Vec::new(),
        Science::Absent(Absent { reason, remedy, .. }) => {
            let remedy = remedy.unwrap_or_else(|| "see the message".to_owned());
            vec![Finding::not(State::Lacking, format!("tier {tier}"), reason, remedy)]
        }
        Science::Well { python, packages, full, layers } => {
            let profile = if full { "full" } else { "reduced" };
            let detail = format!("Python {python} with {packages} packages, {profile} profile; its self-test passed");
            let well = Finding::well(format!("tier {tier}"), detail);
            [well].into_iter().chain(layers.into_iter().map(|found| layer(tier, found))).collect()
        }
    })
}

/// One layer of a jail.
fn layer(whose: &str, (name, standing): (String, Result<(), String>)) -> Finding {
    match standing {
        Ok(()) => Finding::well(format!("{whose}: {name}"), "stands"),
        Err(why) => {
            let remedy = "the other layers stand without it; a newer kernel, or a container that allows it, has it";
            Finding::not(State::Lacking, format!("{whose}: {name}"), why, remedy)
        }
    }
}

fn jail(config: &Config) -> Result<Vec<Finding>, Complaint> {
    Ok(match super::runtime(1)?.block_on(assemble::jail(config, terminal::note)) {
        Ok(layers) => layers.into_iter().map(|found| layer("jail", found)).collect(),
        Err(unbuilt) => {
            let remedy = "`serve` has no tier without workers; `run` does without them";
            vec![Finding::not(State::Broken, "a worker", unbuilt.to_string(), remedy)]
        }
    })
}

fn port(config: &Config) -> Finding {
    let address = config.http.listen();
    match TcpListener::bind(address) {
        Ok(_) => Finding::well("port", format!("{address} is free")),
        Err(error) => {
            let remedy = "a server may be running there; `serve --port` takes another";
            Finding::not(State::Lacking, "port", format!("{address}: {error}"), remedy)
        }
    }
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { what, state, detail, remedy } in findings {
        let mark = match state {
            State::Well => "ok    ",
            State::Lacking => "lacks ",
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
    fn a_finding_that_is_not_well_says_how_to_mend_it() {
        let findings = [
            Finding::well("rules", "the built-in ones"),
            Finding::not(State::Lacking, "E2B key", "E2B_API_KEY is not set", "set it to use cloud sandboxes"),
            Finding::not(State::Broken, "a program", "no guest", "see the step that failed"),
        ];
        insta::assert_snapshot!(text(&findings), @r"
ok      rules      the built-in ones
lacks   E2B key    E2B_API_KEY is not set
                   → set it to use cloud sandboxes
BROKEN  a program  no guest
                   → see the step that failed
");
    }
}
