//! Sessions that move from the real local kernel to a real Python behind the stand-in. The folder `moves` has the sessions, each
//! with the expected result of the move.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchtower_contract::{NetworkPolicy, Output};
use switchtower_core::error::Error;
use switchtower_core::session::{AtEnd, CellEvent, CreateSession, ExecuteCell, Session, Sessions};
use tokio::sync::mpsc;

use super::harness::TestHarness;

/// A session: its cells, and the expected result of a move before the last of them.
struct Case {
    cells: Vec<String>,
    /// The cell that prevents the move, if the reason names one, and words of the reason; `None`: it moves.
    fails: Option<(Option<u32>, String)>,
}

fn cases() -> BTreeMap<String, Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/moves");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let cases = files.filter(|path| {
        path.extension().is_some_and(|kind| kind == "py") && path.file_stem().is_some_and(|name| name != "check")
    });
    cases
        .map(|path| (std::fs::read_to_string(&path).unwrap(), path))
        // The first tier is not native.
        .filter(|(text, _)| !text.lines().take(3).any(|line| line.starts_with("# packages: ")))
        .map(|(text, path)| {
            let (head, cells) = text.split_once("# %%\n").unwrap();
            let fails = head.lines().find_map(|line| line.strip_prefix("# fails: cell ")).map(|expected| {
                let (cell, words) = expected.split_once(": ").unwrap();
                ((cell != "None").then(|| cell.parse().unwrap()), words.to_owned())
            });
            let cells = cells.split("# %%\n").map(str::to_owned).collect();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), Case { cells, fails })
        })
        .collect()
}

pub(super) async fn open(sessions: &Sessions) -> Arc<Session> {
    let options = CreateSession {
        template: "base".to_owned(),
        timeout: Duration::from_secs(600),
        metadata: BTreeMap::new(),
        env: BTreeMap::new(),
        at_end: AtEnd::Kill,
        auto_resume: false,
        network: NetworkPolicy::OPEN,
        public_ports: false,
        open_interpreter: false,
    };
    sessions.create(&switchtower_core::request::Caller::default(), options).await.unwrap()
}

/// Runs a cell and returns its output and its tier.
pub(super) async fn run(session: &Session, source: &str) -> Result<(Output, String), Error> {
    let (sender, mut receiver) = mpsc::channel(64);
    let cell = ExecuteCell { source: source.to_owned(), ..ExecuteCell::default() };
    let mut output = Output::default();
    let run = async {
        let answer = session.execute(cell, &sender).await;
        drop(sender);
        answer
    };
    let collect = async {
        while let Some(event) = receiver.recv().await {
            if let CellEvent::Output { event, .. } = event {
                output.push(event);
            }
        }
    };
    let (answer, ()) = tokio::join!(run, collect);
    Ok((output, answer?.tier.to_string()))
}

/// The standard output of a cell, its result, and the name and value of its error.
type CellResult = (String, Option<String>, Option<(String, String)>);

/// Returns the parts of a cell's output that must be equal before and after the move.
fn result_of(output: &Output) -> CellResult {
    let shown = output.results.iter().find(|shown| shown.main).and_then(|shown| shown.data.get("text/plain"));
    // The service removes the quotes.
    let shown = shown.map(|text| text.trim_matches(['\'', '"']).to_owned());
    let error = output.error.as_ref().map(|failure| (failure.name.clone(), failure.value.clone()));
    (output.stdout.clone(), shown, error)
}

/// Returns the result that a cell would have in the local kernel. It is interrupted at its end, so that the state is restored.
async fn preview(session: &Session, source: &str) -> CellResult {
    const END: &str = "\u{1}the end";
    let source = format!(
        "def _preview(source):\n    import ast\n    tree, last = ast.parse(source), None\n    \
         if tree.body and isinstance(tree.body[-1], ast.Expr):\n        \
             last = ast.Expression(tree.body.pop().value)\n    try:\n        \
             exec(compile(tree, '<preview>', 'exec'), globals())\n        \
             value = last and eval(compile(last, '<preview>', 'eval'), globals())\n        \
             if value is not None: display(value)\n    except BaseException as error:\n        \
             print('\\x02', type(error).__name__, '\\x02', error, sep='', end='')\n    \
         import sys\n    print({}, flush=True, file=sys.__stdout__)\n    while True: pass\nimport sys\n_preview({})",
        json!(END),
        json!(source)
    );
    let (sender, mut receiver) = mpsc::channel(64);
    let mut output = Output::default();
    let cell = ExecuteCell { source, timeout: Some(Duration::from_secs(9)), ..ExecuteCell::default() };
    let collect = async {
        while let Some(event) = receiver.recv().await {
            if let CellEvent::Output { event, .. } = event {
                output.push(event);
            }
            if output.stdout.contains(END) {
                return;
            }
        }
    };
    tokio::select! {
        answer = session.execute(cell, &sender) => panic!("the cell ended before its interrupt: {answer:?}"),
        () = collect => {}
    }
    let (stdout, _) = output.stdout.split_once(END).unwrap();
    let mut parts = stdout.split('\u{2}');
    let stdout = parts.next().unwrap_or_default().to_owned();
    let error = parts.next().map(|name| (name.to_owned(), parts.next().unwrap_or_default().to_owned()));
    let shown = output.results.last().and_then(|shown| shown.data.get("text/plain"));
    (stdout, shown.map(|text| text.trim_matches(['\'', '"']).to_owned()), error)
}

/// Moves a session before its last cell. `Err`: how the result differs from the expected one.
async fn check(sessions: &Sessions, case: &Case) -> Result<(), String> {
    let (last, before) = case.cells.split_last().unwrap();
    let session = open(sessions).await;
    for cell in before {
        let (_, tier) = run(&session, cell).await.map_err(|error| format!("a local cell failed: {error}"))?;
        if tier != "wasm" {
            return Err(format!("it ran in {tier}: {cell}"));
        }
    }
    let expected = preview(&session, last).await;
    let moved = session.promote("the test").await.map(drop);
    let verdict = match (&case.fails, moved) {
        (None, Ok(())) => {
            let (output, tier) = run(&session, last).await.map_err(|error| error.to_string())?;
            match result_of(&output) {
                _ if tier != "e2b" => Err(format!("the last cell ran in {tier}")),
                result if result == expected => Ok(()),
                result => Err(format!("before {expected:?}\nafter {result:?}")),
            }
        }
        (Some((cell, words)), Err(error)) => {
            let error = error.to_string();
            let is_named = cell.is_none_or(|cell| error.contains(&format!("cell {cell} ")));
            let named = is_named && error.contains(words.as_str());
            let stays = run(&session, "1 + 1").await;
            match stays {
                _ if !named => Err(format!("cell {cell:?} and {words:?} are not in {error:?}")),
                Ok((_, tier)) if tier == "wasm" => Ok(()),
                other => Err(format!("the session does not go on: {other:?}")),
            }
        }
        (None, Err(error)) => Err(format!("it does not move: {error}")),
        (Some(_), Ok(())) => Err("it moves".to_owned()),
    };
    session.end();
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_session_continues_unchanged_or_reports_what_cannot_be_moved() {
    let harness = TestHarness::open().await;
    let mut wrong = String::new();
    let cases = cases();
    assert!(cases.len() >= 80);
    for (name, case) in &cases {
        if let Err(why) = check(&harness.sessions, case).await {
            writeln!(wrong, "{name}: {why}\n").unwrap();
        }
    }
    harness.close().await;
    assert!(wrong.is_empty(), "{wrong}");
}
