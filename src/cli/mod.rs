//! The command line: parses arguments, runs a command, returns its exit code.

#[cfg(not(all(feature = "e2b", feature = "fake", feature = "machine")))]
mod absent;
mod bench;
mod breaker;
mod cache;
mod checklist;
mod checks;
mod descriptors;
mod doctor;
mod executors;
mod exit;
mod explain;
#[cfg(feature = "fake")]
mod fake;
mod fuzz_proof;
mod input;
#[cfg(feature = "machine")]
mod machine;
#[cfg(feature = "e2b")]
mod operator;
#[cfg(not(feature = "e2b"))]
#[path = "operator_absent.rs"]
mod operator;
mod references;
mod rules;
mod run;
mod serve;
mod settings;
mod source_encoding;
#[cfg(feature = "e2b")]
mod template;
mod terminal;
mod workload;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, SettingsSource};
#[cfg(not(feature = "fake"))]
use absent::Absent as FakeE2b;
#[cfg(not(feature = "machine"))]
use absent::Absent as Machine;
#[cfg(not(feature = "e2b"))]
use absent::Absent as Template;
#[cfg(feature = "fake")]
use fake::FakeE2b;
#[cfg(feature = "machine")]
use machine::Machine;
#[cfg(feature = "e2b")]
use template::Template;

pub use exit::CliError;

/// Runs code that AI agents write where it is cheapest to run safely.
#[derive(Debug, Parser)]
#[command(name = "switchtower", version, about, after_help = AFTER, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    source: SettingsSource,
}

const AFTER: &str = "\
Exit codes:
  0 … 255  `run` returns the program's exit code: its own, 1 after an exception, 124 after its time-out,
           137 when it exceeded its memory limit or destroyed its interpreter
  2        an argument, a setting or an input is wrong; nothing ran
  125      Switchtower itself failed; standard error has the reason
  126      no tier may run this program
  130      interrupted
Switchtower's own error messages begin with `switchtower:`; `run --json` shows whether the program or Switchtower failed.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a program from this process, in a fresh sandbox, and show its output as it is printed.
    Run(run::Run),
    /// Serve requests over HTTP.
    Serve(serve::Serve),
    /// Explain where a program would run and why, signal by signal. Runs nothing.
    Explain(explain::Explain),
    /// Check routing rules, or run their test cases.
    Rules(rules::Rules),
    /// Check everything that is needed to run programs, and print how to fix what is missing.
    Doctor(doctor::Doctor),
    /// Run a file of programs and report the results per category.
    Workload(workload::Workload),
    /// Measure a load against the stand-in for E2B, or fairness between callers.
    Bench(bench::Bench),
    /// Show or check the template that the cloud tier expects: its tag, its files, and whether the cloud has it.
    Template(Template),
    /// Import, list or remove root file systems for local machines.
    Machine(Machine),
    /// Show the circuit breakers of a running server, or close one.
    Breaker(breaker::Breaker),
    /// Show the counts and bars of a running server's result cache, or lift the bars.
    Cache(cache::Cache),
    /// Start a stand-in for E2B on loopback: the same protocol, a plan's limits, latencies, faults.
    FakeE2b(FakeE2b),
    /// Search for programs that the proof of determinism passes although their runs differ; for developers.
    #[command(hide = true)]
    FuzzProof(fuzz_proof::FuzzProof),
    /// Print the settings in force, with keys masked, or check them before a deployment.
    Config(settings::Show),
    /// Print the version.
    Version,
    /// Run as a jailed worker process; `serve` starts it.
    #[command(hide = true)]
    Worker { python: PathBuf, javascript: PathBuf, prewarmed: usize, kernels: usize },
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let done = Cli::try_parse().map_or_else(|message| Ok(print(&message)), run);
    let done = done.and_then(|code| match terminal::output_error() {
        None => Ok(code),
        Some(error) => Err(CliError::failed(format!("cannot write to standard output: {error}"))),
    });
    done.unwrap_or_else(|error| {
        terminal::note(&error.message);
        ExitCode::from(error.code)
    })
}

/// Prints the help, the version or what is wrong with the arguments, and returns the exit code.
fn print(message: &clap::Error) -> ExitCode {
    let printed = message.print().and_then(|()| std::io::stdout().flush());
    if !message.use_stderr() {
        terminal::record_output(printed);
    }
    ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(exit::USAGE))
}

fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let source = &cli.source;
    match cli.command {
        Command::Run(run) => run.run(source),
        Command::Serve(serve) => serve.serve(source),
        Command::Explain(explain) => explain.explain(source),
        Command::Rules(rules) => rules.rules(source),
        Command::Doctor(doctor) => doctor.doctor(source),
        Command::Workload(workload) => workload.workload(source),
        Command::Bench(bench) => bench.bench(source),
        #[cfg(feature = "e2b")]
        Command::Template(template) => template.template(source),
        #[cfg(not(feature = "e2b"))]
        Command::Template(template) => template.refuse("the cloud tiers", "the Cargo feature `e2b`"),
        #[cfg(feature = "machine")]
        Command::Machine(machine) => machine.machine(source),
        #[cfg(not(feature = "machine"))]
        Command::Machine(machine) => machine.refuse("local machines", "the Cargo feature `machine`"),
        Command::Breaker(breaker) => breaker.breaker(source),
        Command::Cache(cache) => cache.cache(source),
        #[cfg(feature = "fake")]
        Command::FakeE2b(fake) => fake.serve(),
        #[cfg(not(feature = "fake"))]
        Command::FakeE2b(fake) => fake.refuse("the stand-in for E2B", "the Cargo feature `fake`"),
        Command::FuzzProof(fuzz) => fuzz.fuzz_proof(source),
        Command::Config(show) => show.show(source),
        Command::Version => {
            terminal::out(&format!("switchtower {}\n", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
        Command::Worker { python, javascript, prewarmed, kernels } => {
            crate::assemble::run_worker(&python, &javascript, prewarmed, kernels)
                .map(|()| ExitCode::SUCCESS)
                .map_err(CliError::from)
        }
    }
}

/// Returns a runtime with this many worker threads; 0: one per core.
fn runtime(threads: usize) -> Result<Runtime, CliError> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().map_err(|error| CliError::failed(format!("cannot start a runtime: {error}")))
}

/// Sends the log to standard error.
fn log(config: &Log) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| CliError::usage(format!("log.filter {:?}: {error}", config.filter)))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
