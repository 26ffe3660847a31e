//! Arguments that give a program its source, standard input, files and environment, and files with a program a line.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use clap::Args;
use serde::de::DeserializeOwned;
use switchtower_contract::{File, Language, Program, Randomness};
use switchtower_core::analyse::{analyse, is_known_package};
use switchtower_core::request::{Invalid, RequestLimits};

use super::exit::CliError;
use super::references;
use super::source_encoding;

/// The ends of the names of files in widespread languages that no tier runs: such a file is no program in Python.
const OTHER_LANGUAGES: [&str; 24] = [
    "cs", "dart", "erl", "ex", "exs", "f90", "fs", "go", "hs", "jl", "kt", "lua", "m", "ml", "nim", "php", "pl", "ps1",
    "rb", "rs", "scala", "sql", "swift", "zig",
];

/// Arguments that give the source.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The program; `-` reads it from standard input.
    #[arg(value_name = "FILE", required_unless_present = "code")]
    pub(super) file: Option<PathBuf>,
    /// The program itself.
    #[arg(short = 'c', long = "code", value_name = "CODE", conflicts_with = "file")]
    code: Option<String>,
    /// The language of the program: python, javascript (js, node), typescript (ts) or another name of the HTTP API. By default
    /// the end of FILE says it (such as .js, .ts, .sh, .c, .cpp, .r, .java), otherwise it is Python.
    #[arg(short, long, value_name = "LANGUAGE")]
    language: Option<Language>,
}

impl Source {
    fn read(&self, limit: u64) -> Result<String, CliError> {
        match (&self.code, &self.file) {
            (Some(code), _) => Ok(code.clone()),
            (None, Some(file)) => {
                let bytes = bytes(file, limit)?.ok_or_else(|| too_large("code", limit))?;
                source_encoding::decode(bytes).map_err(|why| CliError::usage(format!("{}: {why}", file.display())))
            }
            (None, None) => Err(CliError::usage("a program is required: FILE, - or -c CODE")),
        }
    }

    /// Returns the language that is given, or that of the file's name; otherwise Python.
    fn language(&self) -> Result<Language, CliError> {
        let end = self.file.as_ref().and_then(|file| file.extension()?.to_str());
        let (None, Some(end)) = (self.language, end) else { return Ok(self.language.unwrap_or_default()) };
        match Language::of_ending(end) {
            Some(language) => Ok(language),
            None if OTHER_LANGUAGES.contains(&end) => {
                let known = Language::names().join(", ");
                let name = self.name();
                Err(CliError::usage(format!(
                    "{name}: no language here has files that end with .{end}; known are {known}"
                )))
            }
            None => Ok(Language::default()),
        }
    }

    /// Returns the folder of the program's file, in which Python looks for modules first.
    fn folder(&self) -> Option<PathBuf> {
        let file = self.file.as_ref().filter(|file| file.as_os_str() != "-")?;
        file.parent().map(Path::to_owned)
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
    /// A file or folder to copy into the program's working directory, a folder without its hidden files; may be given more
    /// than once. Modules and headers beside FILE that the program names are copied without.
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
    /// Returns the program. Reads no more of a file than the limits allow, and one byte.
    ///
    /// # Errors
    /// A file cannot be read or exceeds its limit, or standard input would be read twice.
    pub(super) fn program(&self, source: &Source, limits: &RequestLimits) -> Result<Program, CliError> {
        let is_stdin = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
        if is_stdin(&source.file) && is_stdin(&self.stdin) {
            return Err(CliError::usage("standard input cannot be both the program and its input"));
        }
        let stdin = match (&self.stdin, &self.input) {
            (Some(file), _) => Some(text("stdin", file, limits.stdin)?),
            (None, input) => input.clone(),
        };
        let code = source.read(limits.code)?;
        let mut files = FilesToCopy::new(limits.files);
        for path in &self.files {
            files.add(path, &name(path)?, Copied::All)?;
        }
        let language = source.language()?;
        match source.folder() {
            Some(folder) if language == Language::Python => files.add_modules(&folder, &code)?,
            Some(folder) => files.add_named(&folder, language, &code)?,
            None => {}
        }
        Ok(Program {
            language,
            source: code,
            stdin,
            files: files.files,
            env: (!self.env.is_empty()).then(|| self.env.iter().cloned().collect()),
            randomness: if self.deterministic { Randomness::Seeded(self.seed) } else { Randomness::Fresh },
        })
    }
}

/// What of a folder is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    All,
    /// Files with Python's code.
    Modules,
}

/// The files for a program.
struct FilesToCopy {
    files: Vec<File>,
    /// Most bytes of all files together.
    limit: u64,
    left: u64,
}

impl FilesToCopy {
    fn new(limit: u64) -> Self {
        Self { files: Vec::new(), limit, left: limit }
    }

    /// Reads a file, or what is below a folder except for hidden files and compiled modules.
    fn add(&mut self, path: &Path, name: &str, copied: Copied) -> Result<(), CliError> {
        if !path.is_dir() {
            let content = bytes(path, self.left)?.ok_or_else(|| too_large("files", self.limit))?;
            self.left = self.left.saturating_sub(content.len() as u64);
            self.files.push(File { path: name.to_owned(), content });
            return Ok(());
        }
        for (inside, entry) in entries(path)? {
            // Reading a pipe would wait for its writer.
            let is_file = entry.is_file() && (copied == Copied::All || inside.ends_with(".py"));
            let is_copied = entry.is_dir() || is_file;
            if is_copied && !inside.starts_with('.') && inside != "__pycache__" {
                let name = if name == "." { inside } else { format!("{}/{inside}", name.trim_end_matches('/')) };
                self.add(&entry, &name, copied)?;
            }
        }
        Ok(())
    }

