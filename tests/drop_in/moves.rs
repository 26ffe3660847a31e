//! Sessions that move: real cells in the real kernel here, then in a real Python behind the stand-in. Beside this file
//! lie the sessions, each with what is to become of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchtower_contract::Output;
use switchtower_core::error::Error;
use switchtower_core::session::{AtEnd, CellEvent, CreateSession, ExecuteCell, Session, Sessions};
use tokio::sync::mpsc;

use super::harness::TestHarness;

/// A session of the data: cells, and what is to become of it when it moves before the last of them.
struct Case {
    cells: Vec<String>,
    /// The cell that keeps it from moving, and words of the reason; None: it moves.
    fails: Option<(u32, String)>,
}

fn cases() -> BTreeMap<String, Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/moves");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let cases = files.filter(|path| {
        path.extension().is_some_and(|kind| kind == "py") && path.file_stem().is_some_and(|name| name != "check")
    });
    cases
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let (head, cells) = text.split_once("# %%\n").unwrap();
            let fails = head.lines().find_map(|line| line.strip_prefix("# fails: cell ")).map(|told| {
                let (cell, words) = told.split_once(": ").unwrap();
                (cell.parse().unwrap(), words.to_owned())
            });
            let cells = cells.split("# %%\n").map(str::to_owned).collect();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), Case { cells, fails })
        })
        .collect()
}

async fn open(sessions: &Sessions) -> Arc<Session> {
    open_as(sessions, false).await
}

/// One that stays here.
pub(super) async fn open_offline(sessions: &Sessions) -> Arc<Session> {
    open_as(sessions, true).await
}

async fn open_as(sessions: &Sessions, offline: bool) -> Arc<Session> {
    let asked = CreateSession {
        template: "base".to_owned(),
        timeout: Duration::from_secs(600),
        metadata: BTreeMap::new(),
        env: BTreeMap::new(),
        at_end: AtEnd::Kill,
        auto_resume: false,
        offline,
        public_ports: false,
    };
    sessions.create(&switchtower_core::request::Caller::default(), asked).await.unwrap()
}

pub(super) async fn run(session: &Session, source: &str) -> Result<(Output, String), Error> {
    let (to, mut from) = mpsc::channel(64);
    let cell = ExecuteCell { source: source.to_owned(), ..ExecuteCell::default() };
    let mut output = Output::default();
    let run = async {
        let done = session.execute(cell, &to).await;
        drop(to);
        done
    };
    let listen = async {
        while let Some(said) = from.recv().await {
            if let CellEvent::Output { event, .. } = said {
                output.push(event);
            }
        }
    };
    let (done, ()) = tokio::join!(run, listen);
    Ok((output, done?.tier.to_string()))
}

/// What a cell printed, what it shows, and its error's name and value.
type Seen = (String, Option<String>, Option<(String, String)>);

/// What of a cell's output is to be the same here and there.
fn seen(output: &Output) -> Seen {
    let shown = output.results.iter().find(|shown| shown.main).and_then(|shown| shown.data.get("text/plain"));
    // The service takes the quotes off.
    let shown = shown.map(|text| text.trim_matches(['\'', '"']).to_owned());
    let error = output.error.as_ref().map(|failure| (failure.name.clone(), failure.value.clone()));
    (output.stdout.clone(), shown, error)
}

/// What a cell would say here. Told, it is broken off, so the state is as it was before.
async fn look(session: &Session, source: &str) -> Seen {
    const END: &str = "\u{1}the end";
    let source = format!(
        "def _look(source):\n    import ast\n    tree, last = ast.parse(source), None\n    \
         if tree.body and isinstance(tree.body[-1], ast.Expr):\n        \
             last = ast.Expression(tree.body.pop().value)\n    try:\n        \
             exec(compile(tree, '<look>', 'exec'), globals())\n        \
             value = last and eval(compile(last, '<look>', 'eval'), globals())\n        \
             if value is not None: display(value)\n    except BaseException as error:\n        \
             print('\\x02', type(error).__name__, '\\x02', error, sep='', end='')\n    \
         print({}, flush=True)\n    while True: pass\nimport sys\n_look({})",
        json!(END),
        json!(source)
    );
    let (to, mut from) = mpsc::channel(64);
    let mut output = Output::default();
    let cell = ExecuteCell { source, timeout: Some(Duration::from_secs(9)), ..ExecuteCell::default() };
    let listen = async {
        while let Some(said) = from.recv().await {
            if let CellEvent::Output { event, .. } = said {
                output.push(event);
            }
            if output.stdout.contains(END) {
                return;
            }
        }
    };
    tokio::select! {
        done = session.execute(cell, &to) => panic!("it is broken off: {done:?}"),
        () = listen => {}
    }
    let (said, _) = output.stdout.split_once(END).unwrap();
    let mut parts = said.split('\u{2}');
    let stdout = parts.next().unwrap_or_default().to_owned();
    let error = parts.next().map(|name| (name.to_owned(), parts.next().unwrap_or_default().to_owned()));
    let shown = output.results.last().and_then(|shown| shown.data.get("text/plain"));
    (stdout, shown.map(|text| text.trim_matches(['\'', '"']).to_owned()), error)
}

/// Moves it before its last cell. What is wrong with that, if anything.
async fn moves(sessions: &Sessions, case: &Case) -> Result<(), String> {
    let (last, before) = case.cells.split_last().unwrap();
    let session = open(sessions).await;
    for cell in before {
        let (_, tier) = run(&session, cell).await.map_err(|error| format!("a cell does not run here: {error}"))?;
        if tier != "wasm" {
            return Err(format!("it ran in {tier}: {cell}"));
        }
    }
    let looked = look(&session, last).await;
    let moved = session.promote("the test").await.map(drop);
    let told = match (&case.fails, moved) {
        (None, Ok(())) => {
            let (output, tier) = run(&session, last).await.map_err(|error| error.to_string())?;
            match looked {
                _ if tier != "e2b" => Err(format!("the last cell ran in {tier}")),
                here if here == seen(&output) => Ok(()),
                here => Err(format!("here {here:?}\nthere {:?}", seen(&output))),
            }
        }
        (Some((cell, words)), Err(error)) => {
            let error = error.to_string();
            let named = error.contains(&format!("cell {cell} ")) && error.contains(words.as_str());
            let stays = run(&session, "1 + 1").await;
            match stays {
                _ if !named => Err(format!("cell {cell} and {words:?} are not in {error:?}")),
                Ok((_, tier)) if tier == "wasm" => Ok(()),
                other => Err(format!("it does not go on here: {other:?}")),
            }
        }
        (None, Err(error)) => Err(format!("it does not move: {error}")),
        (Some(_), Ok(())) => Err("it moves".to_owned()),
    };
    session.end();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_session_continues_unchanged_or_names_what_cannot_be_moved() {
    let harness = TestHarness::open().await;
    let mut wrong = String::new();
    let cases = cases();
    assert!(cases.len() >= 80);
    for (name, case) in &cases {
        if let Err(why) = moves(&harness.sessions, case).await {
            writeln!(wrong, "{name}: {why}\n").unwrap();
        }
    }
    harness.close().await;
    assert!(wrong.is_empty(), "{wrong}");
}
