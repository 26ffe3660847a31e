//! The operator's API: the status of tiers, pools, breakers and accounts, and resets of breakers and cache bars.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use switchtower_core::route::TierName;
use switchtower_core::tier::Tier;
use switchtower_core::tier::breaker::Breaker;
use switchtower_core::tier::pool::Pool;

use super::path_names::PathNames;
use super::state::ApiState;
use crate::service::problem::{Problem, ProblemKind};

/// Refuses requests without the admin key.
pub(super) async fn require_admin_key(State(api): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    match api.admin_key.authorize(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// `GET /v1/admin/tiers`: every tier with its queue, and its breaker, pool and account where it has them.
pub(super) async fn tiers(State(api): State<Arc<ApiState>>) -> Json<Value> {
    let tiers = api.router.tiers();
    let present = tiers.iter().map(|tier| {
        let status = tier.status();
        json!({
            "tier": tier.name(),
            "up": status.up,
            "queue": { "running": status.running, "queued": status.queued, "slots": status.slots },
            "breaker": tier.breaker().map(Breaker::status),
            "pool": tier.pool().map(Pool::status),
            "account": tier.account(),
        })
    });
    let absent = tiers
        .absent()
        .map(|absent| json!({ "tier": absent.tier, "up": false, "reason": absent.reason, "remedy": absent.remedy }));
    Json(present.chain(absent).collect())
}

/// `GET /v1/admin/pool`: the pool of every tier that has one, with each idle sandbox.
pub(super) async fn pools(State(api): State<Arc<ApiState>>) -> Json<Value> {
    let with_pool = api.router.tiers().iter().filter_map(|tier| Some((tier.name(), tier.pool()?.status())));
    Json(with_pool.map(|(tier, pool)| json!({ "tier": tier, "pool": pool })).collect())
}

/// `POST /v1/admin/tiers/{tier}/breaker/reset`: closes the breaker and forgets its failures.
pub(super) async fn reset_breaker(
    State(api): State<Arc<ApiState>>,
    PathNames(name): PathNames<String>,
) -> Result<Json<Value>, Problem> {
    let tier = tier(&api, &name)?;
    let breaker = tier.breaker().ok_or_else(|| missing(&name, "breaker"))?;
    breaker.reset();
    Ok(Json(json!(breaker.status())))
}

/// `GET /v1/admin/tiers/{tier}/budget`: the budget of sandboxes for an hour.
pub(super) async fn budget(
    State(api): State<Arc<ApiState>>,
    PathNames(name): PathNames<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(tier(&api, &name)?.account().ok_or_else(|| missing(&name, "account"))?.budget))
}

/// `GET /v1/admin/tiers/{tier}/usage`: the calls of the account in the last hour.
pub(super) async fn usage(
    State(api): State<Arc<ApiState>>,
    PathNames(name): PathNames<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(tier(&api, &name)?.account().ok_or_else(|| missing(&name, "account"))?.usage))
}

/// `GET /v1/admin/cache`: the counters of the cache, and the requests that it bars because two runs of one differed,
/// with both outputs.
pub(super) async fn cache(State(api): State<Arc<ApiState>>) -> Json<Value> {
    let cache = api.router.cache();
    Json(json!({ "entries": cache.len(), "counts": cache.counts(), "barred": cache.bars() }))
}

/// `POST /v1/admin/cache/bars/reset`: lifts all bars.
pub(super) async fn reset_bars(State(api): State<Arc<ApiState>>) -> Json<Value> {
    Json(json!({ "lifted": api.router.cache().lift_bars() }))
}

fn tier<'a>(api: &'a ApiState, name: &str) -> Result<&'a Tier, Problem> {
    let tiers = api.router.tiers();
    tiers.get(&TierName::from(name)).ok_or_else(|| {
        let allowed: Vec<&str> = tiers.iter().map(|tier| tier.name().as_str()).collect();
        Problem::new(ProblemKind::NotFound, format!("there is no tier {name}")).with("allowed", allowed)
    })
}

fn missing(tier: &str, what: &str) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("the tier {tier} has no {what}"))
}
