//! JavaScript and TypeScript: what programs see, what is observed of them, and that nothing gets out.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use switchtower_contract::scripted::{Scripted, Settings};
use switchtower_contract::{
    Backend, Cell, Content, Effect, Events, Exit, Fault, File, Isolation, Kernel, KernelOptions, Language, Languages,
    Limits, Modules, Need, Output, Program,
};
use switchtower_core::cache::{self, CacheStatus, ResultCache};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::request::{Request, RequestLimits};
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{self, Tier, Tiers};

use super::harness::{TestProgram, TestRun, harness};

fn javascript(source: &str) -> TestProgram {
    TestProgram { program: Program::new(Language::JavaScript, source), limits: Limits::default() }
}

fn typescript(source: &str) -> TestProgram {
    TestProgram { program: Program::new(Language::TypeScript, source), limits: Limits::default() }
}

/// Returns the text and the JSON of the main result.
fn value(ran: &TestRun) -> (&str, Option<&str>) {
    let shown = ran.output.results.iter().find(|value| value.main).unwrap_or_else(|| panic!("{ran:#?}"));
    (&shown.data["text/plain"], shown.data.get("application/json").map(String::as_str))
}

#[test]
fn output_is_formatted_as_node_does() {
    let source = r#"
console.log({ a: [1, 2, { b: { c: {} } }], s: "it's", m: new Map([['k', new Set([1])]]), n: -0, f() {}, d: new Date(0) });
console.log('%s is %d, %j', 'x', '42', { y: 1 }, [undefined, null], 12n, Symbol('z'));
console.table([{ a: 1, b: 'x' }, { a: 2 }]);
console.group('in'); console.log('two\nlines'); console.groupEnd();
class P { constructor() { this.x = 1 } }
console.log([new P(), Buffer.from('hi'), /x/g, class Q extends P {}], Array.from({ length: 30 }, (_, i) => i));
"#;
    let expected = "\
{
  a: [ 1, 2, { b: [Object] } ],
  s: \"it's\",
  m: Map(1) { 'k' => Set(1) { 1 } },
  n: -0,
  f: [Function: f],
  d: 1970-01-01T00:00:00.000Z
}
x is 42, {\"y\":1} [ undefined, null ] 12n Symbol(z)
┌─────────┬───┬─────┐
│ (index) │ a │ b   │
├─────────┼───┼─────┤
│ 0       │ 1 │ 'x' │
│ 1       │ 2 │     │
└─────────┴───┴─────┘
in
  two
  lines
[ P { x: 1 }, <Buffer 68 69>, /x/g, [class Q extends P] ] [
   0,  1,  2,  3,  4,  5,  6,  7,  8,
   9, 10, 11, 12, 13, 14, 15, 16, 17,
  18, 19, 20, 21, 22, 23, 24, 25, 26,
  27, 28, 29
]
";
    assert_eq!(javascript(source).in_worker().stdout(), expected);
}

#[test]
fn the_value_of_the_last_expression_is_shown_and_promises_are_awaited() {
    let shown = |source: &str| {
        let ran = javascript(source).in_worker();
        let (text, json) = value(&ran);
        (text.to_owned(), json.map(str::to_owned))
    };
    assert_eq!(shown("const o = { a: 1 }\no"), ("{ a: 1 }".into(), Some("{\"a\":1}".into())));
    assert_eq!(shown("import path from 'node:path'\npath.join('/a', '../b')"), ("'/b'".into(), None));
    assert_eq!(shown("async function main() { await null; return [1] }\nmain()").0, "[ 1 ]");
    assert_eq!(shown("await new Promise((done) => setTimeout(() => done(7), 50))").0, "7");
    assert!(javascript("console.log(1)").in_worker().output.results.is_empty());
}

#[test]
fn events_run_in_the_order_of_node_and_waiting_takes_no_time() {
    let source = "
setTimeout(() => console.log('late'), 5000);
setTimeout(() => console.log('timer'), 0);
setImmediate(() => console.log('immediate'));
process.nextTick(() => console.log('tick'));
Promise.resolve().then(() => console.log('micro'));
console.log('sync');
process.on('exit', (code) => console.log('exit', code));";
    let ran = javascript(source).in_worker();
    assert_eq!(ran.stdout(), "sync\ntick\nmicro\ntimer\nimmediate\nlate\nexit 0\n");
    assert!(ran.took < Duration::from_secs(3) && ran.observed().is_empty(), "{ran:#?}");
}

