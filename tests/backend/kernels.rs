//! Kernels: cells that behave as in a notebook, and replay from a tape.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use switchtower_contract::{
    Backend, Cell, CellOutcome, Change, Content, Escalation, Events, Exit, Fault, Kernel, KernelOptions, Language,
    Limits, Need, Output,
};

use super::harness::harness;

/// A kernel with the number of its cells.
pub(crate) struct Notebook {
    pub(crate) kernel: Box<dyn Kernel>,
    count: u32,
}

impl Notebook {
    pub(crate) async fn open(backend: &dyn Backend) -> Self {
        let kernel = backend.kernels().unwrap().open_kernel(Language::Python, &KernelOptions::default()).await.unwrap();
        Self { kernel, count: 0 }
    }

    pub(crate) fn cell(&mut self, source: &str) -> Cell {
        self.count += 1;
        Cell { source: source.to_owned(), number: self.count, ..Cell::default() }
    }

    pub(crate) async fn run(&mut self, source: &str) -> (CellOutcome, Output) {
        let cell = self.cell(source);
        let (ran, output) = run(self.kernel.as_mut(), &cell, &Limits::default()).await;
        (ran.unwrap(), output)
    }

    /// Runs a cell that finishes, and returns the text of its last expression.
    pub(crate) async fn value_of(&mut self, source: &str) -> String {
        let (ran, output) = self.run(source).await;
        assert_eq!(ran.outcome.exit, Exit::Finished(0), "{source}: {output:?}");
        text(&output).unwrap_or_default()
    }
}

pub(crate) async fn run(kernel: &mut dyn Kernel, cell: &Cell, limits: &Limits) -> (Result<CellOutcome, Fault>, Output) {
    let (events, mut from) = Events::channel();
    let mut output = Output::default();
    let run = async {
        let ran = kernel.run(cell, limits, &events).await;
        drop(events);
        ran
    };
    let (ran, ()) = tokio::join!(run, async {
        while let Some(event) = from.recv().await {
            output.push(event);
        }
    });
    (ran, output)
}

fn text(output: &Output) -> Option<String> {
    output.results.iter().find(|shown| shown.main).and_then(|shown| shown.data.get("text/plain").cloned())
}

/// A cell of the data with its expected results.
struct Expected {
    code: String,
    text: Option<String>,
    error: Option<String>,
    stdout: String,
}

/// Returns the sessions of the folder `cells`, whose README describes their format.
fn sessions() -> BTreeMap<String, Vec<Expected>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backend/cells");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|kind| kind == "py"))
        .map(|path| {
            let whole = std::fs::read_to_string(&path).unwrap();
            let cells = whole.split("# %%\n").skip(1).map(expected).collect();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), cells)
        })
        .collect()
}

fn expected(cell: &str) -> Expected {
    let json = |text: &str| serde_json::from_str::<String>(text).unwrap();
    let mut expected = Expected { code: String::new(), text: None, error: None, stdout: String::new() };
    let mut rest = cell;
    while let Some((line, after)) = rest.split_once('\n') {
        if let Some(text) = line.strip_prefix("# text: ") {
            expected.text = Some(json(text));
        } else if let Some(stdout) = line.strip_prefix("# stdout: ") {
            expected.stdout = json(stdout);
        } else if let Some(error) = line.strip_prefix("# error: ") {
            expected.error = Some(error.to_owned());
        } else if line != "# none" {
            break;
        }
        rest = after;
    }
    expected.code = rest.strip_suffix('\n').unwrap_or(rest).to_owned();
    expected
}

