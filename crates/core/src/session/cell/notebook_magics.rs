//! Notebook magics that only change how IPython displays pictures or loads modules. Kernels ignore them, so they do not require
//! a machine. `magics.py` of the kernels has the same list.

/// Returns a cell with these magics replaced by `pass`, for analysis.
pub(super) fn without_display_magics(source: &str) -> String {
    let line = |line: &str| {
        let indentation = line.len() - line.trim_start().len();
        if is_display_magic(line.trim()) { format!("{}pass", &line[..indentation]) } else { line.to_owned() }
    };
    source.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn is_display_magic(line: &str) -> bool {
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
    fn display_magics_are_replaced_and_other_magics_are_not() {
        let cell = "%matplotlib inline\nif x:\n    %config InlineBackend.figure_format = 'svg'\n%load_ext autoreload\nx %matplotlib";
        assert_eq!(without_display_magics(cell), "pass\nif x:\n    pass\npass\nx %matplotlib");
        for other in ["%%time\nx", "!pip install x", "%pip install x", "%load_ext sql", "%config", "%%matplotlib"] {
            assert_eq!(without_display_magics(other), other);
        }
    }
}
