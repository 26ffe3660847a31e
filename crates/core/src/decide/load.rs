//! Whether rules read the load of tiers: the facts `running` and `queued`.

/// Functions that read values of a map without naming their keys in the text.
const MAP_FUNCTIONS: [&str; 6] = ["keys", "values", "to_json", "to_debug", "debug", "get"];

/// Returns true if a rule file may read `running` or `queued` of a tier: one of these names is outside comment lines, or
/// the file reads values by keys that its text does not show.
pub(super) fn is_read(text: &str) -> bool {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let has_word = |word: &str| {
        let is_end = |side: Option<char>| side.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        code.match_indices(word)
            .any(|(at, _)| is_end(code[..at].chars().next_back()) && is_end(code[at + word.len()..].chars().next()))
    };
    code.contains("running")
        || code.contains("queued")
        || MAP_FUNCTIONS.iter().any(|word| has_word(word))
        || has_computed_index(&code)
}

/// Returns true if an index is anything but a literal number or a literal string.
fn has_computed_index(code: &str) -> bool {
    code.match_indices('[').any(|(at, _)| {
        let before = code[..at].trim_end().chars().next_back();
        let is_index = before.is_some_and(|c| c.is_alphanumeric() || "_)]?\"'`}".contains(c));
        let index = code[at + 1..].split(']').next().unwrap_or_default().trim();
        is_index && !is_number(index) && !is_string(index)
    })
}

fn is_number(index: &str) -> bool {
    !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_string(index: &str) -> bool {
    let inner = index.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| inner.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_read_the_load_is_detected() {
        for code in [
            "facts.tiers[0].queued > 3",
            "let t = facts.tiers[0]; t[\"running\"]",
            "for tier in facts.tiers { for key in tier.keys() { tier[key] } }",
            "facts.tiers[0].values()",
            "t[\"run\" + \"ning\"]",
            "let name = \"que\" + \"ued\"; t[name]",
            "t [name]",
            "t?[name]",
            "busy(t).get(name)",
            "`${t.to_json()}`",
            "x(t.name); // queued",
        ] {
            assert!(is_read(code), "{code}");
        }
    }

    #[test]
    fn a_rule_that_reads_other_facts_does_not_count_as_reading_the_load() {
        for code in ["// running, queued", "facts.tiers[0].up", "let a = [1, x]; t[\"name\"]", "widget(t.lacks[0])"] {
            assert!(!is_read(code), "{code}");
        }
        assert!(!is_read(include_str!("../../../../router-rules/default.rhai")));
    }
}
