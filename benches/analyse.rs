//! The time to analyse a program and to decide where it runs.
//!
//! Targets on an idle machine: 60 µs for 1 KB of code, 300 µs for 10 KB, 25 µs for the decision alone, 100 ms for a megabyte of
//! hostile code.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use switchtower_contract::{Isolation, Language, Languages, Location, Modules, Program};
use switchtower_core::analyse::analyse;
use switchtower_core::decide::Rules;
use switchtower_core::request::{Request, RequestLimits};
use switchtower_core::route::{TierName, TierStatus};

const UNIT: &str = r#"
def sieve(limit):
    """All primes up to a limit."""
    marks = [True] * (limit + 1)
    primes = []
    for number in range(2, limit + 1):
        if marks[number]:
            primes.append(number)
            for multiple in range(number * number, limit + 1, number):
                marks[multiple] = False
    return primes

words = "the quick brown fox jumps over the lazy dog".split()
counts = {word: words.count(word) for word in sorted(set(words))}
print(sieve(100), counts, math.sqrt(sum(x ** 2 for x in sieve(50))), sep="\n")
total = 0
for index, value in enumerate(counts.values()):
    total += index * value if value > 1 else -index
print(f"total {total:>8.2f} of {len(counts)}")
"#;

fn program(bytes: usize) -> Program {
    let mut source = "import math\n".to_owned();
    while source.len() < bytes {
        source.push_str(UNIT);
    }
    let end = source[..bytes.max(800).min(source.len())].rfind("\n\n").unwrap_or(source.len());
    source.truncate(end);
    Program::python(source)
}

fn statuses() -> Vec<TierStatus> {
    let status = |name: &str, isolation, modules| TierStatus {
        tier: TierName::from(name),
        languages: Languages::only(Language::Python, modules),
        isolation,
        location: if isolation == Isolation::MicroVm { Location::Remote } else { Location::Local },
        machine: isolation == Isolation::MicroVm,
        internet: isolation == Isolation::MicroVm,
        price_per_second: None,
        memory: 1 << 30,
        wall: Duration::from_secs(600),
        up: true,
        starting: false,
        running: 0,
        queued: 0,
        slots: 8,
    };
    vec![
        status("wasm", Isolation::Wasm, Modules::named(["math"])),
        status("native", Isolation::Process, Modules::named(["math", "numpy"])),
        status("e2b", Isolation::MicroVm, Modules::Any),
    ]
}

fn benches(c: &mut Criterion) {
    let (rules, statuses) = (Rules::builtin(), statuses());
    for (name, bytes) in [("1 KB", 1 << 10), ("10 KB", 10 << 10)] {
        let request =
            Request::new(program(bytes), &RequestLimits::default()).expect("the program is within the limits");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(request.program.source.len() as u64));
        group.bench_function("analyse", |b| b.iter(|| analyse(black_box(&request.program))));
        group.bench_function("analyse and decide", |b| {
            b.iter(|| rules.decide(&request, &analyse(black_box(&request.program)), &statuses));
        });
        let profile = analyse(&request.program);
        group.bench_function("decide", |b| b.iter(|| rules.decide(&request, black_box(&profile), &statuses)));
        group.finish();
    }

    // The most that is analysed, then the most that a request may have.
    let mut group = c.benchmark_group("hostile");
    group.sample_size(10);
    for (name, unit, tokens) in [
        ("assignments", "x = 1\n", 4),
        ("assignments in lines", "x=1;x=1;x=1;x=1\n", 16),
        ("imports", "import a\n", 3),
        ("names", "import a\na.b.c(a.d)\n", 14),
        ("sets", "x = (1 if a else {b for c in d})\n", 16),
        ("classes", "class A(B): x = {1, 2}\n", 15),
        ("unfinished", "x = \n", 3),
    ] {
        let program = Program::python(unit.repeat(145_000 / tokens));
        group.bench_function(name, |b| b.iter(|| analyse(black_box(&program))));
    }
    for (name, unit) in
        [("a megabyte of lines", "\n"), ("a megabyte of brackets", "["), ("a megabyte of terms", "a + ")]
    {
        let program = Program::python(unit.repeat((1 << 20) / unit.len()));
        group.bench_function(name, |b| b.iter(|| analyse(black_box(&program))));
    }
    group.finish();
}

criterion_group!(analysis, benches);
criterion_main!(analysis);
