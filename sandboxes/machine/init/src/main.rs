//! `switchtower-init`: the first process of a local machine.
//!
//! | subcommand | where it runs |
//! |---|---|
//! | `launch CONFIG` | outside: starts the container, and waits for its end. Its standard input is the machine's socket, and its standard output gets a report |
//! | (named `sudo`) | inside: has the first process run a command as another user |
//! | `processes` | inside: prints the number of processes that are neither the first one nor kernels |
//! | `self-test` | inside: tries what the machine's root must not be able to do |
//! | `serve` | inside of the machine, as its first process: reaps orphans, and serves processes, files and ports over an inherited socket or connection |
//!
//! It runs in roots of other systems, so it is linked statically:
//!
//! ```sh
//! RUSTFLAGS='-C target-feature=+crt-static' cargo build -p switchtower-machine-init --profile machine-init \
//!     --target x86_64-unknown-linux-gnu --target-dir target/init
//! ```

mod launch;
mod processes;
mod self_test;
mod serve;
mod sudo;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    // Machines have this program under another name.
    if args.next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "sudo")) {
        return sudo::run(args);
    }
    let ran = match args.next().as_deref().and_then(|name| name.to_str()) {
        Some("launch") => return launch::run(args),
        Some("processes") => return processes::run(),
        Some("self-test") => return self_test::run(),
        Some("serve") => serve::run(args),
        _ => Err("write a subcommand: launch, processes, self-test or serve".to_owned()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("switchtower-init: {message}");
            ExitCode::from(2)
        }
    }
}