    /// Reads the files in the folder of a program that it names, and those that they name.
    fn add_named(&mut self, folder: &Path, language: Language, code: &str) -> Result<(), CliError> {
        let mut next = self.files.len();
        let (mut language, mut inside, mut source) = (language, String::new(), code.to_owned());
        loop {
            for path in references::named_files(language, &source) {
                let Some(path) = references::resolved(&inside, &path) else { continue };
                let found = references::candidates(language, &path);
                let Some(found) = found.into_iter().find(|path| folder.join(path).is_file()) else { continue };
                if !self.files.iter().any(|given| given.path == found) {
                    self.add(&folder.join(&found), &found, Copied::All)?;
                }
            }
            let Some(file) = self.files.get(next) else { return Ok(()) };
            // A header may be of C or of C++.
            let end = Path::new(&file.path).extension().and_then(|end| end.to_str());
            language = end.and_then(Language::of_ending).unwrap_or(language);
            inside = file.path.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned());
            source = String::from_utf8_lossy(&file.content).into_owned();
            next += 1;
        }
    }

    /// Reads the modules in the folder of a program that it imports, and those that they import.
    fn add_modules(&mut self, folder: &Path, code: &str) -> Result<(), CliError> {
        let mut next = self.files.len();
        let mut source = code.to_owned();
        loop {
            for import in analyse(&Program::python(source)).imports {
                let module = import.top();
                let (file, package) = (format!("{module}.py"), format!("{module}/"));
                let is_given = self.files.iter().any(|given| given.path == file || given.path.starts_with(&package));
                if module.is_empty() || is_given {
                    continue;
                }
                let inside = folder.join(module);
                if folder.join(&file).is_file() {
                    self.add(&folder.join(&file), &file, Copied::Modules)?;
                } else if inside.join("__init__.py").is_file() || has_modules(&inside) && !is_known_package(module) {
                    self.add(&inside, module, Copied::Modules)?;
                }
            }
            let Some(file) = self.files.get(next) else { return Ok(()) };
            source =
                if file.path.ends_with(".py") { String::from_utf8_lossy(&file.content).into() } else { String::new() };
            next += 1;
        }
    }
}

/// Returns whether a folder has modules, so that it is a package without `__init__.py`. An installed package of its name
/// goes before it.
fn has_modules(folder: &Path) -> bool {
    entries(folder).is_ok_and(|entries| entries.iter().any(|(name, _)| name.ends_with(".py")))
}

/// Returns the names and paths of the files and folders in a folder, sorted. Links to folders are left out: they may
/// lead in a circle.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, CliError> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if !is_link || entry.path().is_file() {
            entries.push((name(Path::new(&entry.file_name()))?, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// Returns the name of a file for the program. A relative path below the current folder keeps its folders; of any other
/// only the file name is kept.
fn name(path: &Path) -> Result<String, CliError> {
    let below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let name = if below { Some(path.as_os_str()) } else { path.file_name() };
    let name = name
        .and_then(|name| name.to_str())
        .ok_or_else(|| CliError::usage(format!("{}: a file for the program needs a name in UTF-8", path.display())))?;
    Ok(name.to_owned())
}

fn text(field: &'static str, path: &Path, limit: u64) -> Result<String, CliError> {
    let bytes = bytes(path, limit)?.ok_or_else(|| too_large(field, limit))?;
    String::from_utf8(bytes).map_err(|_| CliError::usage(format!("{} is not UTF-8 text", path.display())))
}

/// Reads a file; `None` if it has more than `limit` bytes.
fn bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, CliError> {
    let read = if path.as_os_str() == "-" {
        read_at_most(std::io::stdin(), limit)
    } else {
        std::fs::File::open(path).and_then(|file| read_at_most(file, limit))
    };
    read.map_err(|error| unreadable(path, &error))
}

fn read_at_most(from: impl Read, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn too_large(field: &'static str, limit: u64) -> CliError {
    Invalid::new(field, format!("at most {limit} bytes, this has more")).into()
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::usage(format!("cannot read {}: {error}", path.display()))
}

/// Maximum length of a line of a file of programs, in bytes: more than a program, its input and its expected output at
/// the default limits need in JSON.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Reads a file with one JSON object a line. Empty lines are skipped.
///
/// # Errors
/// The file cannot be read or has no objects, or a line is too long or has another form.
pub(super) fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, CliError> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut file = BufReader::new(file);
    let (mut items, mut line) = (Vec::new(), Vec::new());
    for number in 1_u64.. {
        line.clear();
        let read = file.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(path, &error))? == 0 {
            break;
        }
        let refused = |why: &str| CliError::usage(format!("{}, line {number}: {why}", path.display()));
        if line.len() as u64 > MAX_LINE_BYTES {
            return Err(refused(&format!("a line must be at most {MAX_LINE_BYTES} bytes, this has more")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| refused("not UTF-8 text"))?.trim();
        if !text.is_empty() {
            items.push(serde_json::from_str(text).map_err(|error| refused(&error.to_string()))?);
        }
    }
    if items.is_empty() {
        let name = path.display();
        return Err(CliError::usage(format!(
            "{name} has no programs: each line must be a JSON object with `id` and `code`"
        )));
    }
    Ok(items)
}
