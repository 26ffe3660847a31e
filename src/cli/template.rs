//! `switchtower template`: shows the template that the cloud tier expects and its tag, and checks that the cloud has
//! it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use switchtower_contract::{Fault, rounded};
use switchtower_core::seed::Seed;
use switchtower_core::tier::backoff;
use switchtower_e2b::{E2b, TemplateReport, template};

use super::exit::{CliError, FAILED};
use super::terminal;
use crate::config::SettingsSource;

/// Arguments of `template`.
#[derive(Debug, Args)]
#[command(after_help = "\
A template has its tag in the file /etc/build-tag. With `clouds.e2b.account.build_tag = \"own\"` every new sandbox is held against
the tag of the template that ships with Switchtower; another text is another tag.")]
pub(super) struct Template {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the tag of a Dockerfile and a list of packages.
    Tag {
        /// A folder with e2b.Dockerfile and packages.txt; by default those that ship with this build.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Also write the tag to the file build-tag in the folder, which the Dockerfile copies.
        #[arg(long, requires = "folder")]
        write: bool,
    },
    /// Print the files of the template and how to build it; with --write, write the files to a folder.
    Show {
        /// The folder to write e2b.Dockerfile, e2b.toml, packages.txt and build-tag to.
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
    /// Open one sandbox and check the template's tag and modules in it. Costs some seconds of a sandbox.
    Check {
        /// The tier whose template is checked.
        #[arg(long, value_name = "TIER", default_value = "e2b")]
        tier: String,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

const FILES: [&str; 2] = ["e2b.Dockerfile", "packages.txt"];

impl Template {
    pub(super) fn template(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        match &self.action {
            Action::Tag { folder, write } => tag(folder.as_deref(), *write),
            Action::Show { write } => show(write.as_deref()),
            Action::Check { tier, json } => check(source, tier, *json),
        }
    }
}

fn tag(folder: Option<&Path>, write: bool) -> Result<ExitCode, CliError> {
    let tag = match folder {
        None => template::shipped_tag(),
        Some(folder) => {
            let [dockerfile, packages] = FILES.map(|name| read(&folder.join(name)));
            let tag = template::tag(&dockerfile?, &packages?);
            if write {
                save(&folder.join("build-tag"), &tag)?;
            }
            tag
        }
    };
    terminal::out(&format!("{tag}\n"));
    Ok(ExitCode::SUCCESS)
}

fn show(write: Option<&Path>) -> Result<ExitCode, CliError> {
    let tag = template::shipped_tag();
    if let Some(folder) = write {
        std::fs::create_dir_all(folder)
            .map_err(|error| CliError::failed(format!("cannot make {}: {error}", folder.display())))?;
        for (name, text) in [
            ("e2b.Dockerfile", template::DOCKERFILE),
            ("e2b.toml", template::SETTINGS),
            ("packages.txt", template::PACKAGES),
            ("build-tag", &tag),
        ] {
            save(&folder.join(name), text)?;
        }
        let folder = folder.display();
        terminal::note(&format!("written; `e2b template build --path {folder}` builds it in your account"));
        return Ok(ExitCode::SUCCESS);
    }
    terminal::out(&format!("tag: {tag}\n\n{}\n{}\n{}", template::DOCKERFILE, template::SETTINGS, template::PACKAGES));
    Ok(ExitCode::SUCCESS)
}

fn check(source: &SettingsSource, tier: &str, json: bool) -> Result<ExitCode, CliError> {
    let config = crate::config::load(source)?;
    let settings = config.clouds.0.get(tier).map(|cloud| &cloud.account);
    let (expected, promised) = settings.map_or((None, None), |account| (account.tag(), account.promised()));
    // Without configured modules, expects those of the template that ships with this build.
    let modules = promised.unwrap_or_else(|| template::modules(template::PACKAGES));
    let cloud = crate::assemble::cloud_account(&config, tier)?;
    let backoff = config.clouds.0.get(tier).map(|cloud| cloud.tier.backoff.clone()).unwrap_or_default();
    let inspection = super::runtime(1)?.block_on(async {
        let inspection = inspect(&cloud, &modules, &backoff).await;
        cloud.close(std::time::Duration::from_secs(15)).await;
        inspection
    });
    let inspection = inspection.map_err(CliError::failed)?;
    let found = inspection.tag.as_deref();
    let tag_fits = expected.as_deref().is_none_or(|expected| found == Some(expected));
    let well = tag_fits && inspection.failed.is_empty();
    if json {
        let report = serde_json::json!({
            "template": cloud.status().template,
            "tag": { "found": found, "expected": expected, "fits": tag_fits },
            "modules": modules,
            "failed": inspection.failed,
            "packages": inspection.packages,
        });
        terminal::out(&format!("{report:#}\n"));
    } else {
        let mark = |ok: bool| if ok { "ok    " } else { "WRONG " };
        let expected = expected.as_deref().unwrap_or("any");
        let tag = found.unwrap_or("none");
        terminal::out(&format!("{} tag {tag}, expected {expected}\n", mark(tag_fits)));
        for module in &modules {
            match inspection.failed.get(module) {
                None => terminal::out(&format!("{} {module}\n", mark(true))),
                Some(why) => terminal::out(&format!("{} {module}: {why}\n", mark(false))),
            }
        }
        terminal::out(&format!("{} packages are installed\n", inspection.packages.len()));
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Inspects the template in a sandbox. Retries a creation that is refused temporarily, as by a 429, with the tier's
/// backoff.
async fn inspect(cloud: &E2b, modules: &BTreeSet<String>, backoff: &backoff::Config) -> Result<TemplateReport, String> {
    let mut random = Seed::from_system().map_err(|error| format!("no randomness: {error}"))?.fork("template").rng();
    let mut repeat = 0;
    loop {
        let error = match cloud.inspect(modules).await {
            Ok(report) => return Ok(report),
            Err(error) => error,
        };
        let Fault::Refused { retry_after: Some(retry_after), .. } = error.fault() else {
            return Err(error.to_string());
        };
        let Some(pause) = backoff.pause(repeat, Some(retry_after), &mut random) else {
            return Err(format!("{error}; retry after {}", rounded(retry_after)));
        };
        terminal::note(&format!("{error}; trying again in {}", rounded(pause)));
        tokio::time::sleep(pause).await;
        repeat += 1;
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| CliError::usage(format!("cannot read {}: {error}", path.display())))
}

fn save(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|error| CliError::failed(format!("cannot write {}: {error}", path.display())))
}
