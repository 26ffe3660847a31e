//! The promises for kernels, whether a backend or a machine opens them.

use std::time::Duration;

use super::{Checked, Report, Suite, collect};
use crate::events::Output;
use crate::fault::Fault;
use crate::kernel::{Cell, CellOutcome, Change, Content, Kernel, KernelOptions, Kernels};
use crate::limits::Limits;
use crate::outcome::Exit;

macro_rules! hold {
    ($suite:expr, $kernels:expr, $report:expr, $($function:ident: $promise:literal,)+) => {
        $($report.add($promise, $function($suite, $kernels).await);)+
    };
}

pub(super) async fn all(suite: &Suite<'_>, report: &mut Report) {
    // Kept open for its kernels.
    let sandbox = match suite.open().await {
        Ok(sandbox) => sandbox,
        Err(failure) => return report.add("a sandbox opens", Err(failure)),
    };
    let machine = sandbox.machine();
    let is_as_offered = machine.is_some() == suite.offer.machine;
    report.add(
        "a sandbox is a machine exactly if the offer says so",
        if is_as_offered { Ok(()) } else { Err(format!("it is a machine: {}", machine.is_some())) },
    );
    let of_machine = machine.as_deref().map(|machine| machine as &dyn Kernels);
    let Some(kernels) = suite.backend.kernels().or(of_machine) else { return };
    hold! { suite, kernels, report,
        state: "a kernel keeps its state from cell to cell",
        value: "the value of a cell's last expression is its main result",
        raised: "an uncaught exception leaves a kernel and its state as they are",
        restart: "a restarted kernel has no state",
        separate: "kernels share no state",
        close: "after a kernel is closed, another one opens",
        deadline: "a cell that never ends is ended at its deadline",
        output_limit: "a cell's output is cut at its limit, and the outcome says so",
        interrupt: "a kernel survives the interruption of a cell exactly if it promises to",
        environment: "a cell sees the variables of its kernel and its own",
        stdin: "a cell can read the stdin that it was given, and no other",
        changes: "changes from outside are made before the cell runs",
        internal: "internal code returns what it prints and leaves the state as it is",
    }
    if !suite.offer.machine {
        hold! { suite, kernels, report,
            written: "the files that a cell changes are reported",
        }
    }
    if suite.offer.replayable {
        hold! { suite, kernels, report,
            replay: "a cell with its tape gives the same output in another kernel",
        }
    }
}

/// A kernel under test, and how many cells it was given.
pub(super) struct Notebook<'a> {
    suite: &'a Suite<'a>,
    pub(super) kernel: Box<dyn Kernel>,
    count: u32,
}

/// A cell with its end and its output.
pub(super) struct CellReport {
    pub(super) ended: Result<CellOutcome, Fault>,
    pub(super) output: Output,
    took: Duration,
}

impl<'a> Notebook<'a> {
    pub(super) async fn open(suite: &'a Suite<'a>, kernels: &dyn Kernels) -> Result<Self, String> {
        Self::open_with(suite, kernels, &KernelOptions::default()).await
    }

    async fn open_with(suite: &'a Suite<'a>, kernels: &dyn Kernels, options: &KernelOptions) -> Result<Self, String> {
        let opened = kernels.open_kernel(suite.programs.language, options).await;
        let kernel = opened.map_err(|fault| format!("opening a kernel failed: {fault}"))?;
        Ok(Self { suite, kernel, count: 0 })
    }

    fn cell(&mut self, source: &str) -> Cell {
        self.count += 1;
        Cell { source: source.to_owned(), number: self.count, ..Cell::default() }
    }

    async fn run_cell(&mut self, cell: &Cell, limits: &Limits) -> CellReport {
        let kernel = &mut self.kernel;
        let (ended, events, took) = collect(async |events| kernel.run(cell, limits, &events).await).await;
        let mut output = Output::default();
        events.into_iter().for_each(|event| output.push(event));
        CellReport { ended, output, took }
    }

    async fn run_within(&mut self, source: &str, limits: &Limits) -> CellReport {
        let cell = self.cell(source);
        self.run_cell(&cell, limits).await
    }

    pub(super) async fn run(&mut self, source: &str) -> CellReport {
        let limits = self.suite.limits();
        self.run_within(source, &limits).await
    }

