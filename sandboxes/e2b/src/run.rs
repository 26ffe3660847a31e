//! One cell from its start to its end: lines become events, the last ones an outcome.

use std::time::Duration;

use switchtower_contract::{Event, Events, Exit, Failure, Fault, Limits, Need, Outcome, Price, Program, Usage};
use tokio::time::{Instant, timeout_at};

use crate::cause::Trouble;
use crate::inside::{Inside, passes};
use crate::interpreter::{self, Context, Line, Right};

/// Longest that a cell of our own may take.
pub(crate) const OWN: Duration = Duration::from_secs(20);
/// Most bytes of values shown that are passed on: pictures and tables of one run.
const SHOWN: usize = 16 << 20;
/// Signs of life without a sign of a start, five seconds apart, after which a context counts as hanging.
const SILENCES: u32 = 3;

/// A program about to run.
pub(crate) struct Run<'a> {
    pub(crate) inside: &'a Inside,
    pub(crate) context: &'a Context,
    pub(crate) price: Price,
    /// It is a cell of a kernel that is kept: leaving by `sys.exit` is an error of its own there.
    pub(crate) cell: bool,
    /// When its time is over.
    pub(crate) deadline: Instant,
}

/// The time was over before the program was started.
pub(crate) fn late() -> Fault {
    Fault::Unavailable { reason: "its time was over before the program could be started".to_owned() }
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// The context has nothing of it left to do.
    pub(crate) whole: bool,
    /// Its count in its kernel; 0 where it was not told.
    pub(crate) number: u64,
}

/// What has been seen of a cell.
#[derive(Default)]
struct Seen {
    began: bool,
    /// Its count in its kernel; 0 where it was not told.
    number: u64,
    silences: u32,
    truncated: bool,
    shown: usize,
    said: u64,
    exit: Option<Exit>,
    unmet_need: Option<Need>,
}

impl Run<'_> {
    pub(crate) async fn run(
        &self,
        right: Right,
        program: &Program,
        limits: &Limits,
        events: &Events,
    ) -> Result<Ended, Fault> {
        let (started, deadline) = (Instant::now(), self.deadline);
        let mut seen = Seen::default();
        let opened = interpreter::execute(self.inside, right, self.context, &program.source, program.env.as_ref());
        let mut lines = match timeout_at(deadline, opened).await {
            Ok(opened) => opened.map_err(|trouble| trouble.fault(true))?,
            Err(_) => return Ok(self.ended(started, seen, Exit::TimedOut, false)),
        };
        loop {
            let line = match timeout_at(deadline, lines.next()).await {
                Ok(line) => line.map_err(|trouble| trouble.fault(true))?,
                // Closing the connection, by dropping it, ends the cell.
                Err(_) => return Ok(self.ended(started, seen, Exit::TimedOut, false)),
            };
            match line {
                Some(Line::EndOfExecution {}) => {
                    let exit = seen.exit.unwrap_or(Exit::Finished(0));
                    // An interpreter that died is a new one by now, without what was prepared in it.
                    let whole = exit != Exit::Killed;
                    return Ok(self.ended(started, seen, exit, whole));
                }
                Some(line) => seen.take(line, limits, events, self.cell).await?,
                None => return Err(Fault::Lost { reason: "the stream of the run broke off".to_owned() }),
            }
        }
    }

    fn ended(&self, started: Instant, seen: Seen, exit: Exit, whole: bool) -> Ended {
        let wall = started.elapsed();
        let usage = Usage { wall, price: self.price.of(wall), ..Usage::default() };
        let Seen { truncated, unmet_need, number, .. } = seen;
        Ended { outcome: Outcome { exit, observed: None, truncated, usage, unmet_need }, whole, number }
    }
}

impl Seen {
    async fn take(&mut self, line: Line, limits: &Limits, events: &Events, cell: bool) -> Result<(), Fault> {
        match line {
            Line::NumberOfExecutions { execution_count } => {
                self.began = true;
                self.number = execution_count;
            }
            Line::Keepalive {} if !self.began => {
                self.silences += 1;
                if self.silences >= SILENCES {
                    // The known hang after a run that was cancelled: the code was never begun.
                    return Err(Fault::Unavailable { reason: "the context hangs".to_owned() });
                }
            }
            Line::Stdout { text } => self.say(text, limits, events, Event::Stdout).await,
            Line::Stderr { text } => self.say(text, limits, events, Event::Stderr).await,
            Line::Result(shown) => {
                let main = shown.is_main();
                let data = shown.bundle();
                self.shown += data.iter().map(|(mime, data)| mime.len() + data.len()).sum::<usize>();
                if self.shown > SHOWN {
                    self.truncated = true;
                } else {
                    events.send(Event::Result { data, main }).await;
                }
            }
            Line::TooDeep => self.truncated = true,
            Line::Error { name, value, traceback } => {
                self.fail(Failure { name, value, traceback, line: None }, events, cell).await?;
            }
            Line::Keepalive {} | Line::EndOfExecution {} | Line::Unknown => {}
        }
        Ok(())
    }

