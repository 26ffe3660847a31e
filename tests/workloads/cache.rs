//! A program whose output may differ the next time is never answered from the cache.

use std::time::Duration;

use switchtower_contract::Exit;
use switchtower_core::cache::CacheStatus;
use switchtower_core::request::CacheMode;

use super::items::items;
use super::{execute, for_each, router};

const LIMIT: Duration = Duration::from_secs(3);

/// Items that the workloads call nondeterministic although their output is the same in every run, each with the reason.
const DETERMINISTIC: [(&str, &str); 2] = [
    ("dev-nondeterministic-0035", "names random in a docstring only"),
    ("dev-nondeterministic-0063", "seeds its generator with a literal"),
];

#[test]
fn no_program_whose_output_may_differ_is_answered_from_the_cache() {
    let varying = items(|item| !item.cacheable_strict || item.uses_clock_or_pid || item.category == "nondeterministic");
    let router = router();
    let answered = for_each(&varying, |item| {
        let router = &router;
        async move {
            let first = execute(router, item, CacheMode::Use, LIMIT).await;
            if !matches!(first.outcome.exit, Exit::Finished(_) | Exit::Raised) {
                // Ended from outside: such a result is never stored, and a second run takes long.
                return None;
            }
            let second = execute(router, item, CacheMode::Use, LIMIT).await;
            let fresh = [first.cache, second.cache].iter().all(|status| *status == CacheStatus::Miss);
            let deterministic = DETERMINISTIC.iter().any(|(id, _)| *id == item.id);
            assert!(!deterministic || first.output == second.output, "{} is listed as deterministic", item.id);
            (!fresh && !deterministic).then(|| item.id.clone())
        }
    });
    let answered: Vec<_> = answered.into_iter().flatten().collect();
    assert!(answered.is_empty(), "from the cache: {answered:?}");
}

#[test]
fn nine_of_ten_cacheable_programs_are_answered_from_the_cache_the_second_time() {
    let cacheable = items(|item| {
        item.cacheable_strict && !item.uses_clock_or_pid && item.category == "simple_math" && item.runs_in_wasm()
    });
    let router = router();
    let hits = for_each(&cacheable, |item| {
        let router = &router;
        async move {
            execute(router, item, CacheMode::Use, LIMIT).await;
            execute(router, item, CacheMode::Use, LIMIT).await.cache == CacheStatus::Hit
        }
    });
    let count = hits.iter().filter(|hit| **hit).count();
    println!("{count} of {} from the cache the second time", hits.len());
    assert!(count * 10 >= hits.len() * 9, "{count} of {}", hits.len());
}
