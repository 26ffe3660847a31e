//! JavaScript and TypeScript: what their text shows, and hostile texts.

use std::time::{Duration, Instant};

use switchtower_contract::{Language, Program};

use super::super::{Class, FileScope, NetworkUse, Profile, analyse};
use crate::request::SideEffects;

fn profile(source: &str) -> Profile {
    analyse(&Program::new(Language::JavaScript, source))
}

fn needed(source: &str) -> Vec<String> {
    profile(source).needed_modules().map(str::to_owned).collect()
}

#[test]
fn modules_are_named_as_tiers_offer_them() {
    let source = "import fs from 'node:fs/promises'\nimport { a } from '@scope/pkg/sub'\nimport './local.js'\nconst x = require('lodash/fp')\nawait import('zod')";
    assert_eq!(needed(source), ["@scope/pkg", "fs", "lodash", "zod"]);
    let typed =
        analyse(&Program::new(Language::TypeScript, "import type { T } from 'types'\nimport { v } from 'values'"));
    assert_eq!(typed.needed_modules().collect::<Vec<_>>(), ["values"]);
}

#[test]
fn effects_follow_from_modules_and_globals() {
    let seen = |source: &str| profile(source).effects.iter().map(|effect| effect.name()).collect::<Vec<_>>();
    assert_eq!(seen("require('child_process').execSync('ls')"), ["processes"]);
    assert_eq!(seen("console.log(Math.random(), Date.now(), process.env.X)"), ["environment", "clock", "randomness"]);
    assert_eq!(seen("console.log(new Date(0), [1].map(String))"), [""; 0]);
    assert_eq!(profile("await fetch('https://a.b')").network, NetworkUse::Certain);
    assert_eq!(profile("async function get() { await fetch('https://a.b') }").network, NetworkUse::Possible);
    assert_eq!(profile("require('fs').readFileSync('/etc/passwd')").files, FileScope::Outside);
    assert_eq!(profile("require('fs').writeFileSync('out.txt', 'x')").files, FileScope::Scratch);
    assert_eq!(profile("require('fs').writeFileSync('out.txt', 'x')").side_effects, SideEffects::Sandbox);
    assert_eq!(profile("console.log(1)").side_effects, SideEffects::None);
    assert_eq!(profile("import x from 'axios'").class, Class::Network);
}

#[test]
fn work_is_scored_and_only_what_differs_between_runs_is_a_doubt() {
    let heavy = profile("let s = 0\nfor (let i = 0; i < 1e5; i++) for (let j = 0; j < 10000; j++) s += j");
    assert!(heavy.signal("iterations").unwrap().value > 2.9, "{heavy:?}");
    assert!(profile("for (;;) {}").signal("endless_loop").is_some());
    assert!(profile("for (;;) { if (x()) break }").signal("endless_loop").is_none());
    assert!(profile("function f(n) { return f(n - 1) }").signal("recursion").is_some());
    assert!(profile("new Array(1e8).fill(0)").memory > 700 << 20);
    assert!(profile("console.log([3, 1].sort())").verdict.doubt.is_none());
    for source in ["Math.random()", "new Date()", "readline()", "require('fs').readFileSync(0)", "performance.now()"] {
        assert!(profile(source).verdict.doubt.is_some(), "{source}");
    }
    assert!(!profile("console.log(1)").verdict.deterministic);
    let broken = profile("let a = 1\nlet b = ;");
    assert!(!broken.parses && broken.analysis_error.unwrap().line == Some(2));
}

#[test]
fn hostile_texts_are_analysed_in_bounded_time_and_stack() {
    let mib = 1 << 20;
    let repeated = |unit: &str| unit.repeat(mib / unit.len());
    for source in [
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        repeated("["),
        repeated("{a:"),
        repeated("x=>"),
        format!("x = {}1", repeated("a + ")),
        format!("x = {}1", repeated("!")),
        format!("a{}", repeated(".b")),
        format!("a{}", repeated("()")),
        repeated("if(1){}else "),
        repeated("`${"),
        repeated("a?b:"),
        repeated("import 'a';"),
        repeated("require('x');"),
        repeated("/"),
        repeated("\u{1F600}"),
        repeated("function f(){"),
        repeated("f(1);\n"),
        repeated("class A extends "),
        repeated("\0"),
    ] {
        for language in [Language::JavaScript, Language::TypeScript] {
            #[allow(clippy::disallowed_methods, reason = "the time is real")]
            let started = Instant::now();
            let _ = analyse(&Program::new(language, source.clone()));
            // The parser is optimised in every build, the walk only in some.
            assert!(started.elapsed() < Duration::from_secs(3), "{}", &source[..20.min(source.len())].escape_debug());
        }
    }
}
