//! How a program ended by itself. None of it is an error of ours.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::Need;

/// The report of a run that took place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub exit: Exit,
    /// What the program asked the world for, as the host saw it: all of it, where the backend's offer says that it
    /// observes. `None`: nothing was seen, and this backend does not see everything.
    pub observed: Option<Effects>,
    /// Output was cut at its limit.
    pub truncated: bool,
    pub usage: Usage,
    /// What the program needed and did not get, where no other tier could have taken it.
    pub lacked: Option<Need>,
}

/// The program's own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It ran to its end, or left by `sys.exit` with this code.
    Finished(i32),
    /// An exception went through; the stream's error event describes it.
    Raised,
    TimedOut,
    OutOfMemory,
    /// It destroyed its own interpreter (abort, a crash of native code).
    Killed,
}

impl Exit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Raised => "raised",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Killed => "killed",
        }
    }

    /// The exit code as a shell would see it (`timeout` uses 124, a SIGKILL gives 137).
    pub fn code(self) -> i32 {
        match self {
            Self::Finished(code) => code,
            Self::Raised => 1,
            Self::TimedOut => 124,
            Self::OutOfMemory | Self::Killed => 137,
        }
    }
}

/// An exception that went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub name: String,
    pub value: String,
    /// As the language prints it.
    pub traceback: String,
    /// Line of the program, from 1.
    pub line: Option<u32>,
}

/// Something a program can ask the world for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Clock,
    Chance,
    Environment,
    /// Standard input beyond what was given.
    Stdin,
    /// The process's own identity: its number, its host's name.
    Identity,
}

impl Effect {
    pub const ALL: [Self; 5] = [Self::Clock, Self::Chance, Self::Environment, Self::Stdin, Self::Identity];

    pub fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Chance => "chance",
            Self::Environment => "environment",
            Self::Stdin => "stdin",
            Self::Identity => "identity",
        }
    }
}

/// A set of [`Effect`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl FromIterator<Effect> for Effects {
    fn from_iter<I: IntoIterator<Item = Effect>>(effects: I) -> Self {
        let mut set = Self::NONE;
        for effect in effects {
            set.add(effect);
        }
        set
    }
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub wall: Duration,
    pub cpu: Duration,
    /// Most bytes held at once beyond what the interpreter starts with, private files included where they are held apart.
    pub memory: u64,
    /// What the backend's owner is billed for this run. Nothing, where the machine is one's own.
    pub price: Price,
}

/// An amount of money, in billionths of a US dollar: a second of a small cloud sandbox costs some tens of thousands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Price(pub u64);

impl Price {
    /// What `time` costs at this price a second.
    #[must_use]
    pub fn of(self, time: Duration) -> Self {
        let nanos = time.as_nanos() * u128::from(self.0) / 1_000_000_000;
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}
