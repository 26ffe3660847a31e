//! The time of the request path itself: a cached answer, and a program on a backend that takes no time.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use switchtower_contract::Program;
use switchtower_contract::scripted::Scripted;
use switchtower_core::analyse::{Class, analyse};
use switchtower_core::cache::bars::Subject;
use switchtower_core::cache::finding::Finding;
use switchtower_core::cache::{self, CacheStatus, Digest, Fingerprint, Lookup, ResultCache, Scope};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::{Rules, SharedRules};
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::request::{CacheMode, Request, RequestLimits};
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{self, Tier, Tiers};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime needs threads and a timer")
}

fn tiers() -> Tiers {
    Tiers::new([Tier::new("wasm".into(), Arc::new(Scripted::default()), tier::Config::default(), &Seed::fixed(1))])
}

fn router() -> Router {
    let wall = WallClock::real();
    Router::new(Parts {
        quota: Quota::new(&quota::Config::default()),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&cache::Config::default()),
        tiers: tiers(),
        recorder: Recorder::new(&record::Config::default(), wall).expect("no file is configured"),
        wall,
        seed: Seed::fixed(1),
    })
}

/// Returns about one kilobyte of ordinary code, with the script of its output.
fn source() -> String {
    let mut source = String::from("#: print 499500\n");
    let mut number = 0;
    while source.len() < 1000 {
        number += 1;
        source += &format!("def f{number}(n):\n    return sum(i * {number} for i in range(n) if i % 2)\n\n");
    }
    source + "print(f1(1000))\n"
}

fn request(cache: CacheMode) -> Request {
    let request = Request::new(Program::python(source()), &RequestLimits::default());
    Request { cache, ..request.expect("the request is within the limits") }
}

fn line(criterion: &mut Criterion) {
    let runtime = runtime();
    let router = runtime.block_on(async { router() });
    let mut group = criterion.benchmark_group("line");
    let cached = request(CacheMode::Use);
    let first = runtime.block_on(router.execute(cached.clone(), None)).expect("the first run fills the cache");
    assert_eq!(first.cache, CacheStatus::Miss);
    group.bench_function("cached answer", |bench| {
        bench.to_async(&runtime).iter(|| router.execute(cached.clone(), None));
    });
    let fresh = request(CacheMode::Bypass);
    group.bench_function("scripted backend", |bench| {
        bench.to_async(&runtime).iter(|| router.execute(fresh.clone(), None));
    });
    // A new program each time: analysis is not remembered.
    let mut number = 0;
    group.bench_function("scripted backend, a new program", |bench| {
        bench.to_async(&runtime).iter(|| {
            number += 1;
            let mut request = fresh.clone();
            request.program.source += &number.to_string();
            router.execute(request, None)
        });
    });
    group.bench_function("analysis of that program", |bench| bench.iter(|| analyse(&fresh.program)));
    let (rules, profile, statuses) = (Rules::builtin(), analyse(&fresh.program), tiers().statuses());
    group.bench_function("decision for that program", |bench| bench.iter(|| rules.decide(&fresh, &profile, &statuses)));
    group.finish();
}

fn cache(criterion: &mut Criterion) {
    let runtime = runtime();
    let request = request(CacheMode::Use);
    let key = || Fingerprint::new(&Digest::of(&request.program), &request, Scope::Key, []);
    let program = Digest::of(&request.program);
    let subject = Subject { program, class: Class::SimpleMath, rule: "default.local".into() };
    let cache = ResultCache::new(&cache::Config::default());
    runtime.block_on(async {
        if let Lookup::Run(flight) = find(&cache, &key(), &subject, request.timeout).await {
            let router = router();
            let answer = router.execute(request.clone(), None).await.expect("it prints a line");
            let stored = cache::StoredResult::new(&answer.tier, &answer.outcome, &answer.output);
            flight.complete(Finding::Observed(stored.expect("the program finished")));
        }
    });
    criterion.bench_function("cache/fingerprint and hit", |bench| {
        bench.to_async(&runtime).iter(async || find(&cache, &key(), &subject, request.timeout).await);
    });
}

async fn find(cache: &ResultCache, key: &Fingerprint, subject: &Subject, timeout: Duration) -> Lookup {
    cache.find(key, subject, &"ada".into(), CacheMode::Use, true, timeout).await
}

criterion_group!(benches, line, cache);
criterion_main!(benches);
