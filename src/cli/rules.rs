//! `switchtower rules`: compiles a folder of rules, and runs its test cases.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use switchtower_core::decide::{self, cases};

use super::exit::CliError;
use super::terminal;
use crate::config::SettingsSource;

/// Arguments of `rules`.
#[derive(Debug, Args)]
pub(super) struct Rules {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Compile every rule of a folder; exits with 2 at the first error.
    Check(Folder),
    /// Run the test cases of a folder; exits with 1 if one fails, with 2 if there are none.
    Test(Folder),
}

#[derive(Debug, Args)]
struct Folder {
    /// The folder; by default the one in the settings, else ./router-rules.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Folder {
    fn path(&self, source: &SettingsSource) -> Result<PathBuf, CliError> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        let set = crate::config::load(source)?.rules.folder;
        Ok(set.unwrap_or_else(|| PathBuf::from("router-rules")))
    }
}

impl Rules {
    pub(super) fn rules(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        match &self.action {
            Action::Check(folder) => {
                let rules = decide::Rules::load(&folder.path(source)?).map_err(|e| CliError::usage(e.to_string()))?;
                let mut text = String::new();
                for path in rules.files() {
                    let _ = writeln!(text, "ok  {}", path.display());
                }
                terminal::out(&text);
                Ok(ExitCode::SUCCESS)
            }
            Action::Test(folder) => {
                let path = folder.path(source)?;
                let report = cases::test(&path).map_err(|e| CliError::usage(e.to_string()))?;
                if report.passed == 0 && report.failures.is_empty() {
                    return Err(CliError::usage(format!(
                        "{} has no test cases: each is a table `[[case]]` in a file named *.cases.toml",
                        path.display()
                    )));
                }
                let mut text = String::new();
                for failure in &report.failures {
                    let _ = writeln!(text, "FAILED  {failure}");
                }
                let _ = writeln!(text, "{} passed, {} failed", report.passed, report.failures.len());
                terminal::out(&text);
                Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
        }
    }
}
