//! IPython's syntax in cells, and what programs reach by `get_ipython()`.

use std::collections::BTreeSet;

use switchtower_fake_e2b::{KernelMode, Plan, Settings, Template};

use crate::harness::TestHarness;

#[tokio::test(flavor = "multi_thread")]
async fn shell_commands_and_magics_run() {
    let harness = TestHarness::new().await;
    let ran = harness.run("n = 2\nif True:\n    !echo \"it's $((n+1))\" {n * 2} $n; echo e >&2").await;
    assert_eq!(ran.stdout, "it's 1 4 2\r\ne\r\n", "{ran:?}");
    assert_eq!(harness.value("found = !printf 'a\\nb\\n'\nfound").await, "['a', 'b']");
    let ran = harness.run("%%bash\nx=3\necho $x").await;
    assert_eq!(ran.stdout, "3\n");
    assert!(harness.run("%time n = 3").await.stdout.contains("Wall time"));
    assert_eq!(harness.value("%matplotlib inline\nn").await, "3");
    assert!(harness.run("%pip --version").await.stdout.starts_with("pip "));
    assert_eq!(harness.error("%nothing").await.0, "UsageError");
    assert_eq!(harness.run("%%writefile made.txt\nline\n").await.stdout, "Writing made.txt\n");
    assert_eq!(harness.run("!cat made.txt").await.stdout, "line\r\n");
    assert_eq!(harness.value("x = '''\n!no\n%no'''\nlen(x)").await, "8");
    assert_eq!(harness.value("a = (7\n  % 4)\na").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_before_each_cell_is_called_with_one_argument() {
    let harness = TestHarness::new().await;
    harness.run("calls = []\ndef note(info): calls.append(info.raw_cell)\nip = get_ipython()").await;
    harness.run("ip.events.register('pre_run_cell', note)").await;
    assert_eq!(harness.value("calls").await, "['calls']");
    harness.run("ip.events.unregister('pre_run_cell', note)").await;
    assert_eq!(harness.value("len(calls), ip.user_ns is globals()").await, "(2, True)");
    assert!(
        harness.run("ip.run_line_magic('pwd', '')").await.results[0]["text"].as_str().unwrap().ends_with("/home/user")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ipython_can_be_imported_where_it_is_not_installed() {
    let harness = TestHarness::new().await;
    let code =
        "from IPython.display import display, HTML, Markdown\nimport IPython\ndisplay(HTML('<i>'), Markdown('*'))
IPython.get_ipython() is get_ipython()";
    let ran = harness.run(code).await;
    assert_eq!((&ran.results[0]["html"], &ran.results[1]["markdown"]), (&"<i>".into(), &"*".into()));
    assert_eq!(ran.results[2]["text"], "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_without_a_module_does_not_import_it() {
    let template = Template { tag: "v1".to_owned(), modules: Some(BTreeSet::new()) };
    let templates = [("mine".to_owned(), template)].into();
    let kernels = KernelMode::python();
    let harness =
        TestHarness::with(Settings { plan: Plan::Unlimited, kernels, templates, ..Settings::default() }).await;
    assert_eq!(harness.value("import json, IPython; json.dumps(1)").await, "1");
    let (name, value) = harness.error("import pip").await;
    assert_eq!((name.as_str(), value.as_str()), ("ModuleNotFoundError", "No module named 'pip'"));
}
