//! What deciding promises: the policy, the isolation floor, bounds of rules, reloading.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchtower_contract::{Isolation, Language, Languages, Location, Modules, Price, Program};

use super::reload::Reloaded;
use super::{DecideError, Decision, Rules, SharedRules, cases};
use crate::analyse::analyse;
use crate::analyse::tests::workloads;
use crate::request::{Request, RequestLimits};
use crate::route::{TierName, TierStatus};

fn request(code: &str) -> Request {
    Request::new(Program::python(code), &RequestLimits::default()).unwrap()
}

fn status(name: &str, isolation: Isolation, modules: Modules) -> TierStatus {
    TierStatus {
        tier: TierName::from(name),
        languages: Languages::only(Language::Python, modules),
        isolation,
        location: if isolation == Isolation::MicroVm { Location::Remote } else { Location::Local },
        machine: isolation == Isolation::MicroVm,
        internet: isolation == Isolation::MicroVm,
        price_per_second: (isolation == Isolation::MicroVm).then_some(Price(28_000)),
        memory: 1 << 30,
        wall: Duration::from_secs(600),
        up: true,
        starting: false,
        running: 0,
        queued: 0,
        slots: 4,
    }
}

fn statuses() -> Vec<TierStatus> {
    vec![
        status("wasm", Isolation::Wasm, Modules::named(["math", "requests", "random"])),
        status("native", Isolation::Process, Modules::named(["math", "requests", "numpy", "random"])),
        status("e2b", Isolation::MicroVm, Modules::Any),
    ]
}

fn decide(rules: &Rules, request: &Request) -> Result<Decision, DecideError> {
    rules.decide(request, &analyse(&request.program), &statuses())
}

fn route(decision: &Decision) -> Vec<&str> {
    decision.route.tiers().map(TierName::as_str).collect()
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchtower-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn everything_goes_to_remote_tiers_where_they_are_forced_and_elsewhere_only_if_there_is_none() {
    let rules = Rules::force_remote();
    for code in ["1", "import numpy", "for (", "import os; os.system('ls')"] {
        let decision = decide(&rules, &request(code)).unwrap();
        assert_eq!((route(&decision), decision.rule.as_str()), (vec!["e2b"], "remote.forced"), "{code}");
    }
    let request = request("1");
    let local = rules.decide(&request, &analyse(&request.program), &statuses()[..1]).unwrap();
    assert_eq!(route(&local), ["wasm"]);
}

#[test]
fn the_cases_beside_the_policy_pass() {
    let report = cases::test(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../router-rules")).unwrap();
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(report.is_good() && report.passed > 10, "{}", failures.join("\n"));
}

#[test]
fn a_decision_explains_itself() {
    let rules = Rules::builtin();
    let explained = |code: &str| {
        let request = request(code);
        let profile = analyse(&request.program);
        let decision = rules.decide(&request, &profile, &statuses()).unwrap();
        serde_json::json!({ "decision": decision, "profile": profile })
    };
    insta::assert_json_snapshot!("arithmetic", explained("import math\nprint(math.sqrt(2))"));
    insta::assert_json_snapshot!(
        "arrays",
        explained("import numpy as np\nfor i in range(10**7):\n    print(np.random.rand())")
    );
    insta::assert_json_snapshot!(
        "network",
        explained("import requests\nprint(requests.get('https://example.com').text)")
    );
    insta::assert_json_snapshot!("broken", explained("print("));
}

#[test]
fn the_reason_says_what_no_tier_provides() {
    let local = &statuses()[..2];
    let reason = |code: &str, timeout: u64| {
        let mut request = request(code);
        request.timeout = Duration::from_secs(timeout);
        let decision = Rules::builtin().decide(&request, &analyse(&request.program), local).unwrap();
        assert_eq!((decision.rule.as_str(), decision.route.0.len()), ("default.unmet", 2));
        decision.reason
    };
    assert_eq!(reason("import torch\nprint(torch.zeros(1))", 1), "no tier provides module torch");
    assert_eq!(reason("print(1)", 3600), "no tier allows the requested memory and time");
    assert_eq!(
        reason("import numpy\nprint(numpy.zeros(1))", 3600),
        "no tier provides all imported modules with the requested memory and time"
    );
}

#[test]
fn a_local_tier_has_a_budget_only_where_a_faster_tier_follows() {
    let budgets = |decision: &Decision| decision.route.0.iter().map(|leg| leg.budget).collect::<Vec<_>>();
    let decision = decide(&Rules::builtin(), &request("print(1)")).unwrap();
    let (wasm, native) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(60)));
    assert_eq!(budgets(&decision), [wasm, native, None]);
    let heavy = request("for i in range(10**9):\n    print(i)");
    let decision = decide(&Rules::builtin(), &heavy).unwrap();
    assert_eq!((route(&decision), budgets(&decision)), (vec!["native", "e2b", "wasm"], vec![native, None, None]));
    let decision = Rules::builtin().decide(&heavy, &analyse(&heavy.program), &statuses()[..2]).unwrap();
    assert_eq!((route(&decision), budgets(&decision)), (vec!["native", "wasm"], vec![None, None]));
    let alone = [status("wasm", Isolation::Wasm, Modules::named(["math"]))];
    let heavy = request("import numpy\nprint(numpy.zeros(1))");
    let decision = Rules::builtin().decide(&heavy, &analyse(&heavy.program), &alone).unwrap();
    assert_eq!((route(&decision), decision.route.0[0].budget), (vec!["wasm"], None));
}