/// Asserts that the cells of all sessions give the expected results.
pub(crate) async fn assert_cells_as_expected(backend: &dyn Backend) {
    let mut wrong = String::new();
    let sessions = sessions();
    assert!(sessions.len() >= 15);
    for (name, cells) in sessions {
        let mut notebook = Notebook::open(backend).await;
        for (at, cell) in cells.iter().enumerate() {
            let (_, output) = notebook.run(&cell.code).await;
            let error = output.error.as_ref().map(|failure| format!("{}: {}", failure.name, failure.value));
            let same = text(&output) == cell.text
                && error.as_deref().map(str::trim_end) == cell.error.as_deref().map(str::trim_end)
                && output.stdout == cell.stdout;
            if !same {
                let number = at + 1;
                writeln!(
                    wrong,
                    "{name}, cell {number}:\n{}\n{:?} {error:?} {:?}",
                    cell.code,
                    text(&output),
                    output.stdout
                )
                .unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn cells_behave_as_in_a_notebook_in_this_process() {
    harness().block_on(assert_cells_as_expected(&harness().in_process));
}

#[test]
fn cells_behave_as_in_a_notebook_in_workers() {
    harness().block_on(assert_cells_as_expected(&*harness().workers));
}

/// Cells that use the clock, random numbers, addresses and the hash order.
const NONDETERMINISTIC: [&str; 4] = [
    "import random, time, uuid, secrets, datetime\nseen = []",
    "for _ in range(20): seen.append((time.time(), time.perf_counter(), random.random()))",
    "time.sleep(0.5)\nseen += [uuid.uuid4(), secrets.token_hex(), datetime.datetime.now(), id(seen)]",
    "names = list({f'name{n}' for n in range(50)}); random.shuffle(names)",
];

#[test]
fn the_same_cells_with_the_same_tape_reach_the_same_state_in_another_worker() {
    harness().block_on(async {
        let backend = &*harness().workers;
        let (mut first, mut second) = (Notebook::open(backend).await, Notebook::open(backend).await);
        for source in NONDETERMINISTIC {
            let (ran, _) = first.run(source).await;
            let tape = ran.tape.expect("these kernels record a tape");
            let cell = Cell { tape: Some(tape.clone()), ..second.cell(source) };
            let (again, _) = run(second.kernel.as_mut(), &cell, &Limits::default()).await;
            assert_eq!(again.unwrap().tape, Some(tape), "{source}");
        }
        assert_eq!(first.value_of("repr((seen, names))").await, second.value_of("repr((seen, names))").await);
        // After the tape, the kernels use the real sources of randomness.
        assert_ne!(first.value_of("uuid.uuid4().hex").await, second.value_of("uuid.uuid4().hex").await);
    });
}

#[test]
fn a_cell_whose_files_are_too_large_to_report_is_lost_and_no_other_kernel_is() {
    harness().block_on(async {
        let backend = &*harness().workers;
        // One more than there are processes, so that one of them shares the process of the notebook.
        let mut others = Vec::new();
        for _ in 0..3 {
            let mut other = Notebook::open(backend).await;
            other.run("x = 1").await;
            others.push(other);
        }
        let mut notebook = Notebook::open(backend).await;
        let cell = notebook.cell("for n in range(3): open(f'/tmp/{n}', 'wb').write(bytes(24 << 20))");
        let limits = Limits { memory: 512 << 20, wall: Duration::from_secs(60), ..Limits::default() };
        let (ran, _) = run(notebook.kernel.as_mut(), &cell, &limits).await;
        assert!(matches!(&ran, Err(Fault::Lost { reason }) if reason.contains("too long")), "{ran:?}");
        for other in &mut others {
            assert_eq!(other.value_of("x").await, "1");
        }
    });
}

#[test]
fn a_cell_that_diverges_from_its_tape_gives_no_tape() {
    harness().block_on(async {
        let mut notebook = Notebook::open(&harness().in_process).await;
        let (ran, _) = notebook.run("import time\ntimes = [time.time() for _ in range(3)]").await;
        for source in ["import time\ntimes = [time.time()]", "import time\ntimes = [time.time() for _ in range(4)]"] {
            let mut other = Notebook::open(&harness().in_process).await;
            let cell = Cell { tape: ran.tape.clone(), ..other.cell(source) };
            let (again, _) = run(other.kernel.as_mut(), &cell, &Limits::default()).await;
            assert_eq!(again.unwrap().tape, None);
        }
        let (polled, _) = notebook.run("for _ in range(10_000): time.time()").await;
        assert!(polled.tape.unwrap().incomplete, "a cell that polls the clock is not replayed");
    });
}

#[test]
fn changes_of_files_from_outside_reach_the_next_cell_and_its_own_are_reported() {
    harness().block_on(async {
        let mut notebook = Notebook::open(&harness().in_process).await;
        let change = |path: &str, content| Change { path: path.to_owned(), content };
        let source = "import os\nopen('/tmp/made/b', 'w').write(open('given').read() * 2)\nos.remove('old')";
        let mut cell = notebook.cell(source);
        cell.changes = vec![
            change("/home/user/given", Content::File(b"ab".to_vec().into())),
            change("/home/user/old", Content::File(b"x".to_vec().into())),
            change("/tmp/made", Content::Folder),
        ];
        let (ran, output) = run(notebook.kernel.as_mut(), &cell, &Limits::default()).await;
        let mut changes = ran.unwrap().changes;
        changes.sort_by(|one, other| one.path.cmp(&other.path));
        let expected =
            [change("/home/user/old", Content::Removed), change("/tmp/made/b", Content::File(b"abab".to_vec().into()))];
        assert_eq!(changes, expected, "{output:?}");
        let (ran, _) = notebook.run("open('/tmp/made/b').read()").await;
        assert_eq!(ran.changes, []);
    });
}

#[test]
fn a_kernel_that_was_ended_from_outside_fails_as_lost() {
    harness().block_on(async {
        for backend in [&harness().in_process as &dyn Backend, &*harness().workers] {
            for (source, limits) in [
                ("while True: pass", Limits { wall: Duration::from_millis(100), ..Limits::default() }),
                ("import os\nos._exit(3)", Limits::default()),
            ] {
                let mut notebook = Notebook::open(backend).await;
                notebook.run("x = 1").await;
                let cell = notebook.cell(source);
                let (ran, _) = run(notebook.kernel.as_mut(), &cell, &limits).await;
                assert!(!ran.unwrap().alive, "{source}");
                let cell = notebook.cell("x");
                let (after, _) = run(notebook.kernel.as_mut(), &cell, &Limits::default()).await;
                assert!(matches!(after, Err(Fault::Lost { .. })), "{after:?}");
                notebook.kernel.restart().await.unwrap();
                assert_eq!(notebook.value_of("'x' in globals()").await, "False");
            }
        }
    });
}

#[test]
fn a_cell_that_needs_more_escalates_before_it_sees_an_error() {
    harness().block_on(async {
        let limits = Limits { escalation: Escalation::OnNeed, ..Limits::default() };
        for (source, need) in [
            ("print(1)\nimport pandas", Need::Module("pandas".into())),
            ("import subprocess\nsubprocess.run(['ls'])", Need::Process("ls".into())),
        ] {
            let mut notebook = Notebook::open(&harness().in_process).await;
            let cell = notebook.cell(source);
            let (ran, output) = run(notebook.kernel.as_mut(), &cell, &limits).await;
            assert_eq!(ran.unwrap_err(), Fault::Unsupported(need));
            assert_eq!(output.error, None);
        }
        let mut notebook = Notebook::open(&harness().in_process).await;
        for source in ["!ls", "%prun 1", "get_ipython().events"] {
            let cell = notebook.cell(source);
            let (ran, _) = run(notebook.kernel.as_mut(), &cell, &limits).await;
            assert!(matches!(ran, Err(Fault::Unsupported(_))), "{source}: {ran:?}");
            notebook.kernel.restart().await.unwrap();
        }
    });
}

#[test]
fn internal_code_sees_the_kernel_and_leaves_no_trace() {
    harness().block_on(async {
        let mut notebook = Notebook::open(&*harness().workers).await;
        notebook.run("x = 41").await;
        let code = "import sys\ny = sys.modules['__main__'].x + 1\nprint(y)";
        assert_eq!(notebook.kernel.run_internal(code, Duration::from_secs(5)).await.unwrap(), "42\n");
        assert_eq!(notebook.value_of("'y' in globals(), len(In)").await, "(False, 3)");
    });
}