#[test]
fn files_modules_and_standard_input_are_there() {
    let mut program = javascript(
        "import { twice } from './lib/twice.js'
import data from './data.json' with { type: 'json' }
import fs, { existsSync } from 'fs'
import cjs from './old.cjs'
fs.mkdirSync('out/deep', { recursive: true })
fs.writeFileSync('out/deep/a.txt', 'text')
console.log(twice(data.n), cjs.name, existsSync('/tmp/none'), fs.readdirSync('out', { recursive: true }))
for await (const line of (await import('node:readline')).createInterface({ input: process.stdin })) console.log('<' + line + '>')",
    )
    .with_stdin("one\ntwo\n");
    for (path, content) in [
        ("lib/twice.js", "export const twice = (x) => x * 2"),
        ("data.json", "{\"n\": 21}"),
        ("old.cjs", "exports.name = require('path').basename(__filename)"),
    ] {
        program.program.files.push(File { path: path.into(), content: content.as_bytes().to_vec() });
    }
    let read = "console.log(readline('name? ')); console.log(prompt('age?'), readline(), prompt('more?', 'none'))";
    let ran = javascript(read).with_stdin("Bob\n7\n").in_worker();
    assert_eq!(ran.stdout(), "name? Bob\nage? more? 7 null none\n");
    let ran = program.in_worker();
    assert_eq!(ran.stdout(), "42 old.cjs false [ 'deep', 'deep/a.txt' ]\n<one>\n<two>\n", "{ran:#?}");
    assert!(ran.observed().is_empty());
    let all = javascript("console.log(require('fs').readFileSync(0, 'utf8').trim().split(' ').map(Number))")
        .with_stdin("3 4");
    assert_eq!(all.in_worker().stdout(), "[ 3, 4 ]\n");
}

#[test]
fn an_uncaught_error_has_nodes_form_and_the_line_of_the_program() {
    let ran = javascript("function f() {\n  throw new TypeError('bad')\n}\nf()").in_worker();
    let error = ran.output.error.as_ref().unwrap();
    assert_eq!((error.name.as_str(), error.value.as_str(), error.line), ("TypeError", "bad", Some(2)));
    assert!(error.traceback.starts_with("/home/user/program.js:2\n  throw new TypeError('bad')\n"), "{error:#?}");
    assert!(error.traceback.ends_with("at Object.<anonymous> (/home/user/program.js:4:1)"), "{error:#?}");
    let ran = javascript("Promise.reject(new RangeError('late'))\nconsole.log('first')").in_worker();
    assert_eq!((ran.raised(), ran.output.stdout.as_str()), ("RangeError", "first\n"));
    let ran = javascript("let x = ;").in_worker();
    assert_eq!((ran.raised(), ran.output.error.as_ref().unwrap().line), ("SyntaxError", Some(1)));
    assert_eq!(javascript("process.exitCode = 4").in_worker().exit(), Exit::Finished(4));
}

#[test]
fn typescript_runs_with_its_own_lines() {
    let source = "interface A {\n  x: number\n}\nenum Color { Red, Green }\nfunction f(a: A): never {\n  throw new Error(Color[a.x])\n}\nf({ x: 1 })";
    let ran = typescript(source).in_worker();
    let error = ran.output.error.as_ref().unwrap();
    assert_eq!((error.value.as_str(), error.line), ("Green", Some(6)), "{error:#?}");
    assert!(error.traceback.starts_with("/home/user/program.ts:6\n"), "{error:#?}");
    let ran = typescript("const xs: number[] = [1, 2]\nxs.map((x): number => x * 2)").in_worker();
    assert_eq!(value(&ran).0, "[ 2, 4 ]");
    let ran = typescript("let a = 1\nlet b: = 2").in_worker();
    assert_eq!((ran.raised(), ran.output.error.as_ref().unwrap().line), ("SyntaxError", Some(2)));
    let decorated = "function twice(_t: any, _k: string, d: any) { const f = d.value; d.value = function () { return f() * 2 } }\nclass A { @twice m() { return 21 } }\nconsole.log(new A().m())";
    assert_eq!(typescript(decorated).in_worker().stdout(), "42\n");
}

