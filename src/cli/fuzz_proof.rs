//! `switchtower fuzz-proof`: generates programs that the proof of determinism passes, runs each in two workers and
//! compares the outputs byte for byte.

mod compare;
mod grammar;
mod shrink;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use switchtower_contract::{Limits, Program};
use switchtower_core::analyse::analyse;
use switchtower_core::seed::Seed;

use self::compare::{Comparison, Pair, RunObservation};
use self::grammar::Grammar;
use super::exit::CliError;
use super::input::json_lines;
use super::terminal;
use crate::assemble::IndependentWorkers;
use crate::config::SettingsSource;

/// The number of differences after which it stops: shrinking each one takes long.
const MOST_DIFFERENCES: usize = 20;

/// Arguments of `fuzz-proof`.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs the scientific tier. Each program that the proof passes runs in two native workers with different hash seeds and
memory addresses. Exits with 0 if all outputs agree, else with 1: the programs that differ are shrunk and printed in the
format of tests/proof. The same seed generates the same programs.")]
pub(super) struct FuzzProof {
    /// The number of programs to generate.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    programs: u64,
    /// The seed of the generator.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Take the programs from a workload file instead: one JSON object a line, with `id` and `code`.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["programs", "seed"])]
    workload: Option<PathBuf>,
    /// Also run the programs that the proof refuses, to see which differences the comparison finds.
    #[arg(long, conflicts_with = "list")]
    refused_too: bool,
    /// Print each program with the result of the proof, and run none.
    #[arg(long)]
    list: bool,
}

/// A program split into statements, each of one line or more.
struct Candidate {
    name: String,
    parts: Vec<String>,
    stdin: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    programs: u64,
    proven: u64,
    /// Proven, but ended with an exception, at a time-out or out of memory: such a result is not cached.
    not_cacheable: u64,
    differ: u64,
}

impl FuzzProof {
    pub(super) fn fuzz_proof(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let config = crate::config::load(source)?;
        let programs: Box<dyn Iterator<Item = Candidate>> = match &self.workload {
            Some(file) => Box::new(workload(file)?.into_iter()),
            None => Box::new(generate(self.seed, self.programs)),
        };
        if self.list {
            for program in programs {
                let source = program.parts.concat();
                let verdict = analyse(&as_program(&source, program.stdin.as_ref())).verdict;
                let proof = verdict.reasons.first().map_or("proven", |reason| &reason.text);
                terminal::out(&format!("#: {} ({proof})\n{source}", program.name));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let counts = super::runtime(2)?.block_on(async {
            let workers = IndependentWorkers::start(&config).await?;
            let [one, other] = workers.backends();
            let counts = run(programs, &Pair { one, other }, self.refused_too).await;
            workers.close().await;
            counts
        })?;
        let Counts { programs, proven, not_cacheable, differ } = counts;
        terminal::out(&format!(
            "{programs} programs, {proven} proven, {not_cacheable} of them without a result to cache, {differ} differ\n"
        ));
        Ok(ExitCode::from(u8::from(differ > 0)))
    }
}

async fn run(programs: impl Iterator<Item = Candidate>, pair: &Pair, refused_too: bool) -> Result<Counts, CliError> {
    let mut counts = Counts::default();
    for program in programs {
        counts.programs += 1;
        let source = program.parts.concat();
        let proven = is_proven(&source, program.stdin.as_ref());
        counts.proven += u64::from(proven);
        if !proven && !refused_too {
            continue;
        }
        match pair.run(&as_program(&source, program.stdin.as_ref())).await.map_err(CliError::failed)? {
            Comparison::Same => {}
            Comparison::NotCacheable => counts.not_cacheable += 1,
            Comparison::Differ(..) => {
                counts.differ += 1;
                let differs = async |source: &str| {
                    (refused_too || is_proven(source, program.stdin.as_ref()))
                        && pair.differs(&as_program(source, program.stdin.as_ref()), TRIES).await
                };
                let small = shrink::shrink(program.parts, differs).await;
                print_difference(
                    &program.name,
                    &small,
                    &pair.find_difference(&as_program(&small, program.stdin.as_ref()), TRIES).await,
                );
                if counts.differ as usize >= MOST_DIFFERENCES {
                    terminal::note(&format!("stopped after {MOST_DIFFERENCES} differences"));
                    break;
                }
            }
        }
    }
    Ok(counts)
}

/// The number of paired runs before a program counts as unchanged: two outputs may agree by chance.
const TRIES: usize = 3;

fn is_proven(source: &str, stdin: Option<&String>) -> bool {
    let verdict = analyse(&as_program(source, stdin)).verdict;
    verdict.deterministic && verdict.doubt.is_none()
}

fn as_program(source: &str, stdin: Option<&String>) -> Program {
    Program { stdin: stdin.cloned(), ..Program::python(source) }
}

fn limits() -> Limits {
    Limits { wall: std::time::Duration::from_secs(10), ..Limits::default() }
}

fn print_difference(name: &str, source: &str, observation: &Option<(RunObservation, RunObservation)>) {
    let mut text = format!("#: {name}\n{source}");
    if let Some((one, other)) = observation {
        text += &format!("# one worker: {one:?}\n# the other:  {other:?}\n");
    }
    terminal::out(&text);
}

fn generate(seed: u64, count: u64) -> impl Iterator<Item = Candidate> {
    let grammar = Grammar::built_in();
    (0..count).map(move |number| {
        let mut rng = Seed::fixed(seed).fork(&format!("program {number}")).rng();
        let parts = grammar.program(&mut rng, |source| is_proven(source, None));
        Candidate { name: format!("seed {seed}, program {number}"), parts, stdin: None }
    })
}

#[derive(serde::Deserialize)]
struct Item {
    id: String,
    code: String,
    stdin: Option<String>,
}

fn workload(file: &Path) -> Result<Vec<Candidate>, CliError> {
    let items: Vec<Item> = json_lines(file)?;
    let candidate = |item: Item| Candidate { name: item.id, parts: shrink::parts(&item.code), stdin: item.stdin };
    Ok(items.into_iter().map(candidate).collect())
}
