//! Whether rules read how busy the tiers are: the facts `running` and `queued`.

/// Functions that reach a map's values without their names.
const WHOLE: [&str; 6] = ["keys", "values", "to_json", "to_debug", "debug", "get"];

/// Returns true if a rule file may read `running` or `queued` of a tier: it has one of these names outside comment lines, or
/// reaches values by a name that its text does not show.
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
        || WHOLE.iter().any(|word| has_word(word))
        || has_computed_index(&code)
}

/// Returns true if something is indexed by anything but a number or a text that is written out.
fn has_computed_index(code: &str) -> bool {
    code.match_indices('[').any(|(at, _)| {
        let before = code[..at].trim_end().chars().next_back();
        let is_index = before.is_some_and(|c| c.is_alphanumeric() || "_)]?\"'`}".contains(c));
        let index = code[at + 1..].split(']').next().unwrap_or_default().trim();
        is_index && !is_number(index) && !is_plain_text(index)
    })
}

fn is_number(index: &str) -> bool {
    !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_plain_text(index: &str) -> bool {
    let inner = index.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| inner.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_may_read_the_load_is_seen_whichever_way_it_takes() {
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
    fn a_rule_that_names_neither_is_not_taken_for_one_that_reads_it() {
        for code in ["// running, queued", "facts.tiers[0].up", "let a = [1, x]; t[\"name\"]", "widget(t.lacks[0])"] {
            assert!(!is_read(code), "{code}");
        }
        assert!(!is_read(include_str!("../../../../router-rules/default.rhai")));
    }
}