#[test]
fn what_differs_between_runs_is_observed_and_a_seed_fixes_it() {
    for (source, effect) in [
        ("console.log(Math.random())", Effect::Randomness),
        ("console.log(crypto.randomUUID())", Effect::Randomness),
        ("console.log(require('crypto').randomBytes(8).toString('hex'))", Effect::Randomness),
        (
            "console.log([1, 2, 3, 4, 5, 6, 7, 8, 9].sort(() => Math.random() - 0.5).join(), Math.random())",
            Effect::Randomness,
        ),
        ("console.log(Date.now() + performance.now())", Effect::Clock),
        ("console.log(new Date().getTime() + Number(process.hrtime.bigint()))", Effect::Clock),
        ("console.log(process.hrtime())", Effect::Clock),
    ] {
        let (one, two) = (javascript(source).in_worker(), javascript(source).in_worker());
        assert!(one.observed().has(effect), "{source}: {one:#?}");
        assert_ne!(one.stdout(), two.stdout(), "{source}");
        let (one, two) = (javascript(source).seeded(5).in_worker(), javascript(source).seeded(5).in_process());
        assert_eq!(one.stdout(), two.stdout(), "{source}");
    }
    for (source, effect) in [
        ("console.log(process.env.HOME)", Effect::Environment),
        ("console.log(process.pid)", Effect::Identity),
        ("console.log(require('os').hostname())", Effect::Identity),
        ("console.log(readline())", Effect::Stdin),
    ] {
        assert!(javascript(source).in_worker().observed().has(effect), "{source}");
    }
}

#[test]
fn what_is_not_here_is_a_need_and_without_another_tier_the_program_gets_nodes_error() {
    for (source, need, code) in [
        ("require('lodash/fp')", Need::Module("lodash".into()), "MODULE_NOT_FOUND"),
        ("import x from '@scope/pkg/sub'", Need::Module("@scope/pkg".into()), "ERR_MODULE_NOT_FOUND"),
        ("require('child_process').execSync('ls')", Need::Process("child_process".into()), "MODULE_NOT_FOUND"),
        ("require('node:http')", Need::Network("node:http".into()), "MODULE_NOT_FOUND"),
        ("require('worker_threads')", Need::Threads, "MODULE_NOT_FOUND"),
        ("await fetch('https://example.org')", Need::Network("https://example.org".into()), "fetch failed"),
        ("require('fs').readFileSync('/etc/passwd')", Need::Files("/etc/passwd".into()), "ENOENT"),
        ("require('fs').writeFileSync('/etc/motd', '')", Need::Files("/etc/motd".into()), "EACCES"),
    ] {
        let ran = javascript(source).on_need().in_worker();
        assert_eq!(ran.ended, Err(Fault::Unsupported(need.clone())), "{source}");
        let ran = javascript(source).in_worker();
        assert_eq!((ran.exit(), ran.outcome().unmet_need.as_ref()), (Exit::Raised, Some(&need)), "{source}");
        assert!(ran.output.error.as_ref().unwrap().traceback.contains(code), "{source}: {ran:#?}");
    }
}

