//! `switchtower fuzz-proof`: programs that the proof of determinism passes, run in two workers, and held against each
//! other byte for byte.

mod compare;
mod grammar;
mod shrink;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use switchtower_contract::{Limits, Program};
use switchtower_core::analyse::analyse;
use switchtower_core::seed::Seed;

use self::compare::{Comparison, Observation, Pair};
use self::grammar::Grammar;
use super::exit::CliError;
use super::terminal;
use crate::assemble::IndependentWorkers;

/// Differences after which it stops: each is shrunk, which takes its time.
const MOST_DIFFERENCES: usize = 20;

/// Arguments of `fuzz-proof`.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs the scientific tier. Each program that the proof passes runs in two native workers, which have other hash seeds and
other addresses. Ends with 0 where all agree, with 1 where any differs: those are printed, shrunk, in the form of
tests/proof. The same seed makes the same programs.")]
pub(super) struct FuzzProof {
    /// How many programs to make.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    programs: u64,
    /// What they are made from.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Take the programs from a workload file instead: one JSON object a line, with `id` and `code`.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["programs", "seed"])]
    workload: Option<PathBuf>,
    /// Run those too that the proof refuses: what differs then shows what the comparison sees.
    #[arg(long, conflicts_with = "list")]
    refused_too: bool,
    /// Print the programs and what the proof says of each, and run none.
    #[arg(long)]
    list: bool,
}

/// A program by its parts: statements, each of one line or more.
struct Named {
    name: String,
    parts: Vec<String>,
    stdin: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    programs: u64,
    proven: u64,
    /// Proven, and ended with an exception, a deadline, too much memory: nothing is kept of those.
    not_kept: u64,
    differ: u64,
}

impl FuzzProof {
    pub(super) fn fuzz_proof(&self, file: Option<&Path>) -> Result<ExitCode, CliError> {
        let config = crate::config::load(file, serde_json::json!({}))?;
        let programs: Box<dyn Iterator<Item = Named>> = match &self.workload {
            Some(file) => Box::new(workload(file)?.into_iter()),
            None => Box::new(made(self.seed, self.programs)),
        };
        if self.list {
            for program in programs {
                let source = program.parts.concat();
                let verdict = analyse(&given(&source, program.stdin.as_ref())).verdict;
                let says = verdict.reasons.first().map_or("proven", |reason| &reason.text);
                terminal::out(&format!("#: {} ({says})\n{source}", program.name));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let counts = super::runtime(2)?.block_on(async {
            let witnesses = IndependentWorkers::start(&config).await?;
            let [one, other] = witnesses.backends();
            let counts = run(programs, &Pair { one, other }, self.refused_too).await;
            witnesses.close().await;
            counts
        })?;
        let Counts { programs, proven, not_kept, differ } = counts;
        terminal::out(&format!("{programs} programs, {proven} proven, {not_kept} of them not kept, {differ} differ\n"));
        Ok(ExitCode::from(u8::from(differ > 0)))
    }
}

async fn run(programs: impl Iterator<Item = Named>, pair: &Pair, refused_too: bool) -> Result<Counts, CliError> {
    let mut counts = Counts::default();
    for program in programs {
        counts.programs += 1;
        let source = program.parts.concat();
        let proven = is_proven(&source, program.stdin.as_ref());
        counts.proven += u64::from(proven);
        if !proven && !refused_too {
            continue;
        }
        match pair.run(&given(&source, program.stdin.as_ref())).await.map_err(CliError::failed)? {
            Comparison::Same => {}
            Comparison::NotKept => counts.not_kept += 1,
            Comparison::Differ(..) => {
                counts.differ += 1;
                let differs = async |source: &str| {
                    (refused_too || is_proven(source, program.stdin.as_ref()))
                        && pair.differs(&given(source, program.stdin.as_ref()), TRIES).await
                };
                let small = shrink::shrink(program.parts, differs).await;
                tell(&program.name, &small, &pair.show(&given(&small, program.stdin.as_ref()), TRIES).await);
                if counts.differ as usize >= MOST_DIFFERENCES {
                    terminal::note("enough is found");
                    break;
                }
            }
        }
    }
    Ok(counts)
}

/// How often a program is run twice before it counts as the same: what differs may agree by chance.
const TRIES: usize = 3;

fn is_proven(source: &str, stdin: Option<&String>) -> bool {
    let verdict = analyse(&given(source, stdin)).verdict;
    verdict.deterministic && verdict.doubt.is_none()
}

fn given(source: &str, stdin: Option<&String>) -> Program {
    Program { stdin: stdin.cloned(), ..Program::python(source) }
}

fn limits() -> Limits {
    Limits { wall: std::time::Duration::from_secs(10), ..Limits::default() }
}

fn tell(name: &str, source: &str, observation: &Option<(Observation, Observation)>) {
    let mut text = format!("#: {name}\n{source}");
    if let Some((one, other)) = observation {
        text += &format!("# one worker: {one:?}\n# the other:  {other:?}\n");
    }
    terminal::out(&text);
}

fn made(seed: u64, count: u64) -> impl Iterator<Item = Named> {
    let grammar = Grammar::known();
    (0..count).map(move |number| {
        let mut chance = Seed::fixed(seed).fork(&format!("program {number}")).rng();
        let parts = grammar.program(&mut chance, |source| is_proven(source, None));
        Named { name: format!("seed {seed}, program {number}"), parts, stdin: None }
    })
}

#[derive(serde::Deserialize)]
struct Item {
    id: String,
    code: String,
    stdin: Option<String>,
}

fn workload(file: &Path) -> Result<Vec<Named>, CliError> {
    let name = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| CliError::usage(format!("cannot read {name}: {error}")))?;
    let item = |(line, number): (&str, usize)| {
        let item: Item =
            serde_json::from_str(line).map_err(|error| CliError::usage(format!("{name}, line {number}: {error}")))?;
        Ok(Named { name: item.id, parts: shrink::parts(&item.code), stdin: item.stdin })
    };
    text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()).map(item).collect()
}
