//! `switchtower machine`: imports, lists and removes root file systems of local machines.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use switchtower_contract::byte_size;
use switchtower_machine::{ImportError, ImportLimits, ImportReport, ImportedRoot, Roots, Source};

use super::exit::CliError;
use super::terminal;
use crate::assemble::machine_roots;
use crate::config::{Config, SettingsSource};

/// Arguments of `machine`.
#[derive(Debug, Args)]
pub(super) struct Machine {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Import, list or remove root file systems for local machines.
    Root {
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Import a root file system, and print the folder and the setting that uses it.
    Import(Import),
    /// Print the imported root file systems.
    List,
    /// Remove an imported root file system. Machines that run with it lose their files.
    Remove {
        /// Its name, as `list` prints it.
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Sources, plain or compressed with gzip or zstd:
  an image      docker save IMAGE > image.tar
                skopeo copy docker://debian:bookworm oci-archive:image.tar
  a container   docker export CONTAINER | switchtower machine root import - --name NAME
  a folder      debootstrap --variant=minbase bookworm FOLDER
Archives are not trusted: they write nothing outside of the imported folder. Device nodes, pipes and sockets are left out.")]
struct Import {
    /// An archive, an image layout, or a folder with a root file system; `-`: the standard input, an archive.
    source: PathBuf,
    /// The name of the imported root; by default that of the source.
    #[arg(long)]
    name: Option<String>,
    /// The image, by its name or digest, where the source has several.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Most bytes unpacked, such as 4GiB; by default machine.max_root_bytes.
    #[arg(long, value_name = "SIZE", value_parser = byte_size::parse)]
    max_bytes: Option<u64>,
    /// Most files and folders; by default machine.max_root_files.
    #[arg(long, value_name = "COUNT")]
    max_files: Option<u64>,
}

impl Machine {
    pub(super) fn machine(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let config = crate::config::load(source)?;
        let roots = machine_roots(&config).ok_or_else(|| {
            CliError::usage("there is no folder for root file systems: set machine.roots_folder, XDG_DATA_HOME or HOME")
        })?;
        let Part::Root { action } = &self.part;
        match action {
            Action::Import(import) => import.run(&config, &roots)?,
            Action::List => list(&roots)?,
            Action::Remove { name } => {
                roots.remove(name)?;
                terminal::note(&format!("the root {name} is removed"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    fn run(&self, config: &Config, roots: &Roots) -> Result<(), CliError> {
        let source = if self.source.as_os_str() == "-" { Source::Stdin } else { Source::Path(self.source.clone()) };
        let limits = ImportLimits {
            bytes: self.max_bytes.unwrap_or(config.machine.max_root_bytes),
            files: self.max_files.unwrap_or(config.machine.max_root_files),
        };
        let (root, report) = roots.import(&source, self.name.as_deref(), self.image.as_deref(), limits)?;
        let keeps_owners = rustix::process::geteuid().is_root();
        for line in notes(&root, &report, keeps_owners) {
            terminal::note(&line);
        }
        terminal::out(&format!("[machine]\nroot = {}\n", toml::Value::from(root.folder.display().to_string())));
        Ok(())
    }
}

/// Returns what there is to know of an import, in sentences.
fn notes(root: &ImportedRoot, report: &ImportReport, keeps_owners: bool) -> Vec<String> {
    let mut lines = vec![format!(
        "imported {} files with {} bytes to {}; these lines of the settings use it:",
        report.files,
        report.bytes,
        root.folder.display()
    )];
    let mut add = |count: u64, what: &str| lines.extend((count > 0).then(|| format!("{count} {what}")));
    add(report.special_files, "device nodes, pipes and sockets are left out: machines have their own /dev");
    add(
        report.set_id_files,
        "files lose their set-user-id and set-group-id bits, by which no program of a machine gains rights",
    );
    if keeps_owners {
        add(report.other_owners, "files belong to other users than their source says, whose ids machines do not have");
    } else {
        lines.push(
            "the owners of files are not kept, and all users of machines may read them: import as root to keep them"
                .to_owned(),
        );
    }
    lines
}

fn list(roots: &Roots) -> Result<(), CliError> {
    let all = roots.list()?;
    if all.is_empty() {
        terminal::note("no root file systems are imported; `switchtower machine root import --help` says how");
    }
    let mut text = String::new();
    for ImportedRoot { name, folder, description } in all {
        let _ = writeln!(text, "{name}");
        let digest = description.digest.map_or_else(String::new, |digest| format!(", {digest}"));
        let _ = writeln!(text, "    of {}{digest}", description.source);
        let _ = writeln!(text, "    {} files, {} bytes", description.files, description.bytes);
        let _ = writeln!(text, "    {}", folder.display());
    }
    terminal::out(&text);
    Ok(())
}

impl From<ImportError> for CliError {
    fn from(ImportError { reason, remedy }: ImportError) -> Self {
        Self::usage(remedy.map_or_else(|| reason.clone(), |remedy| format!("{reason}\nto fix it: {remedy}")))
    }
}
