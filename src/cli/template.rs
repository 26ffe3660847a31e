//! `switchtower template`: the template that the cloud tier expects, its tag, and whether the cloud has it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use switchtower_e2b::template;

use super::exit::{Complaint, FAILED};
use super::terminal;

/// Arguments of `template`.
#[derive(Debug, Args)]
#[command(after_help = "\
A template has its tag in the file /etc/build-tag. With `clouds.e2b.account.build_tag = \"own\"` every new sandbox is held against
the tag of the template that ships with Switchtower; another text is another tag.")]
pub(super) struct Template {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the tag that follows from a Dockerfile and a list of packages.
    Tag {
        /// A folder with e2b.Dockerfile and packages.txt; the ones that ship with this build where none is given.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Also write it into the folder's file build-tag, which the Dockerfile copies.
        #[arg(long, requires = "folder")]
        write: bool,
    },
    /// Print what the template is made of, and how to build it; with a folder, write its files there.
    Show {
        /// Where to write e2b.Dockerfile, e2b.toml, packages.txt and build-tag.
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
    /// Open one sandbox and hold it against its tag and its modules. It is bought for some seconds.
    Check {
        /// The tier whose template is looked at.
        #[arg(long, value_name = "TIER", default_value = "e2b")]
        tier: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

const FILES: [&str; 2] = ["e2b.Dockerfile", "packages.txt"];

impl Template {
    pub(super) fn template(&self, file: Option<&Path>) -> Result<ExitCode, Complaint> {
        match &self.what {
            What::Tag { folder, write } => tag(folder.as_deref(), *write),
            What::Show { write } => show(write.as_deref()),
            What::Check { tier, json } => check(file, tier, *json),
        }
    }
}

fn tag(folder: Option<&Path>, write: bool) -> Result<ExitCode, Complaint> {
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

fn show(write: Option<&Path>) -> Result<ExitCode, Complaint> {
    let tag = template::shipped_tag();
    if let Some(folder) = write {
        std::fs::create_dir_all(folder)
            .map_err(|error| Complaint::failed(format!("cannot make {}: {error}", folder.display())))?;
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

fn check(file: Option<&Path>, tier: &str, json: bool) -> Result<ExitCode, Complaint> {
    let config = crate::config::load(file, serde_json::json!({}))?;
    let settings = config.clouds.0.get(tier).map(|cloud| &cloud.account);
    let (expected, promised) = settings.map_or((None, None), |account| (account.tag(), account.promised()));
    // Where nothing is promised, the template that ships with this build is what is usually meant.
    let modules = promised.unwrap_or_else(|| template::modules(template::PACKAGES));
    let cloud = crate::assemble::cloud(&config, tier)?;
    let inspection = super::runtime(1)?.block_on(async {
        let inspection = cloud.inspect(&modules).await;
        cloud.close(std::time::Duration::from_secs(15)).await;
        inspection
    });
    let inspection = inspection.map_err(|trouble| Complaint::failed(trouble.to_string()))?;
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
        let mark = |well: bool| if well { "ok    " } else { "WRONG " };
        let expected = expected.as_deref().unwrap_or("none in particular");
        let tag = found.unwrap_or("none");
        terminal::out(&format!("{} tag {tag}, expected is {expected}\n", mark(tag_fits)));
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

fn read(path: &Path) -> Result<String, Complaint> {
    std::fs::read_to_string(path).map_err(|error| Complaint::usage(format!("cannot read {}: {error}", path.display())))
}

fn save(path: &Path, text: &str) -> Result<(), Complaint> {
    std::fs::write(path, text).map_err(|error| Complaint::failed(format!("cannot write {}: {error}", path.display())))
}
