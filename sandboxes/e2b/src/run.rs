//! One execution from its start to its end: rows become events, and an outcome at the end.

use std::time::Duration;

use switchtower_contract::{Event, Events, Exit, Failure, Fault, Limits, Need, Outcome, Price, Program, Usage, python};
use tokio::time::{Instant, timeout_at};

use crate::error::CallError;
use crate::interpreter::{self, CloudContext, ExecutionReservation, Row};
use crate::sandbox_client::{SandboxClient, is_transient};

/// The maximum time of internal code.
pub(crate) const INTERNAL_RUN_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of values that are passed on in one run: pictures and tables.
const MAX_RESULT_BYTES: usize = 16 << 20;
/// Keepalives before the first row, five seconds apart, after which a context counts as hanging.
const MAX_KEEPALIVES: u32 = 3;

/// A program to be run.
pub(crate) struct Run<'a> {
    pub(crate) client: &'a SandboxClient,
    pub(crate) context: &'a CloudContext,
    pub(crate) price: Price,
    pub(crate) kind: RunKind,
    pub(crate) deadline: Instant,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunKind {
    Program,
    /// A cell of a kernel that keeps state: `sys.exit` is an ordinary exception there.
    Cell,
}

/// Returns the fault of a run whose time was over before the program started.
pub(crate) fn too_late() -> Fault {
    Fault::Unavailable { reason: "the time limit passed before the program could be started".to_owned() }
}

/// How a run ended.
pub(crate) struct RunEnd {
    pub(crate) outcome: Outcome,
    /// Whether its context can be used again without a restart.
    pub(crate) is_context_idle: bool,
    /// The execution count; 0 where it did not arrive.
    pub(crate) count: u64,
}

/// The part of an execution that has arrived.
#[derive(Default)]
struct Progress {
    has_begun: bool,
    /// The execution count; 0 before it arrives.
    count: u64,
    keepalives: u32,
    truncated: bool,
    /// Bytes of values.
    results: usize,
    /// Bytes of output.
    output: u64,
    exit: Option<Exit>,
    unmet_need: Option<Need>,
}

impl Run<'_> {
    pub(crate) async fn run(
        &self,
        reservation: ExecutionReservation,
        program: &Program,
        limits: &Limits,
        events: &Events,
    ) -> Result<RunEnd, Fault> {
        let (started, deadline) = (Instant::now(), self.deadline);
        let mut progress = Progress::default();
        // A script's text may begin with a byte order mark; E2B's interpreter refuses one.
        let source = match self.kind {
            RunKind::Program => program.source.strip_prefix('\u{feff}').unwrap_or(&program.source),
            RunKind::Cell => &program.source,
        };
        let opened = interpreter::execute(self.client, reservation, self.context, source, program.env.as_ref());
        let mut rows = match timeout_at(deadline, opened).await {
            Ok(opened) => opened.map_err(|error| error.execution_fault())?,
            Err(_) => return Ok(self.end(started, progress, Exit::TimedOut, false)),
        };
        loop {
            let row = match timeout_at(deadline, rows.next()).await {
                Ok(row) => row.map_err(|error| error.execution_fault())?,
                // Dropping the stream closes the connection, which interrupts the program.
                Err(_) => return Ok(self.end(started, progress, Exit::TimedOut, false)),
            };
            match row {
                Some(Row::EndOfExecution {}) => {
                    let exit = progress.exit.unwrap_or(Exit::Finished(0));
                    // The interpreter of a killed program was replaced by one without the prelude.
                    let is_context_idle = exit != Exit::Killed;
                    return Ok(self.end(started, progress, exit, is_context_idle));
                }
                Some(row) => progress.apply(row, limits, events, self.kind).await?,
                None => return Err(Fault::Lost { reason: "the stream of the run broke off".to_owned() }),
            }
        }
    }

    fn end(&self, started: Instant, progress: Progress, exit: Exit, is_context_idle: bool) -> RunEnd {
        let wall = started.elapsed();
        let usage = Usage { wall, price: self.price.of(wall), ..Usage::default() };
        let Progress { truncated, unmet_need, count, .. } = progress;
        let outcome = Outcome { exit, observed: None, truncated, usage, unmet_need };
        RunEnd { outcome, is_context_idle, count }
    }
}

