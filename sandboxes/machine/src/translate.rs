//! TypeScript for kernels that run JavaScript.

use std::collections::BTreeMap;

use switchtower_contract::{Failure, File, Language};
use switchtower_typescript::{Imports, SyntaxError, Translated, to_javascript};

/// The code that a kernel gets for a source.
#[derive(Debug)]
pub(crate) enum Code<'a> {
    AsGiven(&'a str),
    FromTypeScript(Translated),
}

impl<'a> Code<'a> {
    /// Returns TypeScript as JavaScript, and all other languages as they are.
    ///
    /// # Errors
    /// The source is not valid TypeScript; the failure says where.
    pub(crate) fn of(language: Language, source: &'a str, imports: Imports) -> Result<Self, Failure> {
        if language != Language::TypeScript {
            return Ok(Self::AsGiven(source));
        }
        to_javascript(source, imports).map(Self::FromTypeScript).map_err(|error| failure(source, &error))
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::AsGiven(source) => source,
            Self::FromTypeScript(translated) => &translated.code,
        }
    }

    /// Returns the translation, whose lines are not those of the source; `None` if there is none.
    pub(crate) fn into_translated(self) -> Option<Translated> {
        match self {
            Self::AsGiven(_) => None,
            Self::FromTypeScript(translated) => Some(translated),
        }
    }
}

/// Returns the modules in TypeScript among the files of a program as JavaScript, by their paths. One that is not valid is left out:
/// the program fails when it imports it. `absolute`: returns the path of a file in the machine.
pub(crate) fn modules(files: &[File], absolute: impl Fn(&str) -> String) -> BTreeMap<String, String> {
    let is_typescript = |file: &&File| [".ts", ".mts", ".cts"].iter().any(|end| file.path.ends_with(end));
    let translated = |file: &File| {
        let source = std::str::from_utf8(&file.content).ok()?;
        Some((absolute(&file.path), to_javascript(source, Imports::Used).ok()?.code))
    };
    files.iter().filter(is_typescript).filter_map(translated).collect()
}

/// The end of the name of the file with a module's JavaScript, for imports.
pub(crate) const MODULE_END: &str = ".mjs";

/// Returns translated code with the files of translated modules in the place of the modules that it imports: node imports no
/// TypeScript. `folder`: that of the code; `modules`: the translated ones by their paths.
pub(crate) fn with_module_files(code: &str, folder: &str, modules: &BTreeMap<String, String>) -> String {
    let (mut replaced, mut rest) = (String::new(), code);
    // The printer of translations writes names of modules in double quotes.
    while let Some(quote) = rest.find("\"./").into_iter().chain(rest.find("\"../")).min() {
        let (before, from) = rest.split_at(quote + 1);
        let Some(end) = from.find('"') else { break };
        let (name, after) = from.split_at(end);
        let words = before[..quote].trim_end();
        let is_import = ["from", "import", "import("].iter().any(|word| words.ends_with(word));
        replaced.push_str(before);
        match module_file(name, folder, modules).filter(|_| is_import) {
            Some(file) => replaced.push_str(&file),
            None => replaced.push_str(name),
        }
        rest = after;
    }
    replaced + rest
}

/// Returns the path of the file for a module: named by its own file, by the one that the module becomes, or without an ending.
fn module_file(name: &str, folder: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    let path = format!("/{}", parts.join("/"));
    let stem = path.strip_suffix("js").map(|stem| format!("{stem}ts"));
    let named = ["", ".ts", ".mts", ".cts", "/index.ts"].map(|end| format!("{path}{end}"));
    let found = named.into_iter().chain(stem).find(|path| modules.contains_key(path))?;
    Some(found + MODULE_END)
}

/// Returns a failure with the lines and columns of the source in the place of those of its translation.
pub(crate) fn in_source(failure: Failure, translated: &Translated) -> Failure {
    let line = failure.line.map(|line| translated.source_position(line, 1).0);
    let traceback = positions_replaced(&failure.traceback, translated);
    Failure { line, traceback, ..failure }
}

/// The ends of the names before a position, as node writes it.
const ENDS: [&str; 3] = [".cjs:", ".mjs:", "]:"];