    async fn say(&mut self, mut text: String, limits: &Limits, events: &Events, event: fn(String) -> Event) {
        let room = usize::try_from(limits.output.saturating_sub(self.said)).unwrap_or(usize::MAX);
        if text.len() > room {
            self.truncated = true;
            text.truncate(text.floor_char_boundary(room));
        }
        self.said += text.len() as u64;
        if !text.is_empty() {
            events.send(event(text)).await;
        }
    }

    async fn fail(&mut self, failure: Failure, events: &Events, cell: bool) -> Result<(), Fault> {
        let Failure { name, value, traceback, .. } = failure;
        match name.as_str() {
            "SystemExit" if !cell => {
                let (code, said) = exit_code(&value);
                if let Some(said) = said {
                    events.send(Event::Stderr(format!("{said}\n"))).await;
                }
                self.exit = Some(Exit::Finished(code));
            }
            // The interpreter died, by its own hand or for want of memory.
            "ContextRestarting" => self.exit = Some(Exit::Killed),
            "UnexpectedEndOfExecution" | "WebSocketError" | "ExecutionAborted" if traceback.is_empty() => {
                return Err(Fault::Lost { reason: format!("{name}: {value}") });
            }
            _ => {
                // How far a program comes in its memory is another matter every time, so it must not be kept as its end.
                let exhausted = is_out_of_memory(&name, &value);
                self.exit = Some(if exhausted { Exit::OutOfMemory } else { Exit::Raised });
                self.unmet_need = unmet_need(&name, &value);
                let line = line_of(&traceback);
                events.send(Event::Error(Failure { name, value, traceback, line })).await;
            }
        }
        Ok(())
    }
}

/// What a cell of our own prints. Such cells may run twice, so they do where E2B failed.
pub(crate) async fn own(inside: &Inside, context: &Context, code: &str) -> Result<String, Trouble> {
    match own_within(inside, context, code, OWN).await {
        Err(trouble) if passes(&trouble) => own_within(inside, context, code, OWN).await,
        done => done,
    }
}

/// The same once, for what must not run twice or takes longer.
pub(crate) async fn own_within(
    inside: &Inside,
    context: &Context,
    code: &str,
    most: Duration,
) -> Result<String, Trouble> {
    let right = interpreter::right(inside).await?;
    let deadline = Instant::now() + most;
    let late = |_| Trouble::nonsense("a kernel does not answer");
    let running = async {
        let mut lines = interpreter::execute(inside, right, context, code, None).await?;
        let mut printed = String::new();
        while let Some(line) = lines.next().await? {
            match line {
                Line::Stdout { text } => printed.push_str(&text),
                Line::Error { name, value, .. } => {
                    return Err(Trouble::nonsense(&format!("a kernel is not as expected: {name}: {value}")));
                }
                Line::EndOfExecution {} => return Ok(printed),
                _ => {}
            }
        }
        Err(Trouble::nonsense("a kernel's stream broke off"))
    };
    timeout_at(deadline, running).await.map_err(late)?
}

/// The exit code of `sys.exit(value)`, and what it prints.
fn exit_code(value: &str) -> (i32, Option<&str>) {
    match value.trim() {
        "" | "None" | "False" => (0, None),
        "True" => (1, None),
        text => match text.parse::<i64>() {
            Ok(code) => (i32::try_from(code & 0xff).unwrap_or(1), None),
            Err(_) => (1, Some(value)),
        },
    }
}

/// The interpreter's own refusal of memory, or numpy's; one that a program raises by itself has its own words.
fn is_out_of_memory(name: &str, value: &str) -> bool {
    matches!(name, "MemoryError" | "_ArrayMemoryError") && (value.is_empty() || value.starts_with("Unable to allocate"))
}

/// What an exception says that this template does not provide: a module, a part of one, a shared library. What a program
/// raises in words of its own is its own matter, and so is what its own files lack.
fn unmet_need(name: &str, value: &str) -> Option<Need> {
    let module = |module: &str| {
        let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        module.split('.').all(is_name).then(|| Need::Module(module.to_owned()))
    };
    let quoted = |text: &str| text.split_once('\'')?.1.split_once('\'').map(|(inner, _)| inner.to_owned());
    // As the dynamic loader says it, to an import or to `ctypes`.
    if let Some((library, _)) = value.split_once(": cannot open shared object file")
        && matches!(name, "ImportError" | "OSError")
    {
        return Some(Need::Library(library.rsplit('/').next().unwrap_or(library).to_owned()));
    }
    match name {
        // `No module named 'a.b'`, perhaps with a reason behind it.
        "ModuleNotFoundError" => module(&quoted(value.strip_prefix("No module named ")?)?),
        "ImportError" => {
            // As pandas says it, and other packages after it.
            if let Some(rest) = value.strip_prefix("Missing optional dependency ") {
                return module(&quoted(rest)?);
            }
            if let Some((missing, _)) = value.strip_prefix("`Import ").and_then(|rest| rest.split_once('`')) {
                return module(missing);
            }
            // `cannot import name 'b' from 'a' (/usr/lib/python3/a.py)`; one that is only half imported lacks nothing.
            let rest = value.strip_prefix("cannot import name ")?;
            let (part, from) = rest.split_once(" from '")?;
            let (package, place) = from.split_once('\'')?;
            let path = place.trim().strip_prefix('(')?;
            let is_own = ["/home/", "/tmp/", "/var/tmp/", "/dev/shm/"].iter().any(|own| path.starts_with(own));
            let installed = path.contains("/site-packages/") || path.contains("/dist-packages/");
            (installed || !is_own).then(|| module(&format!("{package}.{}", quoted(part)?)))?
        }
        _ => None,
    }
}

