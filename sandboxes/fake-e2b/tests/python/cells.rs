//! Results, errors and output of cells.

use serde_json::json;

use crate::harness::TestHarness;

#[tokio::test(flavor = "multi_thread")]
async fn state_lasts_and_executions_are_counted() {
    let harness = TestHarness::new().await;
    assert_eq!(harness.run("x = 20").await.count, 1);
    let ran = harness.run("x += 1\nx * 2").await;
    assert_eq!(
        (ran.count, &ran.results[0]["text"], &ran.results[0]["is_main_result"]),
        (2, &json!("42"), &json!(true))
    );
    // A blank cell is not counted.
    assert_eq!((harness.run("").await.count, harness.run(" \n").await.count), (3, 3));
    let ran = harness.run("x;").await;
    assert_eq!((ran.count, ran.results.len()), (3, 0));
    assert!(harness.run("x; # why").await.results.is_empty());
    assert!(harness.run("None").await.results.is_empty());
    assert_eq!(harness.value("_ + 1").await, "43");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_representation_of_a_result_arrives() {
    let harness = TestHarness::new().await;
    assert_eq!(harness.value("'it is'").await, "it is");
    assert_eq!(harness.value("\"it's\"").await, "it's");
    assert_eq!(harness.run("[1, {'a': None}]").await.results[0]["json"], json!([1, {"a": null}]));
    assert_eq!(harness.run("{1: 2}").await.results[0]["json"], json!({"1": 2}));
    assert!(harness.run("{(1, 2): 3}").await.results[0].get("json").is_none());
    let shows = "class Shown:
    def __repr__(self): return 'plain'
    def _repr_html_(self): return '<b>'
    def _repr_png_(self): return b'png'
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {'e2b/chart': {'type': 'bar'}, 'e2b/data': {'a': [1]}, 'x/y': 'z'}
display(Shown())
Shown()";
    let ran = harness.run(shows).await;
    assert_eq!(ran.results.iter().map(|r| r["is_main_result"] == true).collect::<Vec<_>>(), [false, true]);
    let last = &ran.results[1];
    assert_eq!((&last["text"], &last["html"], &last["png"]), (&json!("plain"), &json!("<b>"), &json!("cG5n")));
    assert_eq!(
        (&last["chart"]["type"], &last["data"]["a"][0], &last["extra"]["x/y"]),
        (&json!("bar"), &json!(1), &json!("z"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_has_its_name_its_whole_value_and_a_traceback() {
    let harness = TestHarness::new().await;
    harness.run("def f(n):\n    return 1 / n").await;
    let ran = harness.run("a = 1\nf(a - 1)").await;
    // The server joins the parts with nothing.
    let expected = "\
---------------------------------------------------------------------------\
ZeroDivisionError                         Traceback (most recent call last)\
Cell In[2], line 2
      1 a = 1
----> 2 f(a - 1)
Cell In[1], line 2, in f(n)
      1 def f(n):
----> 2     return 1 / n
ZeroDivisionError: division by zero";
    assert_eq!(ran.error.unwrap()["traceback"], expected);
    let (name, value) = harness.error("class Final(BaseException): pass\nraise Final('safe:' + 'x' * 100_000)").await;
    assert_eq!((name.as_str(), value.len()), ("Final", 100_005));
    let ran = harness.run("x = 1\ny = = 2").await;
    let error = ran.error.unwrap();
    assert_eq!(error["name"], "SyntaxError");
    assert_eq!(error["traceback"], "  Cell In[4], line 2\n    y = = 2\n        ^\nSyntaxError: invalid syntax\n");
    assert_eq!(harness.error("input('?')").await.0, "StdinNotImplementedError");
    let left = harness.run("import sys\nsys.exit(3)").await;
    assert_eq!(
        (&left.error.as_ref().unwrap()["name"], &left.error.as_ref().unwrap()["value"]),
        (&json!("SystemExit"), &json!("3"))
    );
    assert!(left.stderr.contains("UserWarning: To exit: use 'exit', 'quit', or Ctrl-D."), "{}", left.stderr);
    assert_eq!(harness.value("a").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_of_the_program_and_of_its_child_processes_arrives() {
    let harness = TestHarness::new().await;
    let ran = harness.run("import os, sys, subprocess\nprint('a' * 200_000)").await;
    assert_eq!(ran.stdout.len(), 200_001);
    let ran =
        harness.run("subprocess.run(['sh', '-c', 'echo child; echo complaint >&2'])\nos.write(1, b'raw\\n');").await;
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("child\nraw\n", "complaint\n"));
    let ran = harness.run("print(1); print(2, file=sys.stderr); print('\\ud800é')").await;
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1\n?é\n", "2\n"));
    let forked =
        "import multiprocessing\np = multiprocessing.get_context('fork').Process(target=print, args=('forked',))
p.start(); p.join()";
    assert_eq!(harness.run(forked).await.stdout, "forked\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_belongs_to_the_sandbox() {
    let harness = TestHarness::new().await;
    let named = "import os; [os.environ.get(n) for n in ('GIVEN', 'E2B_SANDBOX', 'E2B_TEMPLATE_ID', 'ONCE', 'HOME')]";
    let order = json!({"code": named, "env_vars": {"ONCE": "1", "GIVEN": "other"}});
    let home = harness.value("import os; os.path.expanduser('~')").await;
    let expected = json!(["other", "true", "mine:v1", "1", home]);
    assert_eq!(harness.run_with(order).await.results[0]["json"], expected);
    assert_eq!(harness.run(named).await.results[0]["json"], json!(["yes", "true", "mine:v1", null, home]));
    assert_eq!(harness.value("sorted(n for n in os.environ if 'CARGO' in n or 'KEY' in n)").await, "[]");
    assert_eq!(harness.value("os.environ['E2B_SANDBOX_ID']").await, harness.sandbox.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn top_level_await_works() {
    let harness = TestHarness::new().await;
    assert_eq!(harness.value("import asyncio\nawait asyncio.sleep(0, 5)").await, "5");
    let kept = "async def later():\n    await asyncio.sleep(0)\n    return 6\ntask = asyncio.ensure_future(later())\nawait task";
    assert_eq!(harness.value(kept).await, "6");
    assert_eq!(
        harness.value("task = asyncio.create_task(later())\nawait asyncio.gather(task, later())").await,
        "[6, 6]"
    );
    let (name, value) = harness.error("asyncio.run(later())").await;
    assert_eq!(
        (name.as_str(), value.as_str()),
        ("RuntimeError", "asyncio.run() cannot be called from a running event loop")
    );
    assert_eq!(harness.value("async with asyncio.timeout(1):\n    y = 7\ny").await, "7");
}
