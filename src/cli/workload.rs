//! `switchtower workload`: runs a file of programs through the whole request path and reports the results.

mod likeness;
mod score;
mod share;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use switchtower_contract::{Location, Program};
use switchtower_core::request::{CacheMode, Request, RequestLimits};
use switchtower_core::route::TierName;
use switchtower_core::router::Router;
use tokio::time::Instant;

use super::exit::CliError;
use super::input::json_lines;
use super::terminal;
use crate::config::SettingsSource;
use likeness::Likeness;
use score::{Item, Score, rows, table};
use share::{Mixes, ShareRow};

/// Arguments of `workload`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line of the file is a JSON object with id, category, code, stdin, expected_stdout, expected_error_type and
deterministic; only id and code are required. Programs run one after the other, none from the cache.

An output is equal byte for byte, or equal as numbers: whole numbers are the same, other numbers are within a millionth of
the larger one, and words are the same except for runs of white space. If only the words differ, the text differs.

With --mix, a second table has the share of each category and mix that was routed to a tier of this machine (decided
before the run), that one of these tiers answered (a program that moves on is the next tier's), and that it answered with
the expected output and end. The file is a JSON object with weights: by the mix's name, the weight of each category.")]
pub(super) struct Workload {
    /// The programs, one JSON object a line.
    #[arg(value_name = "FILE.jsonl")]
    file: PathBuf,
    /// The time-out of each program, wall time.
    #[arg(long, value_name = "TIME", value_parser = switchtower_contract::duration::parse, default_value = "30s")]
    timeout: Duration,
    /// Run only this category; may be given more than once.
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// Run all programs in this tier only.
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// Print the share that stays on this machine, by category and by the mixes of this file.
    #[arg(long, value_name = "FILE.json")]
    mix: Option<PathBuf>,
    /// Only decide: run nothing, and reach no cloud. Prints what --mix prints, without what runs show.
    #[arg(long, requires = "mix", conflicts_with = "failures")]
    decide: bool,
    /// Print rows and failures as JSON.
    #[arg(long)]
    json: bool,
    /// List every program whose result is not as expected.
    #[arg(long)]
    failures: bool,
}

impl Workload {
    pub(super) fn workload(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let config = crate::config::load(source)?;
        let items = self.items()?;
        let mixes = self.mix.as_deref().map(|path| Mixes::read(path, &items)).transpose()?;
        let scores = super::runtime(1)?.block_on(async {
            let assembly = crate::assemble::in_process_with_machines(&config, &terminal::note).await?;
            self.ensure_tier(&assembly.router, &config.limits)?;
            let mut scores = Vec::with_capacity(items.len());
            for item in &items {
                progress(scores.len(), items.len());
                scores.push(self.score(&assembly.router, item, &config.limits).await?);
            }
            progress(items.len(), items.len());
            Ok::<_, CliError>(scores)
        })?;
        self.report(&scores, mixes.map(|mixes| share::rows(&scores, &mixes)));
        Ok(ExitCode::SUCCESS)
    }

    /// Prints the tables.
    fn report(&self, scores: &[Score], shares: Option<Vec<ShareRow>>) {
        let failed: Vec<&Score> = scores.iter().filter(|score| score.failed()).collect();
        if self.json {
            let mut report = serde_json::json!({});
            if !self.decide {
                report = serde_json::json!({ "rows": rows(scores), "failures": failed });
            }
            if let Some(shares) = shares {
                report["shares"] = serde_json::json!(shares);
            }
            return terminal::out(&format!("{report:#}\n"));
        }
        let results = (!self.decide).then(|| table(&rows(scores)));
        let tables: Vec<String> = results.into_iter().chain(shares.map(|shares| share::table(&shares))).collect();
        terminal::out(&tables.join("\n"));
        for score in failed.iter().filter(|_| self.failures) {
            let output = match score.output {
                None => "output not compared",
                Some(Likeness::Equal | Likeness::Close) => "output as expected",
                Some(Likeness::TextDiffers) => "text differs",
                Some(Likeness::Wrong) => "output differs",
            };
            let error = score.error.as_deref().unwrap_or("no error");
            terminal::out(&format!("{}: {output}, ended with {error}\n", score.id));
        }
    }

    fn items(&self) -> Result<Vec<Item>, CliError> {
        let name = self.file.display();
        let mut items: Vec<Item> = json_lines(&self.file)?;
        let categories: BTreeSet<&str> = items.iter().map(|item| item.category.as_str()).collect();
        if let Some(unknown) = self.category.iter().find(|category| !categories.contains(category.as_str())) {
            let named: Vec<&str> = categories.into_iter().filter(|category| !category.is_empty()).collect();
            let known = match named.as_slice() {
                [] => "its programs have no `category`".to_owned(),
                named => format!("its categories are {}", named.join(", ")),
            };
            return Err(CliError::usage(format!("there is no category {unknown} in {name}; {known}")));
        }
        items.retain(|item| self.category.is_empty() || self.category.contains(&item.category));
        Ok(items)
    }

    fn tier(&self) -> Option<TierName> {
        self.tier.as_deref().filter(|name| *name != "auto").map(TierName::from)
    }

    /// Returns an error if the tier is absent, since it would fail every program.
    fn ensure_tier(&self, router: &Router, request_limits: &RequestLimits) -> Result<(), CliError> {
        let mut request = Request::new(Program::python(""), request_limits)?;
        request.tier = self.tier();
        router.explain(&request).decision?;
        Ok(())
    }

    async fn score(&self, router: &Router, item: &Item, request_limits: &RequestLimits) -> Result<Score, CliError> {
        let program = Program { stdin: item.stdin.clone(), ..Program::new(item.language, &*item.code) };
        let mut request = Request::new(program, request_limits)?;
        request.cache = CacheMode::Bypass;
        request.tier = self.tier();
        request.timeout = self.timeout;
        let request = request.checked(request_limits)?;
        // The same decision as that of the run, which has none where it is refused.
        let decision = router.explain(&request).decision.ok();
        let first = decision.as_ref().and_then(|decision| decision.route.tiers().next());
        let routed_here = first.is_some_and(|tier| is_here(router, tier));
        if self.decide {
            return Ok(Score { routed_here, ..Score::of(item, None, None, Duration::ZERO) });
        }
        let started = Instant::now();
        let answer = router.execute(request, None).await;
        let took = started.elapsed();
        let mut score = match &answer {
            Ok(answer) => Score::of(item, Some(answer), None, took),
            Err(error) => Score::of(item, None, Some(error.error.name().to_owned()), took),
        };
        score.routed_here = routed_here;
        score.answered_here = Some(answer.is_ok_and(|answer| is_here(router, &answer.tier)));
        Ok(score)
    }
}

/// Returns whether the sandboxes of a tier are on this machine.
fn is_here(router: &Router, tier: &TierName) -> bool {
    router.tiers().get(tier).is_some_and(|tier| tier.offer().location == Location::Local)
}

/// Shows a progress bar, on a terminal only.
fn progress(done: usize, of: usize) {
    const WIDTH: usize = 40;
    if !std::io::stderr().is_terminal() {
        return;
    }
    let full = (WIDTH * done).checked_div(of).unwrap_or(WIDTH);
    let end = if done == of { "\n" } else { "" };
    terminal::err(&format!("\r[{}{}] {done}/{of}{end}", "=".repeat(full), " ".repeat(WIDTH - full)));
}