impl Progress {
    async fn apply(&mut self, row: Row, limits: &Limits, events: &Events, kind: RunKind) -> Result<(), Fault> {
        match row {
            Row::NumberOfExecutions { execution_count } => {
                self.has_begun = true;
                self.count = execution_count;
            }
            Row::Keepalive {} if !self.has_begun => {
                self.keepalives += 1;
                if self.keepalives >= MAX_KEEPALIVES {
                    // The known hang after a cancelled run: the code was never started.
                    return Err(Fault::Unavailable { reason: "the context hangs".to_owned() });
                }
            }
            Row::Stdout { text } => self.send_output(text, limits, events, Event::Stdout).await,
            Row::Stderr { text } => self.send_output(text, limits, events, Event::Stderr).await,
            Row::Result(value) => {
                let main = value.is_main();
                let data = value.bundle();
                self.results += data.iter().map(|(mime, data)| mime.len() + data.len()).sum::<usize>();
                if self.results > MAX_RESULT_BYTES {
                    self.truncated = true;
                } else {
                    events.send(Event::Result { data, main }).await;
                }
            }
            Row::TooDeep => self.truncated = true,
            Row::Error { name, value, traceback } => {
                self.apply_error(Failure { name, value, traceback, line: None }, events, kind).await?;
            }
            Row::Keepalive {} | Row::EndOfExecution {} | Row::Unknown => {}
        }
        Ok(())
    }

    /// Sends output, up to the limit.
    async fn send_output(&mut self, mut text: String, limits: &Limits, events: &Events, event: fn(String) -> Event) {
        let remaining = usize::try_from(limits.output.saturating_sub(self.output)).unwrap_or(usize::MAX);
        if text.len() > remaining {
            self.truncated = true;
            text.truncate(text.floor_char_boundary(remaining));
        }
        self.output += text.len() as u64;
        if !text.is_empty() {
            events.send(event(text)).await;
        }
    }

    async fn apply_error(&mut self, failure: Failure, events: &Events, kind: RunKind) -> Result<(), Fault> {
        let Failure { name, value, traceback, .. } = failure;
        match name.as_str() {
            "SystemExit" if kind == RunKind::Program => {
                let (code, text) = exit_code(&value);
                if let Some(text) = text {
                    events.send(Event::Stderr(format!("{text}\n"))).await;
                }
                self.exit = Some(Exit::Finished(code));
            }
            // The interpreter died: the program ended it, or it ran out of memory.
            "ContextRestarting" => self.exit = Some(Exit::Killed),
            "UnexpectedEndOfExecution" | "WebSocketError" | "ExecutionAborted" if traceback.is_empty() => {
                return Err(Fault::Lost { reason: format!("{name}: {value}") });
            }
            _ => {
                // Out of memory is not deterministic, so it must not be stored as a result.
                let exhausted = is_out_of_memory(&name, &value);
                self.exit = Some(if exhausted { Exit::OutOfMemory } else { Exit::Raised });
                self.unmet_need = unmet_need(&name, &value);
                let line = program_line(&traceback);
                events.send(Event::Error(Failure { name, value, traceback, line })).await;
            }
        }
        Ok(())
    }
}

/// Runs internal code that may run twice: it is repeated when E2B fails. Returns its output.
pub(crate) async fn run_internal(
    client: &SandboxClient,
    context: &CloudContext,
    code: &str,
) -> Result<String, CallError> {
    match run_internal_within(client, context, code, INTERNAL_RUN_TIMEOUT).await {
        Err(error) if is_transient(&error) => run_internal_within(client, context, code, INTERNAL_RUN_TIMEOUT).await,
        done => done,
    }
}

