//! Programs of the kind that agents send, through the whole line over the WebAssembly tier.
//!
//! They lie beside the repository, in `../shared/workloads`, or where `SWITCHTOWER_WORKLOADS` says. Where they are not
//! there, these tests say so and pass.

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

/// Programs at once: as many as there are workers.
const AT_ONCE: usize = 2;

/// The line as the product is assembled, over the harness's workers.
fn router() -> Router {
    let seed = Seed::fixed(1);
    let wall = WallClock::real();
    let tier = Tier::new("wasm".into(), harness().workers.clone(), Default::default(), &seed.fork("tiers"));
    Router::new(Parts {
        quota: Quota::new(&Default::default()),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&Default::default()),
        tiers: Tiers::new([tier]),
        recorder: Recorder::new(&Default::default(), wall),
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

/// Does something with every item, a few at once.
fn each<'a, T, F: Future<Output = T>>(items: &'a [Item], act: impl FnMut(&'a Item) -> F) -> Vec<T> {
    harness().block_on(futures_util::stream::iter(items.iter().map(act)).buffer_unordered(AT_ONCE).collect())
}
