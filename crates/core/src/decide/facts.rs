//! The facts that rules get: a map of the request, its profile and the tiers.

use rhai::{Array, Dynamic, INT, Map};

use crate::analyse::{Profile, StaticEffect};
use crate::request::Request;
use crate::route::TierStatus;

/// Most modules in `imports`; hostile programs have thousands.
const MAX_IMPORTS: usize = 64;

pub(super) fn facts(request: &Request, profile: &Profile, statuses: &[&TierStatus]) -> Map {
    let needed: Vec<&str> = profile.needed_modules().take(MAX_IMPORTS).collect();
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
    put("network", profile.network.name().into());
    put("signals", signals(profile));
    put("memory_estimate_mb", count(profile.memory >> 20));
    put(
        "training",
        match &profile.training {
            None => "none",
            Some(training) if training.exact => "known",
            Some(_) => "unknown",
        }
        .into(),
    );
    put("training_magnitude", INT::from(profile.training.map_or(0, |training| training.magnitude())).into());
    put("user", request.caller.user.to_string().into());
    put("priority", request.priority.name().into());
    put("language", request.program.language.name().into());
    put("timeout_ms", count(request.timeout.as_millis()));
    put("memory_mb", count(request.memory.unwrap_or(0) >> 20));
    put("tiers", statuses.iter().map(|status| tier(status, request, &needed)).collect::<Array>().into());
    facts
}

fn tier(status: &TierStatus, request: &Request, needed: &[&str]) -> Dynamic {
    let mut tier = Map::new();
    let mut put = |name: &'static str, value: Dynamic| tier.insert(name.into(), value);
    put("name", status.tier.as_str().into());
    put("up", status.up.into());
    put("starting", status.starting.into());
    put("isolation", status.isolation.name().into());
    put("location", status.location.name().into());
    put("machine", status.machine.into());
    put("internet", status.internet.into());
    put("cost", count(status.price_per_second.map_or(0, |price| price.0)));
    let language = request.program.language;
    put("lacks", list(needed.iter().copied().filter(|module| !status.languages.has_module(language, module))));
    let fits = request.memory.is_none_or(|memory| memory <= status.memory) && request.timeout <= status.wall;
    put("fits", fits.into());
    put("memory_mb", count(status.memory >> 20));
    put("wall_ms", count(status.wall.as_millis()));
    put("running", count(status.running as u64));
    put("queued", count(status.queued as u64));
    put("slots", count(status.slots as u64));
    tier.into()
}

fn effects(profile: &Profile) -> Dynamic {
    let known = StaticEffect::ALL.into_iter();
    known.map(|effect| (effect.name().into(), profile.effects.contains(&effect).into())).collect::<Map>().into()
}

/// Returns what each signal adds to the score.
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
