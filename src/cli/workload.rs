//! `switchtower workload`: runs a file of programs through the whole request path and reports the results.

mod likeness;
mod score;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use switchtower_contract::Program;
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

/// Arguments of `workload`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line of the file is a JSON object with id, category, code, stdin, expected_stdout, expected_error_type and
deterministic; only id and code are required. Programs run one after the other, none from the cache.

An output is equal byte for byte, or equal as numbers: whole numbers are the same, other numbers are within a millionth of
the larger one, and words are the same except for runs of white space. If only the words differ, the text differs.")]
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
        let scores = super::runtime(1)?.block_on(async {
            let assembly = crate::assemble::in_process(&config, &terminal::note)?;
            self.ensure_tier(&assembly.router, &config.limits)?;
            let mut scores = Vec::with_capacity(items.len());
            for item in &items {
                progress(scores.len(), items.len());
                scores.push(self.score(&assembly.router, item, &config.limits).await?);
            }
            progress(items.len(), items.len());
            Ok::<_, CliError>(scores)
        })?;
        let failed: Vec<&Score> = scores.iter().filter(|score| score.failed()).collect();
        if self.json {
            let report = serde_json::json!({ "rows": rows(&scores), "failures": failed });
            terminal::out(&format!("{report:#}\n"));
            return Ok(ExitCode::SUCCESS);
        }
        terminal::out(&table(&rows(&scores)));
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
        Ok(ExitCode::SUCCESS)
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
        let program = Program { stdin: item.stdin.clone(), ..Program::python(&*item.code) };
        let mut request = Request::new(program, request_limits)?;
        request.cache = CacheMode::Bypass;
        request.tier = self.tier();
        request.timeout = self.timeout;
        let started = Instant::now();
        let answer = router.execute(request.checked(request_limits)?, None).await;
        let took = started.elapsed();
        Ok(match answer {
            Ok(answer) => Score::of(item, Some(&answer), None, took),
            Err(error) => Score::of(item, None, Some(error.error.name().to_owned()), took),
        })
    }
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
