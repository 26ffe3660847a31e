//! Validates JSON against the part of JSON Schema that the OpenAPI document uses.

use serde_json::Value;

/// Returns every place where `value` violates `schema`; `document` has the referenced parts.
pub(super) fn violations(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "", &mut found);
    found
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = document.pointer(reference.trim_start_matches('#'));
        return check(document, target.expect("a reference has a target"), value, at, found);
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let fits = |choice: &&Value| violations(document, choice, value).is_empty();
        if choices.iter().filter(fits).count() != 1 {
            found.push(format!("{at}: not exactly one of the choices fits {value}"));
        }
        return;
    }
    if let Some(types) = schema.get("type") {
        let names: Vec<&str> = types
            .as_array()
            .map_or_else(|| types.as_str().into_iter().collect(), |all| all.iter().filter_map(Value::as_str).collect());
        if !names.iter().any(|name| is(name, value)) {
            found.push(format!("{at}: {value} is not {}", names.join(" or ")));
        }
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !value.is_null()
        && !allowed.contains(value)
    {
        found.push(format!("{at}: {value} is not one of {allowed:?}"));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (i, item) in values.iter().enumerate() {
            check(document, items, item, &format!("{at}[{i}]"), found);
        }
    }
    let Some(object) = value.as_object() else { return };
    let known = schema.get("properties").and_then(Value::as_object);
    for (key, inner) in object {
        let at = format!("{at}.{key}");
        match (known.and_then(|known| known.get(key)), schema.get("additionalProperties")) {
            (Some(schema), _) => check(document, schema, inner, &at, found),
            (None, Some(Value::Bool(false))) => found.push(format!("{at}: not described")),
            (None, Some(schema @ Value::Object(_))) => check(document, schema, inner, &at, found),
            (None, _) => {}
        }
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !object.contains_key(required.as_str().expect("names are strings")) {
            found.push(format!("{at}.{required}: missing"));
        }
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema names a type that does not exist: {other}"),
    }
}
