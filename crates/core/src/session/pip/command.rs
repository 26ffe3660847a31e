//! pip's command line, and the answers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Surroundings;
use super::requirement::Requirement;

const SITE: &str = "/usr/local/lib/python3/site-packages";
/// The version of pip whose answers these are.
const PIP_VERSION: &str = "25.3";
/// Most requirements of one command. A command with more is run by a machine's pip.
const MAX_REQUIREMENTS: usize = 200;
/// Options that change nothing here.
const IGNORED: [&str; 17] = [
    "-U",
    "--upgrade",
    "--no-cache-dir",
    "--user",
    "--break-system-packages",
    "--disable-pip-version-check",
    "--no-input",
    "--pre",
    "--no-deps",
    "--prefer-binary",
    "--no-warn-script-location",
    "--no-color",
    "--no-python-version-warning",
    "--system",
    "-y",
    "--yes",
    "-v",
];
/// The same, with a value.
const IGNORED_WITH_VALUE: [&str; 13] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "--trusted-host",
    "--root-user-action",
    "--progress-bar",
    "--timeout",
    "--retries",
    "--only-binary",
    "--upgrade-strategy",
    "--proxy",
    "--python",
    "--default-timeout",
];

/// The commands of a line for pip: the words after `pip` of each.
pub(super) struct CommandLine(Vec<Vec<String>>);

/// The answer of pip.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) code: i32,
}

impl CommandLine {
    /// `None`: it runs something else than pip, or has something that only a shell understands.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut all = Vec::new();
        for mut words in split(line)? {
            let mut silent = false;
            words.retain(|word| {
                silent |= matches!(word.as_str(), ">/dev/null" | "1>/dev/null" | "&>/dev/null");
                !matches!(word.as_str(), ">/dev/null" | "1>/dev/null" | "&>/dev/null" | "2>/dev/null" | "2>&1")
            });
            if words.iter().any(|word| word.contains(['<', '>']) && !word.starts_with(|c: char| c.is_alphanumeric())) {
                return None;
            }
            let words = after_pip(&words)?;
            all.push(if silent { [&["-q".to_owned()], words].concat() } else { words.to_vec() });
        }
        (!all.is_empty()).then_some(Self(all))
    }

    /// `None`: pip would do something that cannot be answered here.
    pub(super) fn answer(&self, around: &Surroundings<'_>) -> Option<Answer> {
        let mut whole = Answer { text: String::new(), code: 0 };
        for words in &self.0 {
            let Answer { text, code } = answer(words, around)?;
            let joint = if whole.text.is_empty() || text.is_empty() { "" } else { "\n" };
            whole.text = format!("{}{joint}{text}", whole.text);
            whole.code = code;
            if code != 0 {
                break;
            }
        }
        Some(whole)
    }
}

/// Splits a line into commands and their words. `None`: it has something that only a shell understands.
fn split(line: &str) -> Option<Vec<Vec<String>>> {
    let (mut commands, mut words) = (Vec::new(), Vec::new());
    let (mut word, mut has_word, mut quote) = (String::new(), false, None);
    let text = line.trim().replace("> /dev/null", ">/dev/null");
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, has_word) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if has_word || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                has_word = false;
            }
            (None, '&') if rest.peek() == Some(&'&') => {
                rest.next();
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                commands.push(std::mem::take(&mut words));
            }
            // Only as a part of `2>&1` and `&>/dev/null`.
            (None, '&') if word != "2>" && (!word.is_empty() || rest.peek() != Some(&'>')) => return None,
            (None, '|' | ';' | '`' | '$' | '\\' | '*' | '(') => return None,
            (None, '#') if word.is_empty() => break,
            (None, c) => word.push(c),
        }
    }
    if quote.is_some() {
        return None;
    }
    if has_word || !word.is_empty() {
        words.push(word);
    }
    commands.push(words);
    Some(commands)
}

/// Returns the words after `pip`, in any of the ways to call it.
fn after_pip(words: &[String]) -> Option<&[String]> {
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    match texts[..] {
        ["pip" | "pip3", ..] => words.get(1..),
        ["uv", "pip", ..] => words.get(2..),
        ["python" | "python3" | "{sys.executable}" | "{sys.executable!r}", "-m", "pip", ..] => words.get(3..),
        _ => None,
    }
}

