//! `switchtower doctor`: checks everything that is needed to run programs, and prints how to fix what is missing.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::Args;
use switchtower_contract::{Exit, Program, rounded};
use switchtower_core::request::{CacheMode, Request};
use switchtower_core::tier::AbsentTier;

use super::checks::{self, Check};
use super::exit::CliError;
use super::terminal;
use crate::assemble::{self, AccountCheck, MachineReport, NativeReport, WasmReport};
use crate::config::{Config, SettingsSource};

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 125 if programs cannot run, else with 0.")]
pub(super) struct Doctor {
    /// Print the checks as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn doctor(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let checks = match crate::config::load(source) {
            Ok(config) => {
                // A requirement of `serve` only; `run` works without it.
                let settings = match config.exposure_problem() {
                    Some(problem) => {
                        Check::broken("settings", problem, "change the setting named here; `serve` refuses it")
                    }
                    None => Check::ok("settings", "valid"),
                };
                let mut checks = vec![settings];
                checks.extend(check_all(&config)?);
                checks
            }
            Err(error) => {
                vec![Check::broken("settings", error.to_string(), "change the setting named here")]
            }
        };
        checks::print(&checks, self.json)
    }
}

fn check_all(config: &Config) -> Result<Vec<Check>, CliError> {
    let mut checks = vec![rules(config), program(config)?];
    checks.extend(jail(config)?);
    checks.extend(native(config)?);
    checks.extend(machines(config)?);
    checks.extend(ports(config));
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
                Check::missing(format!("tier {tier}"), error, remedy).with_code(code)
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
        Err(error) => Check::broken("rules", error.to_string(), "`switchtower rules check DIR` prints the line"),
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
                return Ok(Check::broken(WHAT, error.to_string(), remedy));
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
                Check::broken(WHAT, detail, remedy).with_code("timed_out")
            }
            Ok(answer) => {
                let detail = format!("`6 * 7` ended as {}", answer.outcome.exit.name());
                Check::broken(WHAT, detail, "the guest is damaged: remove its cache, and it is rebuilt")
            }
            Err(error) => Check::broken(WHAT, error.to_string(), "see the message"),
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

/// Checks local machines with the self-test of a first one.
fn machines(config: &Config) -> Result<Vec<Check>, CliError> {
    let tier = config.machine.tier.as_str();
    Ok(match super::runtime(1)?.block_on(assemble::check_machines(config)) {
        MachineReport::Disabled => {
            let detail =
                "machine.enabled is false: commands, files anywhere and most languages have no tier on this host";
            vec![Check::missing(format!("tier {tier}"), detail, "set machine.enabled to true")]
        }
        MachineReport::Absent(absent) => vec![absent_tier(absent)],
        MachineReport::Working { runtime, isolation, versions, egress, layers } => {
            let versions: Vec<String> =
                versions.into_iter().map(|(name, version)| format!("{name} {version}")).collect();
            let has =
                if versions.is_empty() { "no language that is known here".to_owned() } else { versions.join(", ") };
            let detail = format!("runtime {runtime}, isolation {isolation}; its self-test passed; has {has}");
            let passed = Check::ok(format!("tier {tier}"), detail);
            let reached = if egress.is_empty() {
                "they reach nothing on the internet; machine.egress.allow names what they may reach".to_owned()
            } else {
                format!("they reach {}", egress.join(", "))
            };
            let egress = Check::ok(format!("{tier}: egress"), reached);
            [passed, egress].into_iter().chain(layers.into_iter().map(|found| layer(tier, found))).collect()
        }
    })
}

/// Returns the check of one layer of a jail.
fn layer(whose: &str, (name, status): (String, Result<(), String>)) -> Check {
    match status {
        Ok(()) => Check::ok(format!("{whose}: {name}"), "in force"),
        Err(why) => Check::missing(format!("{whose}: {name}"), why, layer_remedy(&name)),
    }
}

/// Returns how to have a layer that is not in force.
fn layer_remedy(name: &str) -> &'static str {
    match name {
        "own users" | "files of the host belong to root" => {
            "the other layers are in force without it; give the server's user a range in /etc/subuid and /etc/subgid, and install \
             newuidmap and newgidmap (Debian: uidmap)"
        }
        "control group" => {
            "the other layers are in force without it; start the server as root, or in a control group that its user may change"
        }
        _ => "the other layers are in force without it; use a newer kernel, or a container that allows it",
    }
}

fn jail(config: &Config) -> Result<Vec<Check>, CliError> {
    Ok(match super::runtime(1)?.block_on(assemble::check_workers(config, terminal::note)) {
        WasmReport::Working { layers } => layers.into_iter().map(|found| layer("jail", found)).collect(),
        WasmReport::Absent(absent) => vec![absent_tier(absent)],
        WasmReport::Failed(error) => {
            let remedy = "`serve` has no WebAssembly tier without workers; `run` does not need them";
            vec![Check::broken("a worker", error.to_string(), remedy)]
        }
    })
}

fn absent_tier(absent: AbsentTier) -> Check {
    let remedy = absent.remedy.unwrap_or_else(|| "see the message".to_owned());
    Check::missing(format!("tier {}", absent.tier), absent.reason, remedy)
}

fn ports(config: &Config) -> Vec<Check> {
    let own = port("port", config.http.listen(), "set another port with `serve --port`");
    let of_executors = config
        .executors
        .listen
        .map(|address| port("executors", address, "set another address with SWITCHTOWER_EXECUTORS_LISTEN"));
    std::iter::once(own).chain(of_executors).collect()
}

fn port(what: &str, address: SocketAddr, other: &str) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok(what, format!("{address} is free")),
        Err(error) => {
            let remedy = format!("a server may be running there; {other}");
            Check::missing(what, format!("{address}: {error}"), remedy)
        }
    }
}
