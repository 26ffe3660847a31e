//! Programs of the kind that agents send, on the whole request path over the WebAssembly tier.
//!
//! They are in the folder `../shared/workloads` beside the repository, or in the one that `SWITCHTOWER_WORKLOADS` names. If there
//! is no such folder, these tests report that and pass.

mod cache;
pub(crate) mod hostile;
pub(crate) mod items;
mod parity;

use std::time::Duration;

use futures_util::StreamExt as _;
use switchtower_contract::Program;
use switchtower_core::cache::ResultCache;
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::quota::Quota;
use switchtower_core::record::Recorder;
use switchtower_core::request::{CacheMode, Request, RequestLimits};
use switchtower_core::router::{Answer, Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{Tier, Tiers};

use crate::backend::harness::harness;
use items::Item;

/// Programs that run concurrently: as many as there are workers.
const CONCURRENCY: usize = 2;

/// Returns a router as the product assembles it, over the harness's workers.
fn router() -> Router {
    let seed = Seed::fixed(1);
    let wall = WallClock::real();
    let tier = Tier::new("wasm".into(), harness().workers.clone(), Default::default(), &seed.fork("tiers"));
    Router::new(Parts {
        quota: Quota::new(&Default::default()),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&Default::default()),
        tiers: Tiers::new([tier]),
        recorder: Recorder::new(&Default::default(), wall).unwrap(),
        wall,
        seed,
    })
}

async fn execute(router: &Router, item: &Item, cache: CacheMode, timeout: Duration) -> Answer {
    let request_limits = RequestLimits::default();
    let program = Program { stdin: item.stdin.clone(), ..Program::python(&*item.code) };
    let mut request = Request::new(program, &request_limits).unwrap();
    (request.cache, request.timeout) = (cache, timeout);
    router.execute(request, None).await.unwrap_or_else(|error| panic!("{}: {error}", item.id))
}

/// Runs `act` for every item, a few concurrently.
fn for_each<'a, T, F: Future<Output = T>>(items: &'a [Item], act: impl FnMut(&'a Item) -> F) -> Vec<T> {
    harness().block_on(futures_util::stream::iter(items.iter().map(act)).buffer_unordered(CONCURRENCY).collect())
}