#[test]
fn a_named_tier_is_the_route_and_an_unknown_one_is_refused_with_the_configured_tiers() {
    let mut request = request("print(1)");
    request.tier = Some("e2b".into());
    let decision = decide(&Rules::builtin(), &request).unwrap();
    assert_eq!((route(&decision), decision.rule.as_str()), (vec!["e2b"], "request"));
    request.tier = Some("moon".into());
    let refused = decide(&Rules::builtin(), &request).unwrap_err().to_string();
    assert_eq!(refused, "unknown tier moon; configured tiers: wasm, native, e2b");
}

#[test]
fn no_route_falls_below_the_isolation_floor() {
    let mut request = request("print(1)");
    request.isolation = Some(Isolation::Wasm);
    assert_eq!(route(&decide(&Rules::builtin(), &request).unwrap()), ["wasm", "e2b"]);
    let rules = compile("fn decide(facts) { #{ reason: \"all\", route: [\"native\", \"e2b\"] } }").unwrap();
    assert_eq!(route(&decide(&rules, &request).unwrap()), ["e2b"]);
    request.tier = Some("native".into());
    assert!(matches!(decide(&rules, &request), Err(DecideError::NoTier { .. })));
    let none = Rules::builtin().decide(&request, &analyse(&request.program), &[]);
    assert!(matches!(none, Err(DecideError::UnknownTier { .. })));
}

#[test]
fn what_uses_the_internet_runs_on_a_local_machine_that_reaches_it_and_on_no_other() {
    let request = request("import requests\nprint(requests.get('https://example.com').text)");
    let decide_with = |internet: bool| {
        let mut machine = status("machine", Isolation::Container, Modules::Any);
        (machine.machine, machine.internet) = (true, internet);
        let mut tiers = statuses();
        tiers[2] = machine;
        Rules::builtin().decide(&request, &analyse(&request.program), &tiers).unwrap()
    };
    assert_eq!(route(&decide_with(true)), ["machine"]);
    // Where nothing reaches it, the cheapest tier reports the error.
    assert_eq!(route(&decide_with(false)), ["wasm", "native", "machine"]);
}

