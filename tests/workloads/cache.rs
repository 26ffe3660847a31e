//! What may differ next time is never answered from the cache.

use std::time::Duration;

use switchtower_contract::Exit;
use switchtower_core::cache::CacheStatus;
use switchtower_core::request::CacheMode;

use super::items::items;
use super::{each, execute, router};

const LIMIT: Duration = Duration::from_secs(3);

/// Items that are called varying for what their text mentions, and that are the same in every run.
const STEADY: [(&str, &str); 2] = [
    ("dev-nondeterministic-0035", "names random in a docstring only"),
    ("dev-nondeterministic-0063", "seeds its generator with a literal"),
];

#[test]
fn no_program_that_may_end_otherwise_is_answered_from_the_cache() {
    let varying = items(|item| !item.cacheable_strict || item.uses_clock_or_pid || item.category == "nondeterministic");
    let router = router();
    let answered = each(&varying, |item| {
        let router = &router;
        async move {
            let first = execute(router, item, CacheMode::Use, LIMIT).await;
            if !matches!(first.outcome.exit, Exit::Finished(_) | Exit::Raised) {
                // Cut off from outside: that is never kept, and takes long.
                return None;
            }
            let second = execute(router, item, CacheMode::Use, LIMIT).await;
            let fresh = [first.cache, second.cache].iter().all(|status| *status == CacheStatus::Miss);
            let steady = STEADY.iter().any(|(id, _)| *id == item.id);
            assert!(!steady || first.output == second.output, "{} is called steady", item.id);
            (!fresh && !steady).then(|| item.id.clone())
        }
    });
    let answered: Vec<_> = answered.into_iter().flatten().collect();
    assert!(answered.is_empty(), "from the cache: {answered:?}");
}

#[test]
fn a_good_share_of_what_never_differs_is_answered_from_the_cache() {
    let steady = items(|item| {
        item.cacheable_strict && !item.uses_clock_or_pid && item.category == "simple_math" && item.is_at_home()
    });
    let router = router();
    let hits = each(&steady, |item| {
        let router = &router;
        async move {
            execute(router, item, CacheMode::Use, LIMIT).await;
            execute(router, item, CacheMode::Use, LIMIT).await.cache == CacheStatus::Hit
        }
    });
    let count = hits.iter().filter(|hit| **hit).count();
    println!("{count} of {} the second time from the cache", hits.len());
    assert!(count * 10 >= hits.len() * 9, "{count} of {}", hits.len());
}
