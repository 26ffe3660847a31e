//! `switchtower run`: one program, here, now.

use std::path::Path;
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
    /// Wall time until the answer: the program's own, all tiers together, and every wait before it.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Memory that the program may take.
    #[arg(long, value_name = "MB")]
    memory_mb: Option<u64>,
    /// Run in this tier only.
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// The weakest wall that is accepted: process, wasm or micro_vm.
    #[arg(long, value_name = "LEVEL")]
    isolation: Option<Isolation>,
    /// Print the whole answer as JSON instead of the program's output.
    #[arg(long)]
    json: bool,
    /// First say, on standard error, where it will run and why, line by line.
    #[arg(short = 'v', long, visible_alias = "verbose")]
    explain: bool,
    /// Nothing of ours on standard error while all goes well.
    #[arg(short, long, conflicts_with = "explain")]
    quiet: bool,
}

/// How much longer than its program a sandbox lives: for what goes before, and after.
const BEYOND: Duration = Duration::from_secs(120);
/// Longest that ending it is waited for.
const CLOSING: Duration = Duration::from_secs(15);
/// How long is waited for that where the time-out has passed.
const LAST: Duration = Duration::from_millis(100);

impl Run {
    pub(super) fn run(&self, file: Option<&Path>) -> Result<ExitCode, CliError> {
        let mut config = crate::config::load(file, serde_json::json!({}))?;
        let mut request = Request::new(self.inputs.program(&self.source)?, &config.limits)?;
        request.tier = self.tier.as_deref().filter(|name| *name != "auto").map(TierName::from);
        request.isolation = self.isolation;
        // One program in one process: there is nothing to take from, and nobody to give to.
        request.cache = CacheMode::Bypass;
        request.timeout = self.timeout.unwrap_or(request.timeout);
        request.memory = self.memory_mb.map(|megabytes| megabytes.saturating_mul(1 << 20));
        let request = request.checked(&config.limits)?;
        for cloud in config.clouds.0.values_mut() {
            // A sandbox that outlives this command, whatever becomes of it, does so for no longer than it needs to.
            let account = &mut cloud.account;
            account.lifetime = account.lifetime.min(request.timeout.saturating_add(BEYOND));
        }
        let lifetime = config.clouds.0.values().map(|cloud| cloud.account.lifetime).max().unwrap_or_default();
        let runtime = super::runtime(1)?;
        let ended = runtime.block_on(async {
            let assembly = crate::assemble::in_process(&config, &terminal::note)?;
            if self.explain {
                terminal::err(&explain::text(&self.source.name(), &assembly.router.explain(&request)));
            }
            let deadline = Instant::now() + request.timeout;
            let running = self.answered(&assembly.router, request);
            let done = tokio::select! {
                done = running => done,
                _ = tokio::signal::ctrl_c() => {
                    Err(CliError { code: INTERRUPTED, message: "interrupted; the program was ended".to_owned() })
                }
            };
            // A cloud sandbox that ran it is ended before we leave, within the time that was given; and where that is over, the
            // call that ends it is sent at least.
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
        // A host's name that is still being looked up is not waited for.
        runtime.shutdown_background();
        ended
    }

    async fn answered(&self, router: &Arc<Router>, request: Request) -> Result<ExitCode, CliError> {
        let timeout = request.timeout;
        let answer = if self.json {
            let answer = router.execute(request, None).await?;
            let text = serde_json::to_string_pretty(&AnswerBody::whole(&answer))
                .map_err(|e| CliError::failed(e.to_string()))?;
            terminal::out(&format!("{text}\n"));
            answer
        } else {
            let answer = live(router, request).await?;
            if let Some(end) = own_end(answer.outcome.exit, timeout) {
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
        // The kernel keeps eight bits of an exit code; so does every shell.
        Ok(ExitCode::from((answer.outcome.exit.code() & 0xff) as u8))
    }
}

/// Runs it and shows what it says as it says it.
async fn live(router: &Router, request: Request) -> Result<Answer, CliError> {
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
        Event::Restart => terminal::note("another tier took over: the output starts again"),
    }
}

/// A value as a REPL shows it; one that has no text is named by its types.
fn shown(data: &MimeBundle) -> String {
    match data.get("text/plain") {
        Some(text) => format!("{text}\n"),
        None => format!("<{}>\n", data.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn own_end(exit: Exit, timeout: Duration) -> Option<String> {
    match exit {
        Exit::Finished(_) | Exit::Raised => None,
        Exit::TimedOut => Some(format!("the program was ended: it took longer than {}", rounded(timeout))),
        Exit::OutOfMemory => Some("the program was ended: it took more memory than it may".to_owned()),
        Exit::Killed => Some("the program destroyed its own interpreter".to_owned()),
    }
}

/// One line: where it ran, how long, why there.
fn where_and_why(answer: &Answer) -> String {
    let decision = &answer.decision;
    let mut line = format!("ran in {}, {:.1} ms", answer.tier, millis(answer.outcome.usage.wall));
    for attempt in answer.attempts.iter().filter(|attempt| attempt.tier != answer.tier) {
        line.push_str(&format!(", after {}: {}", attempt.tier, attempt.detail.as_deref().unwrap_or(&attempt.outcome)));
    }
    format!("{line} ({}: {})", decision.class.name(), decision.reason)
}