    pub(super) async fn run_ok(&mut self, source: &str) -> Result<CellReport, String> {
        let report = self.run(source).await;
        report.finished()?;
        Ok(report)
    }

    /// Checks that the variable of [`TestPrograms::set`](super::TestPrograms) is set.
    pub(super) async fn is_set(&mut self) -> Checked {
        let report = self.run_ok(self.suite.programs.get).await?;
        report.check(report.output.stdout == "1\n")
    }

    pub(super) async fn is_unset(&mut self) -> Checked {
        let report = self.run(self.suite.programs.get).await;
        report.raised(self.suite.programs.unset_error)
    }
}

impl CellReport {
    pub(super) fn check(&self, kept: bool) -> Checked {
        if kept { Ok(()) } else { Err(format!("{:?}, with the output {:?}", self.ended, self.output)) }
    }

    fn outcome(&self) -> Result<&CellOutcome, String> {
        self.ended.as_ref().map_err(|fault| format!("the cell failed: {fault}"))
    }

    fn finished(&self) -> Checked {
        let outcome = self.outcome()?;
        self.check(outcome.outcome.exit == Exit::Finished(0) && outcome.alive)
    }

    pub(super) fn raised(&self, name: &str) -> Checked {
        let outcome = self.outcome()?;
        let is_named = self.output.error.as_ref().is_some_and(|failure| failure.name == name);
        self.check(outcome.outcome.exit == Exit::Raised && outcome.alive && is_named)
    }
}

async fn state(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    notebook.run_ok(suite.programs.set).await?;
    notebook.is_set().await
}

async fn value(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let report = Notebook::open(suite, kernels).await?.run_ok(suite.programs.value).await?;
    let main = report.output.results.iter().filter(|value| value.main).map(|value| value.data.get("text/plain"));
    report.check(main.eq([Some(&"42".to_owned())]))
}

async fn raised(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    notebook.run_ok(suite.programs.set).await?;
    notebook.run(suite.programs.raise).await.raised("ValueError")?;
    notebook.is_set().await
}

async fn restart(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    notebook.run_ok(suite.programs.set).await?;
    notebook.kernel.restart().await.map_err(|fault| format!("the restart failed: {fault}"))?;
    notebook.is_unset().await?;
    notebook.run_ok(suite.programs.set).await?;
    notebook.is_set().await
}

async fn separate(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let (mut one, mut two) = (Notebook::open(suite, kernels).await?, Notebook::open(suite, kernels).await?);
    one.run_ok(suite.programs.set).await?;
    two.is_unset().await?;
    let (count, raise) = tokio::join!(one.run(suite.programs.count), two.run(suite.programs.raise));
    count.finished()?;
    count.check(count.output.stdout == "one\ntwo\nthree\n")?;
    raise.raised("ValueError")
}

async fn close(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    for _ in 0..3 {
        let mut notebook = Notebook::open(suite, kernels).await?;
        notebook.is_unset().await?;
        notebook.run_ok(suite.programs.set).await?;
        notebook.kernel.close().await.map_err(|fault| format!("closing failed: {fault}"))?;
    }
    Ok(())
}

async fn deadline(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    for source in [suite.programs.spin, suite.programs.sleep] {
        let mut notebook = Notebook::open(suite, kernels).await?;
        notebook.run_ok(suite.programs.set).await?;
        let limits = Limits { wall: Duration::from_millis(500), ..suite.limits() };
        let report = notebook.run_within(source, &limits).await;
        let outcome = report.outcome()?;
        let survives = notebook.kernel.survives_interrupt();
        report.check(outcome.outcome.exit == Exit::TimedOut && outcome.alive == survives)?;
        let late = report.took.saturating_sub(limits.wall);
        if late > suite.programs.tolerance {
            return Err(format!("{late:?} after its deadline"));
        }
        if survives {
            notebook.is_set().await?;
        }
    }
    Ok(())
}

async fn output_limit(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    let limits = Limits { output: 1000, ..suite.limits() };
    let report = notebook.run_within(suite.programs.flood, &limits).await;
    report.finished()?;
    report.check(report.outcome()?.outcome.truncated && report.output.stdout.len() == 1000)
}