#[test]
fn a_language_that_no_tier_runs_is_refused_with_what_would_help() {
    let mut machine = status("machine", Isolation::Container, Modules::Any);
    machine.machine = true;
    let refused = |language, floor, tiers: &[TierStatus]| {
        let mut request =
            Request::new(Program { language, ..Program::python("x") }, &RequestLimits::default()).unwrap();
        request.isolation = floor;
        Rules::builtin().decide(&request, &analyse(&request.program), tiers).unwrap_err().to_string()
    };
    let cpp = refused(Language::Cpp, None, &[machine.clone()]);
    assert!(cpp.contains("none runs cpp: install it where machine finds it (Debian, Ubuntu: g++;"), "{cpp}");
    let without = refused(Language::Bash, None, &statuses());
    assert!(without.contains("none runs bash: local machines run it, and `switchtower doctor` says why"), "{without}");
    let java = refused(Language::Java, None, &[machine.clone()]);
    assert!(java.contains("none runs java: a cloud may, with its key in E2B_API_KEY"), "{java}");
    let strong = refused(
        Language::Python,
        Some(Isolation::Wasm),
        &[machine, status("wasm", Isolation::Wasm, Modules::Any)].map(|mut tier| {
            if tier.isolation == Isolation::Wasm {
                tier.languages = Languages::default();
            }
            tier
        }),
    );
    assert!(strong.contains("none with isolation wasm or stronger runs python: machine has container"), "{strong}");
}

fn compile(text: &str) -> Result<Rules, super::RulesError> {
    Rules::compile(&[super::rules::RuleSource { path: "x.rhai".into(), text: text.to_owned() }])
}

#[test]
fn an_error_in_a_rule_file_names_the_file_and_line() {
    let folder = Folder::new("wrong");
    for (text, line, message) in [
        ("fn decide(facts) {\n  let x = ;\n}", Some(2), "Unexpected ';'"),
        ("fn decide(facts) {\n\n  nothing\n}", Some(3), "Undefined variable: nothing"),
        ("fn decide(facts) { eval(\"1\") }", Some(1), "keyword 'eval' is disabled"),
        ("import \"x\" as y; fn decide(facts) { () }", Some(1), "import"),
        ("fn decided(facts) { () }", None, "the file defines no function decide(facts)"),
    ] {
        folder.put("a.rhai", text);
        let error = Rules::load(&folder.0).err().expect(text);
        assert_eq!((error.line, error.file.ends_with("a.rhai")), (line, true), "{error}");
        assert!(error.message.contains(message), "{error}");
    }
}

#[test]
fn a_rule_can_neither_loop_forever_nor_sleep_nor_read_the_clock() {
    for body in [
        "loop { }",
        "fn_that_is_not_there()",
        "sleep(1)",
        "timestamp()",
        "let a = []; loop { a.push(1); }",
        "facts.misspelled",
        "42",
    ] {
        let rules = compile(&format!("fn decide(facts) {{ {body} }}")).unwrap();
        assert!(matches!(decide(&rules, &request("1")), Err(DecideError::Rules(_))), "{body}");
    }
    let deep = compile("fn f(x) { f(x + 1) } fn decide(facts) { f(0) }").unwrap();
    assert!(matches!(decide(&deep, &request("1")), Err(DecideError::Rules(_))));
}

#[test]
fn other_files_are_evaluated_before_the_default_and_may_have_no_opinion() {
    let folder = Folder::new("order");
    folder.put(
        "tenants.rhai",
        "fn decide(facts) { if facts.score < 1.0 { #{ reason: \"small\", rule: \"r\", route: [\"e2b\"] } } }",
    );
    folder.put("broken.rhai", "fn decide(facts) {\n  facts.score + facts.class.x\n}");
    let rules = Rules::load(&folder.0).unwrap();
    let decision = decide(&rules, &request("print(1)")).unwrap();
    assert_eq!((decision.rule.as_str(), route(&decision)), ("tenants.r", vec!["e2b"]));
    assert!(decision.skipped[0].starts_with("broken.rhai, line 2: "), "{:?}", decision.skipped);
    assert_eq!(decision.skipped.len(), 1);
    let heavy = decide(&rules, &request("for i in range(10**9):\n    print(i)")).unwrap();
    assert_eq!(heavy.rule, "default.heavy");
}

#[test]
fn a_file_that_is_passed_over_is_logged_once_for_each_compiled_set() {
    let folder = Folder::new("logged");
    folder.put("broken.rhai", "fn decide(facts) { throw 1 }");
    folder.put("odd.rhai", "fn decide(facts) { 42 }");
    let logged = |rules: &Rules| {
        let warnings = Warnings::default();
        tracing::subscriber::with_default(warnings.clone(), || {
            for _ in 0..3 {
                assert_eq!(decide(rules, &request("print(1)")).unwrap().skipped.len(), 2);
            }
        });
        warnings.0.load(Ordering::Relaxed)
    };
    let rules = Rules::load(&folder.0).unwrap();
    assert_eq!((logged(&rules), logged(&rules)), (2, 0));
    assert_eq!(logged(&Rules::load(&folder.0).unwrap()), 2);
}

