//! Faults that are injected on demand.
//!
//! Faults are written `create.429=10%,execute.slow=5%:2s,create.500=100%x3`: a name, a percentage of calls, for slow ones
//! the delay, and at most how many times.
//!
//! | name | what happens |
//! |---|---|
//! | `create.429` `create.500` `create.503` | a creation is refused |
//! | `create.slow` | a creation takes this much longer |
//! | `execute.429` `execute.500` `execute.502` | a run is refused before anything ran |
//! | `execute.slow` | a run starts this much later |
//! | `execute.cut` | the program runs, and its stream breaks off before the end |
//! | `vanish` | the sandbox ends when a run starts, without notice |
//! | `wedge` | after a client has left a run, its context sends keepalives only, until it is restarted |
//! | `tag.wrong` | a new sandbox has another build tag than was requested |
//! | `auth` | the control plane refuses the key |
//! | `files.500` `contexts.500` `get.500` `kill.500` | such a request fails |

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::random::SeededRandom;

/// A list of faults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults(Vec<InjectedFault>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct InjectedFault {
    kind: FaultKind,
    percent: f64,
    delay: Option<Duration>,
    /// How many times it may still be injected.
    remaining: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
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

const NAMES: [(&str, FaultKind); 17] = [
    ("create.429", FaultKind::Create429),
    ("create.500", FaultKind::Create500),
    ("create.503", FaultKind::Create503),
    ("create.slow", FaultKind::CreateSlow),
    ("execute.429", FaultKind::Execute429),
    ("execute.500", FaultKind::Execute500),
    ("execute.502", FaultKind::Execute502),
    ("execute.slow", FaultKind::ExecuteSlow),
    ("execute.cut", FaultKind::ExecuteCut),
    ("vanish", FaultKind::Vanish),
    ("wedge", FaultKind::Wedge),
    ("tag.wrong", FaultKind::TagWrong),
    ("auth", FaultKind::Auth),
    ("files.500", FaultKind::Files500),
    ("contexts.500", FaultKind::Contexts500),
    ("get.500", FaultKind::Get500),
    ("kill.500", FaultKind::Kill500),
];

/// The text is not a list of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid fault {fault:?}: {reason}; write name=percent%, with :delay for a slow one and xcount for a limit")]
pub struct InvalidFault {
    pub fault: String,
    pub reason: String,
}

/// The faults in force.
pub(crate) struct FaultInjector {
    /// Held for one draw.
    faults: Mutex<Faults>,
}

impl FaultInjector {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults: Mutex::new(faults) }
    }

    pub(crate) fn replace(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Draws whether this fault is injected now.
    pub(crate) fn triggers(&self, kind: FaultKind, random: &SeededRandom) -> bool {
        self.draw(kind, random).is_some()
    }

    /// Returns the delay of this fault; zero where it is not injected now.
    pub(crate) fn delay(&self, kind: FaultKind, random: &SeededRandom) -> Duration {
        self.draw(kind, random).flatten().unwrap_or_default()
    }

    fn draw(&self, kind: FaultKind, random: &SeededRandom) -> Option<Option<Duration>> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.0.iter_mut().find(|fault| fault.kind == kind && fault.remaining != Some(0))?;
        if !random.is_hit(fault.percent) {
            return None;
        }
        if let Some(remaining) = &mut fault.remaining {
            *remaining -= 1;
        }
        Some(fault.delay)
    }
}

impl FaultKind {
    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn has_delay(self) -> bool {
        matches!(self, Self::CreateSlow | Self::ExecuteSlow)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={}%", fault.kind.name(), fault.percent)?;
            if let Some(remaining) = fault.remaining {
                write!(f, "x{remaining}")?;
            }
            if let Some(delay) = fault.delay {
                write!(f, ":{delay:?}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
        parts.map(parse_fault).collect::<Result<_, _>>().map(Self)
    }
}

fn parse_fault(text: &str) -> Result<InjectedFault, InvalidFault> {
    let invalid = |reason: &str| InvalidFault { fault: text.to_owned(), reason: reason.to_owned() };
    let (name, rest) = text.split_once('=').unwrap_or((text, "100%"));
    let known = || format!("the names are {}", NAMES.map(|(name, _)| name).join(", "));
    let (_, kind) = NAMES.iter().find(|(known, _)| *known == name.trim()).ok_or_else(|| invalid(&known()))?;
    let (rest, delay) = match rest.split_once(':') {
        Some((rest, delay)) => {
            let delay = parse_duration(delay.trim()).ok_or_else(|| invalid("a delay is written 250ms, 2s or 1m"))?;
            (rest, Some(delay))
        }
        None => (rest, None),
    };
    if delay.is_some() != kind.has_delay() {
        return Err(invalid("slow faults need a delay, and only they have one"));
    }
    let (percent, remaining) = match rest.split_once('x') {
        Some((percent, count)) => {
            (percent, Some(count.trim().parse().map_err(|_| invalid("the count must be a whole number"))?))
        }
        None => (rest, None),
    };
    let percent = percent.trim().strip_suffix('%').ok_or_else(|| invalid("the frequency must be a percentage"))?;
    let percent: f64 = percent.trim().parse().map_err(|_| invalid("the frequency must be a percentage"))?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(invalid("the percentage must be between 0 and 100"));
    }
    Ok(InjectedFault { kind: *kind, percent, delay, remaining })
}

fn parse_duration(text: &str) -> Option<Duration> {
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
    fn printed_faults_parse_to_the_same_faults() {
        let text = "create.429=10%,create.500=100%x3,execute.slow=5%:2s,vanish=0.5%,create.slow=1%x2:250ms";
        let faults: Faults = text.parse().unwrap();
        assert_eq!(faults.to_string(), text);
        assert_eq!(faults.to_string().parse::<Faults>().unwrap(), faults);
    }

    #[test]
    fn an_invalid_fault_is_named_in_its_error() {
        for bad in ["create.418=1%", "vanish=2", "vanish=200%", "execute.slow=5%", "vanish=1%:2s", "auth=1%xfew"] {
            let error = format!("vanish=1%,{bad}").parse::<Faults>().unwrap_err();
            assert_eq!(error.fault, bad);
        }
    }

    #[test]
    fn a_fault_with_a_count_is_injected_that_many_times() {
        let injector = FaultInjector::new("create.500=100%x3".parse().unwrap());
        let random = SeededRandom::new(0);
        let injected = (0..10).filter(|_| injector.triggers(FaultKind::Create500, &random)).count();
        assert_eq!(injected, 3);
    }
}