async fn interrupt(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    notebook.run_ok(suite.programs.set).await?;
    let spinning = notebook.run(suite.programs.spin);
    if tokio::time::timeout(Duration::from_millis(300), spinning).await.is_ok() {
        return Err("the endless cell ended by itself".to_owned());
    }
    if notebook.kernel.survives_interrupt() {
        return notebook.is_set().await;
    }
    let report = notebook.run(suite.programs.get).await;
    report.check(report.ended.is_err())?;
    Notebook::open(suite, kernels).await?.is_unset().await
}

async fn environment(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let given = |value: &str| [("GIVEN".to_owned(), value.to_owned())].into();
    let options = KernelOptions { env: given("to the kernel"), folder: None };
    let mut notebook = Notebook::open_with(suite, kernels, &options).await?;
    for (env, expected) in [
        (Default::default(), "to the kernel\n"),
        (given("to the cell"), "to the cell\n"),
        (Default::default(), "to the kernel\n"),
    ] {
        let cell = Cell { env, ..notebook.cell(suite.programs.variable) };
        let report = notebook.run_cell(&cell, &suite.limits()).await;
        report.finished()?;
        report.check(report.output.stdout == expected)?;
    }
    Ok(())
}

async fn stdin(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    let cell = Cell { stdin: Some("given\n".to_owned()), ..notebook.cell(suite.programs.read) };
    let report = notebook.run_cell(&cell, &suite.limits()).await;
    report.finished()?;
    report.check(report.output.stdout == "given\n")?;
    let report = notebook.run(suite.programs.read).await;
    report.check(report.outcome()?.outcome.exit == Exit::Raised && report.outcome()?.alive)
}

/// Returns the change that writes this content to the file which [`TestPrograms::file`](super::TestPrograms) prints.
pub(super) fn given_file(content: &str) -> Change {
    Change { path: "/home/user/given.txt".to_owned(), content: Content::File(content.to_owned().into_bytes().into()) }
}

async fn changes(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    for content in ["a line", "änother"] {
        let cell = Cell { changes: vec![given_file(content)], ..notebook.cell(suite.programs.file) };
        let report = notebook.run_cell(&cell, &suite.limits()).await;
        report.finished()?;
        report.check(report.output.stdout == content)?;
    }
    let removed = Change { content: Content::Removed, ..given_file("") };
    let cell = Cell { changes: vec![removed], ..notebook.cell(suite.programs.file) };
    notebook.run_cell(&cell, &suite.limits()).await.raised(suite.programs.missing_file_error)
}

async fn internal(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    notebook.run_ok(suite.programs.set).await?;
    let printed = notebook.kernel.run_internal(suite.programs.hello, Duration::from_secs(5)).await;
    if printed.as_deref() != Ok("hello\n") {
        return Err(format!("{printed:?}"));
    }
    notebook.is_set().await
}

async fn written(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    let mut notebook = Notebook::open(suite, kernels).await?;
    let report = notebook.run_ok(suite.programs.write).await?;
    let made = Change { path: "/home/user/made.txt".to_owned(), content: Content::File("made".into()) };
    report.check(report.outcome()?.changes.contains(&made))?;
    let report = notebook.run_ok(suite.programs.hello).await?;
    report.check(report.outcome()?.changes.is_empty())
}

async fn replay(suite: &Suite<'_>, kernels: &dyn Kernels) -> Checked {
    for source in [suite.programs.random, suite.programs.clock] {
        let mut first = Notebook::open(suite, kernels).await?;
        let recorded = first.run_ok(source).await?;
        let tape = recorded.outcome()?.tape.clone();
        recorded.check(tape.as_ref().is_some_and(|tape| !tape.incomplete))?;
        let mut second = Notebook::open(suite, kernels).await?;
        let cell = Cell { tape, ..second.cell(source) };
        let replayed = second.run_cell(&cell, &suite.limits()).await;
        replayed.finished()?;
        replayed.check(replayed.output.stdout == recorded.output.stdout)?;
        let other = Notebook::open(suite, kernels).await?.run_ok(source).await?;
        other.check(other.output.stdout != recorded.output.stdout)?;
    }
    Ok(())
}
