//! What only the operator may see and do: how tiers, pools, breakers and accounts stand, and closing a breaker by hand.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use switchtower_core::route::TierName;
use switchtower_core::tier::Tier;
use switchtower_core::tier::breaker::Breaker;
use switchtower_core::tier::pool::Pool;

use super::Door;
use crate::service::problem::{Kind, Problem};

/// Lets the operator in, and nobody else.
pub(super) async fn admit(State(door): State<Door>, request: Request, next: Next) -> Response {
    match door.0.admin.authorize(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// `GET /v1/admin/tiers`: every tier with its queue, and its breaker, pool and account where it has them.
pub(super) async fn tiers(State(door): State<Door>) -> Json<Value> {
    let tiers = door.0.router.tiers();
    let standing = tiers.iter().map(|tier| {
        let standing = tier.standing();
        json!({
            "tier": tier.name(),
            "up": standing.up,
            "queue": { "running": standing.running, "queued": standing.queued, "slots": standing.slots },
            "breaker": tier.breaker().map(Breaker::status),
            "pool": tier.pool().map(Pool::status),
            "account": tier.account(),
        })
    });
    let absent = tiers
        .absent()
        .iter()
        .map(|absent| json!({ "tier": absent.tier, "up": false, "reason": absent.reason, "remedy": absent.remedy }));
    Json(standing.chain(absent).collect())
}

/// `POST /v1/admin/tiers/{tier}/breaker/reset`: closes the breaker, whatever it has seen.
pub(super) async fn reset(State(door): State<Door>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let tier = tier(&door, &name)?;
    let breaker = tier.breaker().ok_or_else(|| missing(&name, "breaker"))?;
    breaker.reset();
    Ok(Json(json!(breaker.status())))
}

/// `GET /v1/admin/tiers/{tier}/budget`: the hour's budget of sandboxes.
pub(super) async fn budget(State(door): State<Door>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(tier(&door, &name)?.account().ok_or_else(|| missing(&name, "account"))?.budget))
}

/// `GET /v1/admin/tiers/{tier}/usage`: what was asked of the account in the last hour.
pub(super) async fn usage(State(door): State<Door>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(tier(&door, &name)?.account().ok_or_else(|| missing(&name, "account"))?.usage))
}

/// `GET /v1/admin/cache`: what the cache counted, and what it bars because two runs of one request differed, with the
/// outputs.
pub(super) async fn cache(State(door): State<Door>) -> Json<Value> {
    let cache = door.0.router.cache();
    Json(json!({ "entries": cache.len(), "counts": cache.counts(), "barred": cache.bars() }))
}

/// `POST /v1/admin/cache/bars/reset`: lifts all bars.
pub(super) async fn lift(State(door): State<Door>) -> Json<Value> {
    Json(json!({ "lifted": door.0.router.cache().lift_bars() }))
}

fn tier<'a>(door: &'a Door, name: &str) -> Result<&'a Tier, Problem> {
    let tiers = door.0.router.tiers();
    tiers.get(&TierName::from(name)).ok_or_else(|| {
        let allowed: Vec<&str> = tiers.iter().map(|tier| tier.name().as_str()).collect();
        Problem::new(Kind::NotFound, format!("there is no tier {name}")).with("allowed", allowed)
    })
}

fn missing(tier: &str, what: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("the tier {tier} has no {what}"))
}
