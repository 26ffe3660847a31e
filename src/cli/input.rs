//! Arguments that give a program its source, standard input, files and environment.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use switchtower_contract::{File, Language, Program, Randomness};

use super::exit::CliError;

/// Arguments that give the source.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The program; `-` reads it from standard input.
    #[arg(value_name = "FILE", required_unless_present = "code")]
    pub(super) file: Option<PathBuf>,
    /// The program itself.
    #[arg(short = 'c', long = "code", value_name = "CODE", conflicts_with = "file")]
    code: Option<String>,
}

impl Source {
    pub(super) fn read(&self) -> Result<String, CliError> {
        match (&self.code, &self.file) {
            (Some(code), _) => Ok(code.clone()),
            (None, Some(file)) => text(file),
            (None, None) => Err(CliError::usage("a program is required: FILE, - or -c CODE")),
        }
    }

    /// Returns the name of the source for messages.
    pub(super) fn name(&self) -> String {
        self.file.as_ref().filter(|f| f.as_os_str() != "-").map_or("<code>".to_owned(), |f| f.display().to_string())
    }
}

/// Arguments that give a program's inputs.
#[derive(Debug, Args)]
pub(super) struct Inputs {
    /// Standard input of the program, from a file; `-` passes on this command's own.
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    stdin: Option<PathBuf>,
    /// Standard input of the program, as text.
    #[arg(long, value_name = "TEXT")]
    input: Option<String>,
    /// An environment variable of the program; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// A file to copy into the program's working directory; may be given more than once.
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Use a virtual clock and seeded randomness: the same program prints the same bytes on any machine.
    #[arg(long)]
    deterministic: bool,
    /// The seed of --deterministic.
    #[arg(long, value_name = "N", requires = "deterministic", default_value_t = 0)]
    seed: u64,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must have the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Inputs {
    pub(super) fn program(&self, source: &Source) -> Result<Program, CliError> {
        let is_stdin = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
        if is_stdin(&source.file) && is_stdin(&self.stdin) {
            return Err(CliError::usage("standard input cannot be both the program and its input"));
        }
        let stdin = match (&self.stdin, &self.input) {
            (Some(file), _) => Some(text(file)?),
            (None, input) => input.clone(),
        };
        Ok(Program {
            language: Language::default(),
            source: source.read()?,
            stdin,
            files: self.files.iter().map(|path| file(path)).collect::<Result<_, _>>()?,
            env: (!self.env.is_empty()).then(|| self.env.iter().cloned().collect()),
            randomness: if self.deterministic { Randomness::Seeded(self.seed) } else { Randomness::Fresh },
        })
    }
}

/// Reads a file for the program. A relative path below the current folder keeps its folders; of any other only the file
/// name is kept.
fn file(path: &Path) -> Result<File, CliError> {
    let below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let name = if below { Some(path.as_os_str()) } else { path.file_name() };
    let name = name
        .and_then(|name| name.to_str())
        .ok_or_else(|| CliError::usage(format!("{}: a file for the program needs a name in UTF-8", path.display())))?;
    Ok(File { path: name.to_owned(), content: bytes(path)? })
}

fn text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(bytes(path)?).map_err(|_| CliError::usage(format!("{} is not UTF-8 text", path.display())))
}

fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| CliError::usage(format!("cannot read {}: {error}", path.display())))
}
