//! What rules are told: a profile, a request and the tiers, as a map.

use rhai::{Array, Dynamic, INT, Map};

use crate::analyse::{Profile, StaticEffect};
use crate::request::Request;
use crate::route::TierStatus;

/// Names that rules are shown of one program's imports; hostile programs have thousands.
const IMPORTS: usize = 64;

pub(super) fn facts(request: &Request, profile: &Profile, statuses: &[&TierStatus]) -> Map {
    let needed: Vec<&str> = profile.needed_modules().take(IMPORTS).collect();
    let mut facts = Map::new();
    let mut put = |name: &'static str, value: Dynamic| facts.insert(name.into(), value);
    put("kind", request.kind.name().into());
    put("class", profile.class.name().into());
    put("score", profile.score.into());
    put("parses", profile.parses.into());
    put(
        "analysis_error",
        profile.analysis_error.as_ref().map_or_else(String::new, |reason| reason.text.clone()).into(),
    );
    put("deterministic", profile.verdict.deterministic.into());
    put("lines", INT::from(profile.lines).into());
    put("imports", list(needed.iter().copied()));
    put("effects", effects(profile));
    put("seen", list(profile.effects.iter().map(|effect| effect.name())));
    put("files", profile.files.name().into());
    put("signals", signals(profile));
    put("memory_estimate_mb", count(profile.memory >> 20));
    put("user", request.caller.user.to_string().into());
    put("priority", request.priority.name().into());
    put("language", request.program.language.name().into());
    put("timeout_ms", count(request.timeout.as_millis()));
    put("memory_mb", count(request.memory.unwrap_or(0) >> 20));
    put("tiers", statuses.iter().map(|standing| tier(standing, request, &needed)).collect::<Array>().into());
    facts
}

fn tier(standing: &TierStatus, request: &Request, needed: &[&str]) -> Dynamic {
    let mut tier = Map::new();
    let mut put = |name: &'static str, value: Dynamic| tier.insert(name.into(), value);
    put("name", standing.tier.as_str().into());
    put("up", standing.up.into());
    put("isolation", standing.isolation.name().into());
    put("location", standing.location.name().into());
    put("machine", standing.machine.into());
    put("cost", count(standing.price_per_second.map_or(0, |price| price.0)));
    put("lacks", list(needed.iter().copied().filter(|module| !standing.modules.has(module))));
    let fits = request.memory.is_none_or(|memory| memory <= standing.memory) && request.timeout <= standing.wall;
    put("fits", fits.into());
    put("memory_mb", count(standing.memory >> 20));
    put("wall_ms", count(standing.wall.as_millis()));
    put("running", count(standing.running as u64));
    put("queued", count(standing.queued as u64));
    put("slots", count(standing.slots as u64));
    tier.into()
}

fn effects(profile: &Profile) -> Dynamic {
    let known = StaticEffect::ALL.into_iter();
    known.map(|effect| (effect.name().into(), profile.effects.contains(&effect).into())).collect::<Map>().into()
}

/// What each signal adds to the score.
fn signals(profile: &Profile) -> Dynamic {
    profile
        .signals
        .iter()
        .map(|signal| (signal.name.into(), (signal.weight * signal.value).into()))
        .collect::<Map>()
        .into()
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> Dynamic {
    names.map(|name| Dynamic::from(name.to_owned())).collect::<Array>().into()
}

fn count(number: impl TryInto<INT>) -> Dynamic {
    number.try_into().unwrap_or(INT::MAX).into()
}
