//! The worker of the scientific tier: one thread that embeds CPython, enters its jail, imports the packages once and forks a
//! jailed child for every program.
//!
//! It never runs a program itself: it reads bytes from its children, and learns from the kernel how a child ended. A program
//! can therefore forge only its own output.

mod audit_hook;
mod child;
mod child_main;
mod child_protocol;
mod cleanup;
mod commands;
mod connection;
mod huge_pages;
mod interpreter;
mod outcome;
mod pipes;
mod proc_table;
mod python_schema;
mod supervise;
mod zygote;

use std::process::ExitCode;

use switchtower_jail::{Jail, JailConfig};
use switchtower_native::worker_config::WorkerConfig;
use switchtower_worker::child::Parent;
use switchtower_worker::jail::Layer;
use switchtower_worker::protocol::{PROTOCOL, VERSION};
use switchtower_worker::signals;

use interpreter::Interpreter;
use proc_table::ProcTable;
use zygote::Zygote;

// Without mounts, `/tmp` and `/home/user` are translated to private folders.
switchtower_jail::interpose!();

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(switchtower_native::cleanup::ARGUMENT) => return cleanup::run(arguments.next().as_deref()),
        // For the installer, which writes it into the manifest.
        Some("protocol") => {
            println!("{}", serde_json::json!({ "protocol": PROTOCOL, "version": VERSION }));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // First of all: before this call, the process may outlive its parent.
    let parent = match Parent::connect() {
        Ok(parent) => parent,
        Err(error) => {
            eprintln!("this is the worker of switchtower's scientific tier; switchtower starts it: {error}");
            return ExitCode::from(2);
        }
    };
    let Some(config) = std::env::args().nth(1).and_then(|json| serde_json::from_str::<WorkerConfig>(&json).ok()) else {
        eprintln!("{}", parent.fail("its configuration cannot be read".to_owned()));
        return ExitCode::from(2);
    };
    match work(&config) {
        Ok((zygote, layers)) => match zygote.serve(parent.ready(layers)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Err(reason) => {
            eprintln!("{}", parent.fail(reason));
            ExitCode::FAILURE
        }
    }
}

fn work(config: &WorkerConfig) -> Result<(Zygote, Vec<Layer>), String> {
    ignore_interrupts();
    reset_fault_handlers();
    let processes = ProcTable::open().map_err(|error| format!("/proc: {error}"))?;
    let jail = Jail::enter(&jail(config)).map_err(|error| error.to_string())?;
    let interpreter = Interpreter::start(config)?;
    // Not before: Python remembers what it found at its start, and programs see that.
    signals::ignore_ending();
    let threads = processes.threads().map_err(|error| format!("the threads cannot be counted: {error}"))?;
    if threads != 1 {
        return Err(format!("a package started threads ({threads} run): forking would break them"));
    }
    jail.check_no_shared_memory().map_err(|error| error.to_string())?;
    let layers = jail.layers();
    Ok((Zygote::new(jail, interpreter, processes, config), layers))
}

fn jail(config: &WorkerConfig) -> JailConfig {
    JailConfig {
        profile: config.profile,
        readable: config.readable.clone(),
        scratch: config.scratch.clone(),
        scratch_bytes: config.scratch_bytes,
        scratch_entries: config.scratch_entries,
        threads: config.threads,
        descriptors: DESCRIPTORS,
        memory_total: config.memory_total,
        threads_total: config.threads_total,
    }
}

/// Most descriptors of a program.
const DESCRIPTORS: u64 = 256;

/// Ignores the interrupt of a terminal, which the parent handles.
#[allow(unsafe_code, reason = "signal has no safe wrapper in std")]
fn ignore_interrupts() {
    // SAFETY: no handler is given, and no other thread runs.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
}

/// Removes Rust's handlers, which would report a stack overflow of a program as one of the worker.
#[allow(unsafe_code, reason = "signal has no safe wrapper in std")]
fn reset_fault_handlers() {
    // SAFETY: no handler is given, and no other thread runs.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
    }
}
