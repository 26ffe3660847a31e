//! What is wrong with a value, without the names of Rust's types.

/// Returns the sentence for a setting whose value serde refused with `message`. A secret is not repeated.
pub(super) fn refusal(setting: &str, message: &str) -> String {
    let is_secret = setting == "http.admin_key" || setting.starts_with("http.keys");
    let parts = ["invalid type: ", "invalid value: "]
        .into_iter()
        .find_map(|start| message.strip_prefix(start)?.rsplit_once(", expected "));
    if let Some((found, expected)) = parts {
        let expected = kind(expected);
        return match found_value(found) {
            Some(found) if !is_secret => format!("{setting} must be {expected}, not {found}"),
            _ => format!("{setting} must be {expected}"),
        };
    }
    if let Some((found, expected)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{setting} must be {expected}, not {found}");
    }
    if let Some((found, expected)) =
        message.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected "))
    {
        let found = found.trim_matches('`');
        let table = setting.strip_suffix(&format!(".{found}")).unwrap_or(setting);
        let known = expected.strip_prefix("one of ").unwrap_or(expected).replace('`', "").replace(" or ", ", ");
        return format!("there is no setting {table}.{found} (known in {table}: {known})");
    }
    if message == "invalid socket address syntax" {
        return format!("{setting} must be an address with a port, such as 127.0.0.1:8765");
    }
    if is_secret { format!("{setting} cannot be used") } else { format!("{setting}: {message}") }
}

/// What serde expected, in words.
fn kind(expected: &str) -> String {
    let up_to = |most: u64| format!("a whole number between 0 and {most}");
    match expected {
        "u8" => up_to(u8::MAX.into()),
        "u16" => up_to(u16::MAX.into()),
        "u32" => up_to(u32::MAX.into()),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string or map" | "path string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        "a duration" => "a duration such as 30s, 5m or 1h".to_owned(),
        struct_name if struct_name.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

/// What serde found, as it was written.
fn found_value(found: &str) -> Option<&str> {
    let quoted = |start: &str| found.strip_prefix(start).map(|rest| rest.trim_matches('`'));
    let text = || found.strip_prefix("string ");
    let kind = || match found {
        "sequence" => Some("a list"),
        "map" => Some("a table"),
        _ => None,
    };
    quoted("integer ").or_else(|| quoted("floating point ")).or_else(|| quoted("boolean ")).or_else(text).or_else(kind)
}
