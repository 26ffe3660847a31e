//! Magics of a notebook that change how IPython shows pictures or loads modules, and nothing here: kernels pass over them,
//! so they are no reason to buy a machine. The guest's `magics.py` has the same list.

/// A cell as analysis is to see it.
pub(super) fn without(source: &str) -> String {
    let line = |line: &str| {
        let indentation = line.len() - line.trim_start().len();
        if is_harmless(line.trim()) { format!("{}pass", &line[..indentation]) } else { line.to_owned() }
    };
    source.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn is_harmless(line: &str) -> bool {
    let Some(magic) = line.strip_prefix('%') else { return false };
    let mut words = magic.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("matplotlib" | "autoreload"), ..) => true,
        (Some("load_ext" | "reload_ext"), Some("autoreload"), None) => true,
        (Some("config"), Some(what), _) => what.starts_with("InlineBackend"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_here_is_passed_over_and_what_does_is_not() {
        let cell = "%matplotlib inline\nif x:\n    %config InlineBackend.figure_format = 'svg'\n%load_ext autoreload\nx %matplotlib";
        assert_eq!(without(cell), "pass\nif x:\n    pass\npass\nx %matplotlib");
        for other in ["%%time\nx", "!pip install x", "%pip install x", "%load_ext sql", "%config", "%%matplotlib"] {
            assert_eq!(without(other), other);
        }
    }
}
