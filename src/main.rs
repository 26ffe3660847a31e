//! The `switchtower` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    switchtower::cli::main()
}
