//! How a program ended by itself, as opposed to a backend's [`Fault`](crate::Fault).

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fault::Need;
use crate::stored::micros;

/// The result of a run that took place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub exit: Exit,
    /// The effects that the host saw: all of them, where [`Offer::observes`](crate::Offer) is set. `None`: none was
    /// seen, and this backend does not see all.
    pub observed: Option<Effects>,
    /// Output was cut at its limit.
    pub truncated: bool,
    pub usage: Usage,
    /// What the program needed and did not get, under [`Escalation::Never`](crate::Escalation).
    pub unmet_need: Option<Need>,
}

impl Outcome {
    /// Returns what the program needed and did not get. `None` if it ended successfully without it.
    pub fn harmful_need(&self) -> Option<&Need> {
        self.unmet_need.as_ref().filter(|_| self.exit != Exit::Finished(0))
    }
}

/// The program's own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It ran to its end, or exited with this code.
    Finished(i32),
    /// It ended by an uncaught exception, which the stream's error event describes.
    Raised,
    TimedOut,
    OutOfMemory,
    /// It destroyed its own interpreter: an abort, a crash of native code.
    Killed,
}

impl Exit {
    /// Returns the name used in answers, records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Raised => "raised",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Killed => "killed",
        }
    }

    /// Returns the exit code that a shell would see: 124 as `timeout` gives, 137 as after SIGKILL.
    pub fn code(self) -> i32 {
        match self {
            Self::Finished(code) => code,
            Self::Raised => 1,
            Self::TimedOut => 124,
            Self::OutOfMemory | Self::Killed => 137,
        }
    }
}

/// An uncaught exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub name: String,
    pub value: String,
    /// The text that the language prints.
    pub traceback: String,
    /// The line of the program, from 1.
    pub line: Option<u32>,
}

/// An input from outside that a program can read while it runs, which makes two runs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Clock,
    Randomness,
    Environment,
    /// Standard input beyond what was given.
    Stdin,
    /// The identity of the process: its pid, its host name.
    Identity,
}

impl Effect {
    pub const ALL: [Self; 5] = [Self::Clock, Self::Randomness, Self::Environment, Self::Stdin, Self::Identity];

    /// Returns the name used in answers, records and rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Randomness => "randomness",
            Self::Environment => "environment",
            Self::Stdin => "stdin",
            Self::Identity => "identity",
        }
    }
}

/// A set of [`Effect`]s. Text formats have it as a list of names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects(u8);

impl Effects {
    pub const NONE: Self = Self(0);

    pub fn add(&mut self, effect: Effect) {
        self.0 |= 1 << effect as u8;
    }

    pub fn has(self, effect: Effect) -> bool {
        self.0 & (1 << effect as u8) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Effect> {
        Effect::ALL.into_iter().filter(move |e| self.has(*e))
    }
}

impl Serialize for Effects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_seq(self.iter()) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Effects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Ok(Vec::<Effect>::deserialize(deserializer)?.into_iter().collect())
        } else {
            u8::deserialize(deserializer).map(Self)
        }
    }
}

impl FromIterator<Effect> for Effects {
    fn from_iter<I: IntoIterator<Item = Effect>>(effects: I) -> Self {
        let mut set = Self::NONE;
        for effect in effects {
            set.add(effect);
        }
        set
    }
}

/// The resources that a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    #[serde(rename = "wall_micros", with = "micros")]
    pub wall: Duration,
    #[serde(rename = "cpu_micros", with = "micros")]
    pub cpu: Duration,
    /// Peak memory in bytes beyond what the interpreter starts with, including private files where they are counted
    /// apart.
    #[serde(rename = "memory_bytes")]
    pub memory: u64,
    /// What the provider bills for this run; zero for local backends.
    #[serde(rename = "price_nanodollars")]
    pub price: Price,
}

/// An amount of money in billionths of a US dollar. A second of a small cloud sandbox costs some tens of thousands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Price(pub u64);

impl Price {
    /// Returns the price of `time`, where `self` is the price of a second.
    #[must_use]
    pub fn of(self, time: Duration) -> Self {
        let nanos = time.as_nanos() * u128::from(self.0) / 1_000_000_000;
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Returns the amount in US dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}
