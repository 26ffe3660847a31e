//! `switchtower run`: runs one program from this process.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use switchtower_contract::{Event, Events, Exit, Isolation, MimeBundle, rounded};
use switchtower_core::request::{CacheMode, Request};
use switchtower_core::route::TierName;
use switchtower_core::router::{Answer, Router};
use switchtower_server::api::AnswerBody;
use switchtower_server::service::millis;
use tokio::time::{Instant, timeout};

use super::exit::{CliError, INTERRUPTED};
use super::input::{Inputs, Source};
use super::{explain, terminal};
use crate::config::SettingsSource;

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  switchtower run examples/loan.py
  switchtower run -c 'sum(range(1000))'
  switchtower run --stdin examples/weather.csv examples/weather.py
  switchtower run --deterministic --seed 7 -c 'import random; random.random()'")]
pub(super) struct Run {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    inputs: Inputs,
    /// Wall time until the answer: the program's own in all tiers together, and every wait before it.
    #[arg(long, value_name = "TIME", value_parser = switchtower_contract::duration::parse)]
    timeout: Option<Duration>,
    /// Memory that the program may use.
    #[arg(long, value_name = "MB")]
    memory_mb: Option<u64>,
    /// Run in this tier only.
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// The weakest isolation level that is accepted: process, container, gvisor, wasm or micro_vm.
    #[arg(long, value_name = "LEVEL")]
    isolation: Option<Isolation>,
    /// Print the whole answer as JSON instead of the program's output.
    #[arg(long)]
    json: bool,
    /// First explain on standard error where the program will run and why, signal by signal.
    #[arg(short = 'v', long, visible_alias = "verbose")]
    explain: bool,
    /// Do not print on standard error where the program ran and why.
    #[arg(short, long, conflicts_with = "explain")]
    quiet: bool,
}

/// Time added to the time-out for the lifetime of a cloud sandbox: for the steps before and after the program.
const BEYOND: Duration = Duration::from_secs(120);
/// The longest time to wait for the end of a cloud sandbox.
const CLOSING: Duration = Duration::from_secs(15);
/// The time to wait for it after the request's time-out has passed.
const LAST: Duration = Duration::from_millis(100);

impl Run {
    pub(super) fn run(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let mut config = crate::config::load(source)?;
        let mut request = Request::new(self.inputs.program(&self.source, &config.limits)?, &config.limits)?;
        request.tier = self.tier.as_deref().filter(|name| *name != "auto").map(TierName::from);
        request.isolation = self.isolation;
        // The cache of a process that runs one program has no use.
        request.cache = CacheMode::Bypass;
        request.timeout = self.timeout.unwrap_or(request.timeout);
        request.memory = self.memory_mb.map(|megabytes| megabytes.saturating_mul(1 << 20));
        let request = request.checked(&config.limits)?;
        // Bounds the lifetime of a sandbox that outlives this command, for example because it was killed.
        let lifetime = config.clouds.limit_lifetimes(request.timeout.saturating_add(BEYOND));
        let runtime = super::runtime(1)?;
        let ended = runtime.block_on(async {
            let assembly = crate::assemble::in_process(&config, &terminal::note)?;
            if self.explain {
                terminal::err(&explain::text(&self.source.name(), &assembly.router.explain(&request)));
            }
            let deadline = Instant::now() + request.timeout;
            let running = self.print_answer(&assembly.router, request);
            let done = tokio::select! {
                done = running => done,
                _ = tokio::signal::ctrl_c() => {
                    Err(CliError { code: INTERRUPTED, message: "interrupted; the program was ended".to_owned() })
                }
            };
            // Ends the cloud sandbox that ran the program, within the rest of the time-out; if none is left, at least
            // the call is sent.
            let left = deadline.saturating_duration_since(Instant::now()).clamp(LAST, CLOSING);
            if !timeout(left + LAST / 2, assembly.close_within(left)).await.unwrap_or(false) {
                terminal::note(&format!(
                    "the cloud did not confirm that its sandbox has ended: the next sweep of a `switchtower serve` with this \
                     account ends it, or its lifetime does within {}",
                    rounded(lifetime)
                ));
            }
            done
        });
        // Does not wait for pending host name look-ups.
        runtime.shutdown_background();
        ended
    }

    async fn print_answer(&self, router: &Arc<Router>, request: Request) -> Result<ExitCode, CliError> {
        let timeout = request.timeout;
        let answer = if self.json {
            let answer = router.execute(request, None).await?;
            let text = serde_json::to_string_pretty(&AnswerBody::whole(&answer))
                .map_err(|e| CliError::failed(e.to_string()))?;
            terminal::out(&format!("{text}\n"));
            answer
        } else {
            let answer = run_live(router, request).await?;
            if let Some(end) = end_note(answer.outcome.exit, timeout) {
                terminal::note(&end);
            }
            if answer.outcome.truncated {
                terminal::note("the output was cut at its limit");
            }
            if let Some(note) = &answer.note {
                terminal::note(note);
            }
            if !self.quiet {
                terminal::note(&where_and_why(&answer));
            }
            answer
        };
        // An exit code has eight bits.
        Ok(ExitCode::from((answer.outcome.exit.code() & 0xff) as u8))
    }
}

/// Runs a program and shows its output as it is printed.
async fn run_live(router: &Router, request: Request) -> Result<Answer, CliError> {
    let (to, mut events) = Events::channel();
    let mut running = std::pin::pin!(router.execute(request, Some(to)));
    let answer = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => show(event),
            answer = &mut running => break answer,
        }
    };
    while let Ok(event) = events.try_recv() {
        show(event);
    }
    Ok(answer?)
}

fn show(event: Event) {
    match event {
        Event::Stdout(text) => terminal::out(&text),
        Event::Stderr(text) => terminal::err(&text),
        Event::Result { data, .. } => terminal::out(&shown(&data)),
        Event::Error(failure) => terminal::err(&format!("{}\n", failure.traceback.trim_end())),
        Event::Restart => terminal::note("the program runs again in another tier: its output starts anew"),
    }
}

/// Returns a value as a REPL shows it; for one without text, its media types.
fn shown(data: &MimeBundle) -> String {
    match data.get("text/plain") {
        Some(text) => format!("{text}\n"),
        None => format!("<{}>\n", data.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn end_note(exit: Exit, timeout: Duration) -> Option<String> {
    match exit {
        Exit::Finished(_) | Exit::Raised => None,
        Exit::TimedOut => Some(format!("the program was ended: it took longer than {}", rounded(timeout))),
        Exit::OutOfMemory => Some("the program was ended: it exceeded its memory limit".to_owned()),
        Exit::Killed => Some("the program was ended by a signal, or destroyed its own interpreter".to_owned()),
    }
}

/// Returns one line: the tier, the time, and the reason for the tier.
fn where_and_why(answer: &Answer) -> String {
    let decision = &answer.decision;
    let mut line = format!("ran in {}, {:.1} ms", answer.tier, millis(answer.outcome.usage.wall));
    for attempt in answer.attempts.iter().filter(|attempt| attempt.tier != answer.tier) {
        line.push_str(&format!(", after {}: {}", attempt.tier, attempt.detail.as_deref().unwrap_or(&attempt.outcome)));
    }
    format!("{line} ({}: {})", decision.class.name(), decision.reason)
}