/// The last line of the program that a traceback names: `Cell In[4], line 2`.
fn line_of(traceback: &str) -> Option<u32> {
    let (_, rest) = traceback.rsplit_once("Cell In[")?;
    let (_, rest) = rest.split_once("line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_has_the_code_that_a_shell_would_see() {
        assert_eq!(exit_code("3"), (3, None));
        assert_eq!(exit_code(""), (0, None));
        assert_eq!(exit_code("None"), (0, None));
        assert_eq!(exit_code("-1"), (255, None));
        assert_eq!(exit_code("bad input"), (1, Some("bad input")));
    }

    #[test]
    fn a_traceback_names_the_last_line_of_the_program() {
        let deep =
            "ZeroDivisionError  Traceback\nCell In[4], line 5\n----> 5 f()\n\nCell In[4], line 2, in f()\n  1 / 0";
        assert_eq!(line_of(deep), Some(2));
        assert_eq!(line_of("  Cell In[1], line 7\n    x =\n"), Some(7));
        assert_eq!(line_of("nothing of the kind"), None);
    }

    #[test]
    fn running_out_of_memory_is_told_from_an_exception_of_the_programs_own() {
        assert!(is_out_of_memory("MemoryError", ""));
        assert!(is_out_of_memory("_ArrayMemoryError", "Unable to allocate 7.45 GiB for an array"));
        assert!(!is_out_of_memory("MemoryError", "my own"));
        assert!(!is_out_of_memory("ValueError", ""));
    }

    #[test]
    fn whatever_says_that_a_template_does_not_provide_something_names_it() {
        let module = |name: &str| Some(Need::Module(name.to_owned()));
        let library = |name: &str| Some(Need::Library(name.to_owned()));
        let so = "cannot open shared object file: No such file or directory";
        let cases = [
            ("ModuleNotFoundError", "No module named 'lightgbm'".to_owned(), module("lightgbm")),
            ("ModuleNotFoundError", "No module named 'a.b'".to_owned(), module("a.b")),
            ("ModuleNotFoundError", "No module named 'json.x'; 'json' is not a package".to_owned(), module("json.x")),
            ("ImportError", format!("libGL.so.1: {so}"), library("libGL.so.1")),
            ("OSError", format!("/opt/lib/libfoo.so: {so}"), library("libfoo.so")),
            ("ImportError", "Missing optional dependency 'openpyxl'.  Use pip or conda.".to_owned(), module("openpyxl")),
            ("ImportError", "`Import lxml` failed.  Use pip or conda to install the lxml package.".to_owned(), module("lxml")),
            (
                "ImportError",
                "cannot import name 'root_mean_squared_error' from 'sklearn.metrics' \
                 (/usr/local/lib/python3.12/site-packages/sklearn/metrics/__init__.py)"
                    .to_owned(),
                module("sklearn.metrics.root_mean_squared_error"),
            ),
            (
                "ImportError",
                "cannot import name 'x' from 'y' (/home/user/.venv/lib/python3.12/site-packages/y.py)".to_owned(),
                module("y.x"),
            ),
            // Its own module, its own circle, its own words.
            ("ImportError", "cannot import name 'x' from 'mine' (/home/user/mine.py)".to_owned(), None),
            (
                "ImportError",
                "cannot import name 'x' from partially initialized module 'mine' (most likely due to a circular import)"
                    .to_owned(),
                None,
            ),
            ("ImportError", "No module named 'a'".to_owned(), None),
            ("ImportError", "I do not like this machine".to_owned(), None),
            ("ModuleNotFoundError", "my own words".to_owned(), None),
            ("ModuleNotFoundError", "No module named ''".to_owned(), None),
            ("FileNotFoundError", "[Errno 2] No such file or directory: 'data.csv'".to_owned(), None),
            ("ValueError", format!("libGL.so.1: {so}"), None),
        ];
        for (name, value, need) in cases {
            assert_eq!(unmet_need(name, &value), need, "{name}: {value}");
        }
    }
}