fn answer(words: &[String], around: &Surroundings<'_>) -> Option<Answer> {
    let quiet = words.iter().any(|word| is_quiet(word));
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !is_quiet(word)).collect();
    let words: Vec<&str> = words.into_iter().skip_while(|word| IGNORED.contains(word)).collect();
    let (first, rest) = words.split_first()?;
    let text = match *first {
        "install" => return install(rest, quiet, around),
        "--version" | "-V" if rest.is_empty() => format!("pip {PIP_VERSION} from {SITE}/pip (python 3)"),
        "freeze" if rest.is_empty() => freeze(around),
        "list" => match rest {
            [] | ["--format=columns"] => list(around),
            ["--format=freeze"] | ["--format", "freeze"] => freeze(around),
            _ => return None,
        },
        "show" => return show(rest, around),
        "check" if rest.is_empty() => "No broken requirements found.".to_owned(),
        _ => return None,
    };
    Some(Answer { text, code: 0 })
}

fn is_quiet(word: &str) -> bool {
    matches!(word, "-q" | "-qq" | "-qqq" | "--quiet")
}

fn install(words: &[&str], quiet: bool, around: &Surroundings<'_>) -> Option<Answer> {
    let requirements = requirements(words, around)?;
    if requirements.is_empty() {
        return None;
    }
    let mut text = String::new();
    for requirement in &requirements {
        let Some(version) = version_of(requirement, around) else {
            return Some(missing(requirement, around));
        };
        if !quiet {
            let joint = if text.is_empty() { "" } else { "\n" };
            let _ = write!(text, "{joint}Requirement already satisfied: {} in {SITE} ({version})", requirement.text);
        }
    }
    Some(Answer { text, code: 0 })
}

fn requirements(words: &[&str], around: &Surroundings<'_>) -> Option<Vec<Requirement>> {
    let mut found = Vec::new();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let name = word.split_once('=').map_or(word, |(name, _)| name);
        if IGNORED.contains(&word) {
            continue;
        }
        if IGNORED_WITH_VALUE.contains(&name) {
            if name == word {
                words.next()?;
            }
            continue;
        }
        let file = match word {
            "-r" | "--requirement" => Some(words.next()?),
            _ => word.strip_prefix("--requirement=").or_else(|| word.strip_prefix("-r")),
        };
        match file {
            Some(path) => found.extend(requirements_of(&(around.read)(path)?)?),
            None => found.push(Requirement::parse(word)?),
        }
        if found.len() > MAX_REQUIREMENTS {
            return None;
        }
    }
    Some(found)
}

fn requirements_of(text: &str) -> Option<Vec<Requirement>> {
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.take(MAX_REQUIREMENTS + 1).map(Requirement::parse).collect()
}

fn version_of<'a>(requirement: &Requirement, around: &'a Surroundings<'_>) -> Option<&'a str> {
    if requirement.name == "pip" {
        return requirement.allows(PIP_VERSION).then_some(PIP_VERSION);
    }
    let versions = around.packages.versions(&requirement.name);
    versions.iter().all(|version| requirement.allows(version)).then(|| versions.first().copied()).flatten()
}

fn missing(requirement: &Requirement, around: &Surroundings<'_>) -> Answer {
    let versions: BTreeSet<&str> = around.packages.versions(&requirement.name).into_iter().collect();
    let versions = Vec::from_iter(versions).join(", ");
    let versions = if versions.is_empty() { "none" } else { &versions };
    // One version can be asked for as it is written.
    let is_exact =
        requirement.text.contains("==") && !requirement.text.contains(['[', ',', '<', '>', '~', '!', '*', ';', ' ']);
    let package = if is_exact { &requirement.text } else { &requirement.name };
    let text = format!(
        "ERROR: Could not find a version that satisfies the requirement {0} (from versions: {versions})\n\
         ERROR: No matching distribution found for {0}\nnote: this sandbox has no package index: {1}",
        requirement.text,
        (around.remedy)(package)
    );
    Answer { text, code: 1 }
}

fn freeze(around: &Surroundings<'_>) -> String {
    around.packages.all().iter().map(|(name, version)| format!("{name}=={version}")).collect::<Vec<_>>().join("\n")
}

fn list(around: &Surroundings<'_>) -> String {
    let packages = around.packages.all();
    let width = packages.keys().map(|name| name.len()).max().unwrap_or(0).max("Package".len());
    let rule = |length| "-".repeat(length);
    let mut text = format!("{:width$} Version\n{} -------", "Package", rule(width));
    for (name, version) in packages {
        let _ = write!(text, "\n{name:width$} {version}");
    }
    text
}

fn show(names: &[&str], around: &Surroundings<'_>) -> Option<Answer> {
    let mut shown = Vec::new();
    for name in names {
        let requirement = Requirement::parse(name)?;
        let Some(version) = version_of(&requirement, around) else {
            return Some(Answer { text: format!("WARNING: Package(s) not found: {name}"), code: 1 });
        };
        shown.push(format!("Name: {}\nVersion: {version}\nLocation: {SITE}", requirement.name));
    }
    (!shown.is_empty()).then(|| Answer { text: shown.join("\n---\n"), code: 0 })
}
