//! The directives of a scripted program.
//!
//! | directive | effect |
//! |---|---|
//! | `print TEXT`, `eprint TEXT` | prints a line on stdout, on stderr |
//! | `flood BYTES` | prints this many bytes on stdout |
//! | `show TEXT` | displays TEXT as the value of the last expression |
//! | `sleep TIME`, `spin` | sleeps (`20ms`, `3s`, `2m`); sleeps until the deadline |
//! | `raise NAME TEXT` | ends by an uncaught exception |
//! | `exit CODE`, `kill` | exits with a code; destroys the interpreter |
//! | `alloc MEGABYTES` | holds this much more memory |
//! | `read` | prints a line of stdin; raises `EOFError` at its end |
//! | `write PATH TEXT` | writes a file |
//! | `cat PATH`, `env NAME` | prints a given file, an environment variable |
//! | `clock`, `random`, `identity` | reads an input from outside (an effect) and prints it |
//! | `set NAME TEXT`, `get NAME` | sets, prints a variable of the sandbox, kept until `reset`; `NameError` if it is not set |
//! | `need KIND DETAIL` | needs this; no effect where the offer provides it |
//! | `touch NAME` | changes something outside the sandbox, counted by the backend |
//! | `fault NAME [PERCENT]` | the backend fails with `unavailable`, `refused` or `lost`; this often, or always |
//!
//! Anything else is a `SyntaxError`.

use std::time::Duration;

use crate::fault::{Fault, Need};

/// A parsed script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(pub Vec<Step>);

/// One directive and its line, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub line: u32,
    pub directive: Directive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    Print(String),
    Eprint(String),
    Flood(usize),
    Show(String),
    Sleep(Duration),
    Raise { name: String, value: String },
    Exit(i32),
    Kill,
    Alloc(u64),
    Read,
    Write { path: String, text: String },
    Cat(String),
    Env(String),
    Clock,
    Random,
    Identity,
    Set { name: String, value: String },
    Get(String),
    Need(Need),
    Touch(String),
    Fault { fault: Fault, percent: u32 },
}

/// Longer than any deadline.
const FOREVER: Duration = Duration::from_secs(1 << 32);

impl Script {
    /// Parses a source. Unknown directives become a `SyntaxError` that the run raises.
    pub fn parse(source: &str) -> Self {
        let marked = source.lines().any(|line| line.trim_start().starts_with("#:"));
        let mut steps = Vec::new();
        for (line, number) in source.lines().zip(1..) {
            let text = match line.trim_start().strip_prefix("#:") {
                Some(script) => script,
                None if marked => continue,
                None => line,
            };
            for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
                let directive = directive(part).unwrap_or_else(|| Directive::Raise {
                    name: "SyntaxError".to_owned(),
                    value: format!("no directive: {part}"),
                });
                steps.push(Step { line: number, directive });
            }
        }
        Self(steps)
    }
}

fn directive(text: &str) -> Option<Directive> {
    let (word, rest) = split_word(text);
    let owned = || rest.to_owned();
    Some(match word {
        "print" => Directive::Print(owned()),
        "eprint" => Directive::Eprint(owned()),
        "flood" => Directive::Flood(rest.parse().ok()?),
        "show" => Directive::Show(owned()),
        "sleep" => Directive::Sleep(time(rest)?),
        "spin" => Directive::Sleep(FOREVER),
        "raise" => {
            let (name, value) = split_word(rest);
            Directive::Raise { name: name.to_owned(), value: value.to_owned() }
        }
        "exit" => Directive::Exit(rest.parse().ok()?),
        "kill" => Directive::Kill,
        "alloc" => Directive::Alloc(rest.parse::<u64>().ok()?.checked_mul(1 << 20)?),
        "read" => Directive::Read,
        "write" => {
            let (path, text) = split_word(rest);
            Directive::Write { path: path.to_owned(), text: text.to_owned() }
        }
        "cat" => Directive::Cat(owned()),
        "env" => Directive::Env(owned()),
        "clock" => Directive::Clock,
        "random" => Directive::Random,
        "identity" => Directive::Identity,
        "set" => {
            let (name, value) = split_word(rest);
            Directive::Set { name: name.to_owned(), value: value.to_owned() }
        }
        "get" => Directive::Get(owned()),
        "need" => Directive::Need(need(rest)?),
        "touch" => Directive::Touch(owned()),
        "fault" => {
            let (name, percent) = split_word(rest);
            let percent = if percent.is_empty() { 100 } else { percent.trim_end_matches('%').parse().ok()? };
            Directive::Fault { fault: fault(name)?, percent }
        }
        _ => return None,
    })
}

fn need(text: &str) -> Option<Need> {
    let (kind, detail) = split_word(text);
    let owned = detail.to_owned();
    Some(match kind {
        "module" => Need::Module(owned),
        "files" => Need::Files(owned),
        "network" => Need::Network(owned),
        "process" => Need::Process(owned),
        "threads" => Need::Threads,
        _ => return None,
    })
}

fn fault(name: &str) -> Option<Fault> {
    let reason = "as scripted".to_owned();
    Some(match name {
        "unavailable" => Fault::Unavailable { reason },
        "refused" => Fault::Refused { reason, retry_after: None },
        "lost" => Fault::Lost { reason },
        _ => return None,
    })
}

fn time(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit].parse().ok()?;
    Some(match &text[unit..] {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    })
}

/// Returns the first word and the rest.
fn split_word(text: &str) -> (&str, &str) {
    text.split_once(' ').map_or((text, ""), |(word, rest)| (word, rest.trim()))
}
