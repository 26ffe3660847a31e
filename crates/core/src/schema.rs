//! The stored form of requests, decisions, attempts, records and results: JSON objects with a schema number.
//!
//! Every stored schema stays readable: each one has golden files in `tests/golden`. A change of a stored type raises its
//! schema number, and [`read`] then converts the earlier form.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The field with the schema number.
const FIELD: &str = "schema";

/// A type with a stored form.
pub trait Storable: Serialize + DeserializeOwned {
    /// The name of the type in messages and golden files.
    const NAME: &'static str;
    /// The schema number that [`write()`] writes.
    const SCHEMA: u32;
}

/// Why a stored value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("{name} must be a JSON object with a whole number `schema`")]
    NoSchema { name: &'static str },
    #[error("{name} has schema {found}; this version reads schema 1 to {supported}: update Switchtower")]
    Newer { name: &'static str, found: u64, supported: u32 },
    #[error("{name} does not fit schema {schema}: {reason}")]
    Malformed { name: &'static str, schema: u64, reason: String },
}

/// Returns the stored form of a value.
///
/// # Errors
/// The value is not a JSON object, or contains a number that JSON cannot represent, such as NaN.
pub fn write<T: Storable>(value: &T) -> Result<Value, SchemaError> {
    let malformed = |reason: String| SchemaError::Malformed { name: T::NAME, schema: T::SCHEMA.into(), reason };
    let Value::Object(mut fields) = serde_json::to_value(value).map_err(|error| malformed(error.to_string()))? else {
        return Err(SchemaError::NoSchema { name: T::NAME });
    };
    fields.insert(FIELD.to_owned(), T::SCHEMA.into());
    Ok(Value::Object(fields))
}

/// Returns the value of a stored form.
///
/// # Errors
/// The schema number is missing or newer than [`Storable::SCHEMA`], or the fields do not fit the schema.
pub fn read<T: Storable>(stored: Value) -> Result<T, SchemaError> {
    let Value::Object(mut fields) = stored else { return Err(SchemaError::NoSchema { name: T::NAME }) };
    let schema = fields.remove(FIELD).and_then(|number| number.as_u64());
    let schema = schema.filter(|number| *number > 0).ok_or(SchemaError::NoSchema { name: T::NAME })?;
    if schema > T::SCHEMA.into() {
        return Err(SchemaError::Newer { name: T::NAME, found: schema, supported: T::SCHEMA });
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| SchemaError::Malformed {
        name: T::NAME,
        schema,
        reason: error.to_string(),
    })
}