/// Counts the warnings in the log.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn small_training_has_a_budget_below_a_third_of_its_time_out_and_large_training_runs_elsewhere() {
    let native = status("native", Isolation::Process, Modules::named(["sklearn", "numpy"]));
    let statuses = [native, status("e2b", Isolation::MicroVm, Modules::Any)];
    let budget = |code: &str, timeout: u64| {
        let mut request = request(code);
        request.timeout = Duration::from_secs(timeout);
        let decision = Rules::builtin().decide(&request, &analyse(&request.program), &statuses).unwrap();
        (decision.route.0[0].tier.to_string(), decision.route.0[0].budget.map(|budget| budget.as_secs()))
    };
    let fit = |data: &str| format!("from sklearn.svm import SVC\nSVC().fit({data}, [0, 1])");
    assert_eq!(budget(&fit("[[1], [2]]"), 300), ("native".to_owned(), Some(15)));
    assert_eq!(budget(&fit("[[1], [2]]"), 30), ("native".to_owned(), Some(10)));
    assert_eq!(budget(&fit("data"), 300), ("native".to_owned(), Some(5)));
    let large =
        "import numpy as np\nfrom sklearn.svm import SVC\nX = np.random.rand(10**6, 50)\nSVC().fit(X, X[:, 0] > 0.5)";
    assert_eq!(budget(large, 300), ("e2b".to_owned(), None));
}

/// Packages of the scientific tier that the workloads use.
const SCIENTIFIC: [&str; 26] = [
    "PIL",
    "aiohttp",
    "bs4",
    "cv2",
    "dateutil",
    "docx",
    "jinja2",
    "joblib",
    "lxml",
    "matplotlib",
    "mpl_toolkits",
    "networkx",
    "nltk",
    "numpy",
    "openpyxl",
    "pandas",
    "plotly",
    "pytz",
    "requests",
    "scipy",
    "seaborn",
    "skimage",
    "sklearn",
    "statsmodels",
    "sympy",
    "tqdm",
];

#[test]
fn the_default_rules_keep_nearly_all_of_each_mix_of_programs_local() {
    let Some(items) = workloads::workloads() else { return };
    let mix: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(workloads::folder().join("mix.json")).unwrap()).unwrap();
    let texts = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let top = |module: String| module.split('.').next().unwrap_or_default().to_owned();
    let mut standard: Vec<String> = Vec::new();
    for item in &items {
        let others = texts(&item["third_party"]);
        standard.extend(texts(&item["imports"]).into_iter().map(top).filter(|module| !others.contains(module)));
    }
    let with = |others: &[&str]| Modules::named(standard.iter().map(String::as_str).chain(others.iter().copied()));
    let statuses = [
        status("wasm", Isolation::Wasm, with(&["sympy", "mpmath"])),
        status("native", Isolation::Process, with(&SCIENTIFIC)),
        status("e2b", Isolation::MicroVm, Modules::Any),
    ];
    let rules = Rules::builtin();
    let mut counts: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for item in &items {
        let request = request(item["code"].as_str().unwrap());
        let decision = rules.decide(&request, &analyse(&request.program), &statuses).unwrap();
        let count = counts.entry(item["category"].as_str().unwrap()).or_default();
        count.0 += f64::from(u8::from(route(&decision)[0] != "e2b"));
        count.1 += 1.0;
    }
    for (name, least) in [("A", 92.75), ("B", 94.5), ("C", 96.4)] {
        let weights = mix["weights"][name].as_object().unwrap();
        let share = |category: &String| counts[category.as_str()].0 / counts[category.as_str()].1;
        let weight = |weight: &serde_json::Value| weight.as_f64().unwrap();
        let all: f64 = weights.values().map(weight).sum();
        let local: f64 = weights.iter().map(|(category, value)| weight(value) * share(category)).sum();
        let percent = 100.0 * local / all;
        println!("mix {name}: {percent:.2} % local");
        assert!(percent >= least, "mix {name}: {percent:.2} %");
    }
    assert_eq!(counts["ml_training"].0, counts["ml_training"].1, "each of them ends within seconds");
}

