//! What a scripted program can say.
//!
//! | directive | what happens |
//! |---|---|
//! | `print TEXT`, `eprint TEXT` | a line on stdout, on stderr |
//! | `flood BYTES` | so many bytes on stdout |
//! | `show TEXT` | the value of the last expression |
//! | `sleep TIME`, `spin` | time passes (`20ms`, `3s`, `2m`); until the deadline |
//! | `raise NAME TEXT` | an exception goes through |
//! | `exit CODE`, `kill` | it leaves; it destroys its interpreter |
//! | `alloc MEGABYTES` | it holds so much memory |
//! | `read` | a line of stdin, printed; `EOFError` at its end |
//! | `cat PATH`, `env NAME` | a given file, an environment variable, printed |
//! | `clock`, `chance`, `identity` | it asks the world, and prints the answer |
//! | `set NAME TEXT`, `get NAME` | a variable of the sandbox, kept until `reset`; `NameError` where there is none |
//! | `need KIND DETAIL` | it needs this: a no-op where the offer has it |
//! | `touch NAME` | it changes the world outside: counted by the backend |
//! | `fault NAME [PERCENT]` | the backend fails here: `unavailable`, `refused`, `lost`; so often, or always |
//!
//! Anything else is a `SyntaxError`.

use std::time::Duration;

use crate::fault::{Fault, Need};

/// A script, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(pub Vec<Step>);

/// One directive and the line it stands on, from 1.
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
    Cat(String),
    Env(String),
    Clock,
    Chance,
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
    pub fn read(source: &str) -> Self {
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
    let (word, rest) = cut(text);
    let owned = || rest.to_owned();
    Some(match word {
        "print" => Directive::Print(owned()),
        "eprint" => Directive::Eprint(owned()),
        "flood" => Directive::Flood(rest.parse().ok()?),
        "show" => Directive::Show(owned()),
        "sleep" => Directive::Sleep(time(rest)?),
        "spin" => Directive::Sleep(FOREVER),
        "raise" => {
            let (name, value) = cut(rest);
            Directive::Raise { name: name.to_owned(), value: value.to_owned() }
        }
        "exit" => Directive::Exit(rest.parse().ok()?),
        "kill" => Directive::Kill,
        "alloc" => Directive::Alloc(rest.parse::<u64>().ok()?.checked_mul(1 << 20)?),
        "read" => Directive::Read,
        "cat" => Directive::Cat(owned()),
        "env" => Directive::Env(owned()),
        "clock" => Directive::Clock,
        "chance" => Directive::Chance,
        "identity" => Directive::Identity,
        "set" => {
            let (name, value) = cut(rest);
            Directive::Set { name: name.to_owned(), value: value.to_owned() }
        }
        "get" => Directive::Get(owned()),
        "need" => Directive::Need(need(rest)?),
        "touch" => Directive::Touch(owned()),
        "fault" => {
            let (name, percent) = cut(rest);
            let percent = if percent.is_empty() { 100 } else { percent.trim_end_matches('%').parse().ok()? };
            Directive::Fault { fault: fault(name)?, percent }
        }
        _ => return None,
    })
}

fn need(text: &str) -> Option<Need> {
    let (kind, detail) = cut(text);
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

/// The first word and what follows it.
fn cut(text: &str) -> (&str, &str) {
    text.split_once(' ').map_or((text, ""), |(word, rest)| (word, rest.trim()))
}