/// Runs internal code as [`run_internal`] does, but without retries: for code that must not run twice or takes longer.
pub(crate) async fn run_internal_within(
    client: &SandboxClient,
    context: &CloudContext,
    code: &str,
    limit: Duration,
) -> Result<String, CallError> {
    let reservation = interpreter::reserve_execution(client).await?;
    let deadline = Instant::now() + limit;
    let late = |_| CallError::unexpected("a kernel does not respond");
    let running = async {
        let mut rows = interpreter::execute(client, reservation, context, code, None).await?;
        let mut printed = String::new();
        while let Some(row) = rows.next().await? {
            match row {
                Row::Stdout { text } => printed.push_str(&text),
                Row::Error { name, value, .. } => {
                    return Err(CallError::unexpected(&format!("a kernel is not as expected: {name}: {value}")));
                }
                Row::EndOfExecution {} => return Ok(printed),
                _ => {}
            }
        }
        Err(CallError::unexpected("a kernel's stream broke off"))
    };
    timeout_at(deadline, running).await.map_err(late)?
}

/// Returns the exit code of `sys.exit(value)`, and what that prints.
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

/// Whether an exception says that memory ran out: by the interpreter or by NumPy, not raised by the program itself.
fn is_out_of_memory(name: &str, value: &str) -> bool {
    python::MEMORY_ERRORS.contains(&name) && (value.is_empty() || value.starts_with("Unable to allocate"))
}

/// Returns what the template does not provide by the message of an exception: a module, a part of one, a shared
/// library. Messages of the program's own, and modules in its own files, do not count.
fn unmet_need(name: &str, value: &str) -> Option<Need> {
    let module = |module: &str| {
        let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        module.split('.').all(is_name).then(|| Need::Module(module.to_owned()))
    };
    let quoted = |text: &str| text.split_once('\'')?.1.split_once('\'').map(|(inner, _)| inner.to_owned());
    // The message of the dynamic loader, to an import or to `ctypes`.
    if let Some((library, _)) = value.split_once(": cannot open shared object file")
        && matches!(name, "ImportError" | "OSError")
    {
        return Some(Need::Library(library.rsplit('/').next().unwrap_or(library).to_owned()));
    }
    match name {
        // `No module named 'a.b'`, perhaps followed by a reason.
        "ModuleNotFoundError" => module(&quoted(value.strip_prefix("No module named ")?)?),
        "ImportError" => {
            // The messages of pandas, which other packages use too.
            if let Some(rest) = value.strip_prefix("Missing optional dependency ") {
                return module(&quoted(rest)?);
            }
            if let Some((missing, _)) = value.strip_prefix("`Import ").and_then(|rest| rest.split_once('`')) {
                return module(missing);
            }
            // `cannot import name 'b' from 'a' (/usr/lib/python3/a.py)`; of a partially initialized module nothing is
            // missing.
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

/// Returns the last line of the program that a traceback names, as in `Cell In[4], line 2`.
fn program_line(traceback: &str) -> Option<u32> {
    let (_, rest) = traceback.rsplit_once("Cell In[")?;
    let (_, rest) = rest.split_once("line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_exit_has_the_code_that_a_shell_would_see() {
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
        assert_eq!(program_line(deep), Some(2));
        assert_eq!(program_line("  Cell In[1], line 7\n    x =\n"), Some(7));
        assert_eq!(program_line("nothing of the kind"), None);
    }

    #[test]
    fn running_out_of_memory_differs_from_an_exception_of_the_programs_own() {
        assert!(is_out_of_memory("MemoryError", ""));
        assert!(is_out_of_memory("_ArrayMemoryError", "Unable to allocate 7.45 GiB for an array"));
        assert!(!is_out_of_memory("MemoryError", "my own"));
        assert!(!is_out_of_memory("ValueError", ""));
    }

    #[test]
    fn an_exception_for_something_that_the_template_lacks_names_it() {
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
            // The program's own module, circular import and message.
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