#[test]
fn hostile_programs_end_and_the_next_one_runs() {
    let short = Duration::from_millis(500);
    for source in [
        "for (;;) {}",
        "/(a+)+$/.test('a'.repeat(40) + 'b')",
        "setInterval(() => {}, 1000)",
        "(function f() { Promise.resolve().then(f) })()",
        "(function f() { process.nextTick(f) })()",
        "(function f() { setImmediate(f) })()",
        "Array.prototype.push = () => { for (;;) {} }; console.log([1, 2, 3])\nfor (;;) {}",
    ] {
        let ran = javascript(source).within(short).in_worker();
        assert_eq!(ran.exit(), Exit::TimedOut, "{source}: {ran:#?}");
        assert!(ran.took < Duration::from_secs(3), "{source}: {:?}", ran.took);
    }
    for source in [
        "const held = []; for (;;) held.push(new Uint8Array(1 << 20).fill(1))",
        "let text = 'x'; for (;;) text += text",
        "const map = new Map(); for (let i = 0; ; i++) map.set(i, { i })",
    ] {
        let mut program = javascript(source).within(Duration::from_secs(20));
        program.limits.memory = 64 << 20;
        let ran = program.in_worker();
        assert!(matches!(ran.exit(), Exit::OutOfMemory | Exit::Raised), "{source}: {ran:#?}");
    }
    let deep = javascript("function f() { return f() + 1 }\ntry { f() } catch (e) { console.log(e.name) }").in_worker();
    assert_eq!(deep.stdout(), "RangeError\n");
    for source in [
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("JSON.parse('{}')", "[".repeat(200_000)),
        "const a = []; let b = a; for (let i = 0; i < 1e5; i++) { const c = []; b.push(c); b = c }\nconsole.log(a); JSON.stringify(a)".to_owned(),
        format!("/{}/.test('a')", "(".repeat(50_000)),
    ] {
        let ran = javascript(&source).in_worker();
        assert!(matches!(ran.exit(), Exit::Raised | Exit::Killed), "{}: {ran:#?}", &source[..40]);
    }
    // What the prelude uses is the program's to break, for itself.
    for source in [
        "JSON.stringify = () => '{'; ({})",
        "JSON.parse = () => null; String.prototype.split = null; [1]",
        "Promise.prototype.then = () => { throw 1 }; async function f() {}\nf()",
        "Error.prepareStackTrace = () => { throw 1 }; null.x",
        "Object.defineProperty(Object.prototype, 'get', { value: 1 }); class A {}\nnew A()",
        "globalThis.Array = globalThis.Map = globalThis.Symbol = undefined; [1]",
        "throw { get name() { throw 1 }, toString() { throw 2 } }",
        "throw new Error('x'.repeat(5e7))",
        "require('x'.repeat(1e6))",
        "console.log(new Proxy({}, { get() { throw 1 }, ownKeys() { throw 2 } }))",
    ] {
        assert!(javascript(source).in_worker().ended.is_ok(), "{source}");
    }
    assert_eq!(javascript("console.log([1].length)").in_worker().stdout(), "1\n");
}

/// The whole request path, with the tier under test and a scripted machine that runs JavaScript with packages.
fn router() -> Router {
    let seed = Seed::fixed(1);
    let mut machine = Settings::default();
    machine.offer.languages = Languages::only(Language::JavaScript, Modules::Any);
    machine.offer.isolation = Isolation::MicroVm;
    (machine.offer.machine, machine.offer.effectful, machine.offer.observes) = (true, true, false);
    let workers: Arc<dyn Backend> = harness().workers.clone();
    let tier = |name: &str, backend| Tier::new(name.into(), backend, tier::Config::default(), &seed);
    let wall = WallClock::starting_at(UNIX_EPOCH);
    Router::new(Parts {
        quota: Quota::new(&quota::Config::default()),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&cache::Config::default()),
        tiers: Tiers::new([tier("wasm", workers), tier("machine", Arc::new(Scripted::new(1, machine)))]),
        recorder: Recorder::new(&record::Config::default(), wall).unwrap(),
        wall,
        seed,
    })
}

#[test]
fn an_equal_program_is_answered_from_the_cache_unless_it_reads_what_differs() {
    harness().block_on(async {
        let router = Arc::new(router());
        for (source, second) in [
            ("console.log([3, 1, 2].toSorted().join())", CacheStatus::Hit),
            ("setTimeout(() => console.log('later'), 100)", CacheStatus::Hit),
            ("console.log(Math.random())", CacheStatus::Miss),
            ("if ([1].length === 2) console.log(Date.now())", CacheStatus::Miss),
            ("console.log(process.pid)", CacheStatus::Miss),
        ] {
            let ask = || Request::new(Program::new(Language::JavaScript, source), &RequestLimits::default()).unwrap();
            let first = router.execute(ask(), None).await.unwrap();
            assert_eq!((first.tier.as_str(), first.cache), ("wasm", CacheStatus::Miss), "{source}");
            assert_eq!(router.execute(ask(), None).await.unwrap().cache, second, "{source}");
        }
    });
}

#[test]
fn a_program_moves_on_when_it_needs_what_the_sandbox_does_not_have() {
    harness().block_on(async {
        let router = Arc::new(router());
        for source in [
            "const name = 'lod' + 'ash'\nrequire(name)",
            "import x from 'lodash'",
            "eval('require(\"child_process\")')",
        ] {
            let request = Request::new(Program::new(Language::JavaScript, source), &RequestLimits::default()).unwrap();
            assert_eq!(router.execute(request, None).await.unwrap().tier.as_str(), "machine", "{source}");
        }
    });
}

