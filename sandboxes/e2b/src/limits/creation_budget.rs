//! The setting of the hourly budget.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Plan;

/// How many sandboxes may be created in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreationBudget {
    Number(u32),
    /// [`Plan::creations_per_hour`].
    Plan,
}

/// How `Plan` is written.
const PLAN: &str = "plan";

impl CreationBudget {
    pub fn creations(self, plan: Plan) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Plan => plan.creations_per_hour(),
        }
    }
}

impl Serialize for CreationBudget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u32(*number),
            Self::Plan => serializer.serialize_str(PLAN),
        }
    }
}

impl<'de> Deserialize<'de> for CreationBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrPlan;

        impl Visitor<'_> for NumberOrPlan {
            type Value = CreationBudget;

            fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(text, "a whole number between 0 and {}, or \"{PLAN}\"", u32::MAX)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<CreationBudget, E> {
                let refused = |_| E::invalid_value(de::Unexpected::Unsigned(number), &self);
                u32::try_from(number).map(CreationBudget::Number).map_err(refused)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<CreationBudget, E> {
                let refused = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
                u32::try_from(number).map(CreationBudget::Number).map_err(refused)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<CreationBudget, E> {
                if text == PLAN {
                    Ok(CreationBudget::Plan)
                } else {
                    Err(E::invalid_type(de::Unexpected::Str(text), &self))
                }
            }
        }

        deserializer.deserialize_any(NumberOrPlan)
    }
}