/// Returns whether a text that ends with one of [`ENDS`] ends with the name of what runs: a program's file, `main.cjs` or `main-7.mjs`,
/// or a cell, `[cell 3]`.
fn ends_with_own_name(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(cell) = text.strip_suffix("]:") {
        return cell.rsplit_once("[cell ").is_some_and(|(_, number)| is_number(number));
    }
    let name = text.rsplit(['/', '(', ' ', '\n']).next().unwrap_or_default();
    let stem = name.strip_suffix(".cjs:").or_else(|| name.strip_suffix(".mjs:"));
    let rest = stem.and_then(|stem| stem.strip_prefix("main"));
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(is_number))
}

fn positions_replaced(text: &str, translated: &Translated) -> String {
    let (mut replaced, mut rest) = (String::new(), text);
    loop {
        let Some(at) = ENDS.iter().filter_map(|end| Some(rest.find(end)? + end.len())).min() else {
            return replaced + rest;
        };
        let (before, after) = rest.split_at(at);
        replaced.push_str(before);
        rest = after;
        let Some((line, after_line)) = number(rest).filter(|_| ends_with_own_name(before)) else { continue };
        let column = after_line.strip_prefix(':').and_then(number);
        let (source_line, source_column) = translated.source_position(line, column.map_or(1, |(column, _)| column));
        replaced.push_str(&source_line.to_string());
        rest = after_line;
        if let Some((_, after_column)) = column {
            replaced.push_str(&format!(":{source_column}"));
            rest = after_column;
        }
    }
}

/// Returns the number at the start of a text, and the rest.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Returns the failure of a source that cannot be read, in the form in which node shows one.
fn failure(source: &str, error: &SyntaxError) -> Failure {
    let SyntaxError { message, line, column } = error;
    let text = source.lines().nth(*line as usize - 1).unwrap_or_default();
    let below = " ".repeat((*column as usize).saturating_sub(1).min(text.len()));
    let traceback = format!("program.ts:{line}:{column}\n{text}\n{below}^\n\nSyntaxError: {message}");
    Failure { name: "SyntaxError".to_owned(), value: message.clone(), traceback, line: Some(*line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typescript_is_translated_and_an_error_in_it_names_its_line() {
        let code = |source| Code::of(Language::TypeScript, source, Imports::All);
        assert!(!code("const a: number = 1").unwrap().text().contains("number"));
        let failed = code("let a = 1\nlet b: = 2").unwrap_err();
        assert_eq!((failed.name.as_str(), failed.line), ("SyntaxError", Some(2)));
        assert!(failed.traceback.contains("let b: = 2"), "{}", failed.traceback);
    }

    #[test]
    fn the_positions_of_a_failure_are_those_of_the_source() {
        let source =
            "interface A {\n  x: number\n}\n\n// a comment\n\nconst a: A = { x: 1 }\n\nthrow new Error('line 9')";
        let code = Code::of(Language::TypeScript, source, Imports::Used).unwrap();
        let thrown = code.text().lines().position(|line| line.contains("throw")).unwrap() as u32 + 1;
        let at = |place: &str, line: u32| {
            format!("Error: line 9\n    at Object.<anonymous> ({place}:{line}:7)\n    at node:internal/a:1:2")
        };
        for place in ["/home/user/main.cjs", "/tmp/a/main-12.mjs", "[cell 4]", "/home/user/[cell 4]"] {
            let (name, value) = ("Error".to_owned(), "line 9".to_owned());
            let failure = Failure { name, value, traceback: at(place, thrown), line: Some(thrown) };
            let shown = in_source(failure, &code_of(source));
            assert_eq!((shown.line, shown.traceback), (Some(9), at(place, 9)));
        }
        // Positions in other files are their own.
        for place in ["/home/user/domain.mjs", "/home/user/main.ts.mjs", "/home/user/mainly.cjs", "[cells 4]"] {
            assert_eq!(positions_replaced(&at(place, thrown), &code_of(source)), at(place, thrown));
        }
    }

    fn code_of(source: &str) -> Translated {
        Code::of(Language::TypeScript, source, Imports::Used).unwrap().into_translated().unwrap()
    }
}