/// A kernel and the number of its cells.
struct Notebook(Box<dyn Kernel>, u32);

impl Notebook {
    fn open(language: Language) -> Self {
        let kernels = harness().workers.kernels().unwrap();
        Self(harness().block_on(kernels.open_kernel(language, &KernelOptions::default())).unwrap(), 0)
    }

    fn run(&mut self, source: &str) -> (switchtower_contract::CellOutcome, Output) {
        self.1 += 1;
        let cell = Cell { source: source.to_owned(), number: self.1, ..Cell::default() };
        harness().block_on(async {
            let (events, mut from) = Events::channel();
            let ended = self.0.run(&cell, &Limits::default(), &events).await.unwrap();
            drop(events);
            let mut output = Output::default();
            while let Some(event) = from.recv().await {
                output.push(event);
            }
            (ended, output)
        })
    }

    fn prints(&mut self, source: &str, stdout: &str) {
        let (ended, output) = self.run(source);
        assert_eq!((ended.outcome.exit, output.stdout.as_str()), (Exit::Finished(0), stdout), "{output:#?}");
    }
}

#[test]
fn cells_declare_anew_await_import_and_keep_what_they_declared() {
    let mut notebook = Notebook::open(Language::JavaScript);
    notebook.prints("const a = 1; let b = 2; class C { m() { return a } }; function f() { return b }", "");
    notebook.prints("const a = 10; class C { m() { return a + 1 } }\nconsole.log(new C().m(), f())", "11 2\n");
    notebook.prints("const c = await Promise.resolve(5); import { join } from 'node:path'", "");
    notebook.prints("console.log(c, join('x', 'y'))", "5 x/y\n");
    let (_, output) = notebook.run("[a, c]");
    assert_eq!(output.results[0].data["text/plain"], "[ 10, 5 ]");
    let (ended, output) = notebook.run("throw new Error('no')");
    assert_eq!((ended.outcome.exit, ended.alive, output.error.unwrap().line), (Exit::Raised, true, Some(1)));
    notebook.prints("require('fs').writeFileSync('made.txt', 'x'); console.log(a)", "10\n");
    let (ended, _) = notebook.run("require('fs').rmSync('made.txt')");
    assert!(ended.changes.iter().any(|change| change.content == Content::Removed), "{ended:#?}");
    let (ended, _) = notebook.run("process.exit(3)");
    assert_eq!((ended.outcome.exit, ended.alive), (Exit::Finished(3), true));
    let mut typed = Notebook::open(Language::TypeScript);
    typed.prints("type T = { n: number }; const t: T = { n: 1 }", "");
    typed.prints("console.log((t as T).n)", "1\n");
}

#[test]
fn a_program_cannot_change_what_the_next_one_sees() {
    let polluted = "Object.prototype.x = 1; Array.prototype.map = null; console.log = () => {}; Math.random = () => 4; globalThis.left = 1";
    javascript(polluted).in_worker();
    let source = "console.log(({}).x, [1].map(String), typeof left, Math.random() === 4)";
    assert_eq!(javascript(source).in_worker().stdout(), "undefined [ '1' ] undefined false\n");
    // In a kernel it harms its own cells alone.
    let mut notebook = Notebook::open(Language::JavaScript);
    notebook.run("Object.prototype.polluted = 1; Array.prototype.map = () => 'no'; Map.prototype.get = null");
    let (ended, _) = notebook.run("1 + 1");
    assert!(ended.alive);
    Notebook::open(Language::JavaScript).prints("console.log(({}).polluted, [1].map(String))", "undefined [ '1' ]\n");
}

/// Prints the time of a fresh instance with a small program; `--ignored`, and in a release build.
#[test]
#[ignore = "a measurement"]
fn measures_a_fresh_instance() {
    let program = javascript("console.log(1 + 1)");
    let mut times: Vec<(Duration, Duration)> = (0..500)
        .map(|_| {
            let ran = program.in_process();
            (ran.took, ran.outcome().usage.wall)
        })
        .collect();
    times.sort();
    eprintln!("console.log(1 + 1): p50 {:?}, p99 {:?}", times[250], times[495]);
}