#[test]
fn an_invalid_file_leaves_the_old_set_in_force_and_is_reported_once() {
    let folder = Folder::new("reload");
    folder.put("default.rhai", "fn decide(facts) { #{ reason: \"one\", route: [\"wasm\"] } }");
    let shared = SharedRules::load(&folder.0).unwrap();
    let reason = || decide(&shared.current(), &request("1")).unwrap().reason;
    assert_eq!(shared.check(), None);

    folder.put("default.rhai", "fn decide(facts) { #{ reason: \"two\", route: [\"wasm\"] } }");
    let earlier = shared.current();
    assert_eq!(shared.check(), Some(Reloaded::Replaced { version: 2 }));
    assert_eq!((reason().as_str(), decide(&earlier, &request("1")).unwrap().reason.as_str()), ("two", "one"));

    folder.put("default.rhai", "fn decide(facts) {");
    assert!(matches!(shared.check(), Some(Reloaded::Kept(_))));
    assert_eq!((shared.check(), reason().as_str()), (None, "two"));
    assert!(shared.state().error.is_some());

    folder.put("default.rhai", "fn decide(facts) { #{ reason: \"three\", route: [\"wasm\"] } }");
    assert_eq!(shared.check(), Some(Reloaded::Replaced { version: 3 }));
    assert_eq!((reason().as_str(), shared.state().error), ("three", None));
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_large_file_among_the_rules_is_reported_by_name_and_never_read_to_the_end() {
    use std::process::Command;

    let folder = Folder::new("irregular");
    folder.put("default.rhai", "fn decide(facts) { #{ reason: \"one\", route: [\"wasm\"] } }");
    let shared = SharedRules::load(&folder.0).unwrap();
    let made = |name: &str| Command::new("mkfifo").arg(folder.0.join(name)).status().unwrap().success();
    let refused = |shared: &SharedRules, name: &str, message: &str| {
        let Some(Reloaded::Kept(error)) = shared.check() else { panic!("{name} is accepted") };
        assert!(error.file.ends_with(name) && error.message.contains(message), "{error}");
        assert_eq!(Rules::load(&folder.0).err(), Some(error));
        fs::remove_file(folder.0.join(name)).unwrap();
        assert!(matches!(shared.check(), Some(Reloaded::Replaced { .. })), "{name}");
    };
    assert!(made("pipe.rhai"));
    refused(&shared, "pipe.rhai", "not a regular file");
    std::os::unix::fs::symlink("/dev/zero", folder.0.join("zero.rhai")).unwrap();
    refused(&shared, "zero.rhai", "not a regular file");
    folder.put("large.rhai", &format!("fn decide(facts) {{ () }}\n//{}", "x".repeat(256 << 10)));
    refused(&shared, "large.rhai", "more than 262144 bytes");

    assert!(made("pipe.cases.toml"));
    assert!(cases::test(&folder.0).unwrap_err().message.contains("not a regular file"));
    fs::remove_file(folder.0.join("pipe.cases.toml")).unwrap();
    fs::rename(folder.0.join("default.rhai"), folder.0.join("target")).unwrap();
    std::os::unix::fs::symlink("target", folder.0.join("default.rhai")).unwrap();
    assert!(Rules::load(&folder.0).is_ok(), "a link to a regular file is read");
}

#[test]
fn every_fact_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    let page = fs::read_to_string(page).unwrap();
    let request = request("print(1)");
    let statuses = statuses();
    let facts = super::facts::facts(&request, &analyse(&request.program), &statuses.iter().collect::<Vec<_>>());
    let tier = facts["tiers"].clone().into_typed_array::<rhai::Map>().unwrap().remove(0);
    for name in facts.keys().chain(tier.keys()) {
        let documented = [format!("`{name}`"), format!("`{name}.NAME`")].iter().any(|form| page.contains(form));
        assert!(documented, "docs/rules.md does not describe {name}");
    }
}
