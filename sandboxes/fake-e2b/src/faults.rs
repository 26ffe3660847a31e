//! What goes wrong on demand.
//!
//! Faults are written `create.429=10%,execute.slow=5%:2s,create.500=100%x3`: a name, how often, for those that take
//! time how long, and at most how many times.
//!
//! | name | what happens |
//! |---|---|
//! | `create.429` `create.500` `create.503` | a creation is refused |
//! | `create.slow` | a creation takes this much longer |
//! | `execute.429` `execute.500` `execute.502` | a run is refused before anything ran |
//! | `execute.slow` | a run starts this much later |
//! | `execute.cut` | the program ran, and its stream breaks off before the end |
//! | `vanish` | at a run the sandbox is gone, without notice |
//! | `wedge` | after a client left a run, its context sends keepalives only, until it is restarted |
//! | `tag.wrong` | a new sandbox has another build than was asked for |
//! | `auth` | the control plane does not know the key |
//! | `files.500` `contexts.500` `get.500` `kill.500` | such a request fails |

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::chance::Chance;

/// A list of faults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults(Vec<Fault>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Fault {
    kind: Kind,
    percent: f64,
    time: Option<Duration>,
    most: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create429,
    Create500,
    Create503,
    CreateSlow,
    Execute429,
    Execute500,
    Execute502,
    ExecuteSlow,
    ExecuteCut,
    Vanish,
    Wedge,
    TagWrong,
    Auth,
    Files500,
    Contexts500,
    Get500,
    Kill500,
}

const NAMES: [(&str, Kind); 17] = [
    ("create.429", Kind::Create429),
    ("create.500", Kind::Create500),
    ("create.503", Kind::Create503),
    ("create.slow", Kind::CreateSlow),
    ("execute.429", Kind::Execute429),
    ("execute.500", Kind::Execute500),
    ("execute.502", Kind::Execute502),
    ("execute.slow", Kind::ExecuteSlow),
    ("execute.cut", Kind::ExecuteCut),
    ("vanish", Kind::Vanish),
    ("wedge", Kind::Wedge),
    ("tag.wrong", Kind::TagWrong),
    ("auth", Kind::Auth),
    ("files.500", Kind::Files500),
    ("contexts.500", Kind::Contexts500),
    ("get.500", Kind::Get500),
    ("kill.500", Kind::Kill500),
];

/// The text is no list of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad fault {0:?}: write name=percent%, with :time for a slow one, and xcount for a limit; {1}")]
pub struct BadFault(pub String, pub String);

/// The faults in force, and how many times each may still happen.
pub(crate) struct Desk {
    /// Protects the list; held for one draw.
    faults: Mutex<Faults>,
}

impl Desk {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults: Mutex::new(faults) }
    }

    pub(crate) fn replace(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Whether this happens now.
    pub(crate) fn strikes(&self, kind: Kind, chance: &Chance) -> bool {
        self.strike(kind, chance).is_some()
    }

    /// How long this takes now. Nothing, where it does not happen.
    pub(crate) fn delay(&self, kind: Kind, chance: &Chance) -> Duration {
        self.strike(kind, chance).flatten().unwrap_or_default()
    }

    fn strike(&self, kind: Kind, chance: &Chance) -> Option<Option<Duration>> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.0.iter_mut().find(|fault| fault.kind == kind && fault.most != Some(0))?;
        if !chance.happens(fault.percent) {
            return None;
        }
        if let Some(most) = &mut fault.most {
            *most -= 1;
        }
        Some(fault.time)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn takes_time(self) -> bool {
        matches!(self, Self::CreateSlow | Self::ExecuteSlow)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={}%", fault.kind.name(), fault.percent)?;
            if let Some(most) = fault.most {
                write!(f, "x{most}")?;
            }
            if let Some(time) = fault.time {
                write!(f, ":{time:?}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
        parts.map(fault).collect::<Result<_, _>>().map(Self)
    }
}

fn fault(text: &str) -> Result<Fault, BadFault> {
    let bad = |why: &str| BadFault(text.to_owned(), why.to_owned());
    let (name, rest) = text.split_once('=').unwrap_or((text, "100%"));
    let known = || format!("known are {}", NAMES.map(|(name, _)| name).join(", "));
    let (_, kind) = NAMES.iter().find(|(known, _)| *known == name.trim()).ok_or_else(|| bad(&known()))?;
    let (rest, time) = match rest.split_once(':') {
        Some((rest, time)) => (rest, Some(duration(time.trim()).ok_or_else(|| bad("a time is like 250ms or 2s"))?)),
        None => (rest, None),
    };
    if time.is_some() != kind.takes_time() {
        return Err(bad("a time belongs to the slow ones, and only to them"));
    }
    let (percent, most) = match rest.split_once('x') {
        Some((percent, most)) => (percent, Some(most.trim().parse().map_err(|_| bad("a count is a whole number"))?)),
        None => (rest, None),
    };
    let percent = percent.trim().strip_suffix('%').ok_or_else(|| bad("how often is in percent"))?;
    let percent: f64 = percent.trim().parse().map_err(|_| bad("how often is in percent"))?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(bad("it is between 0% and 100%"));
    }
    Ok(Fault { kind: *kind, percent, time, most })
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..unit].parse().ok()?;
    let seconds = match &text[unit..] {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_the_same() {
        let text = "create.429=10%,create.500=100%x3,execute.slow=5%:2s,vanish=0.5%,create.slow=1%x2:250ms";
        let faults: Faults = text.parse().unwrap();
        assert_eq!(faults.to_string(), text);
        assert_eq!(faults.to_string().parse::<Faults>().unwrap(), faults);
    }

    #[test]
    fn a_bad_fault_is_named_with_what_is_known() {
        for bad in ["create.418=1%", "vanish=2", "vanish=200%", "execute.slow=5%", "vanish=1%:2s", "auth=1%xfew"] {
            let error = format!("vanish=1%,{bad}").parse::<Faults>().unwrap_err();
            assert_eq!(error.0, bad);
        }
    }

    #[test]
    fn a_count_ends_a_fault() {
        let desk = Desk::new("create.500=100%x3".parse().unwrap());
        let chance = Chance::new(0);
        let struck = (0..10).filter(|_| desk.strikes(Kind::Create500, &chance)).count();
        assert_eq!(struck, 3);
    }
}
