//! Notebook magics that kernels run themselves, so that they do not require a machine.
//!
//! `magic_functions` of the kernels has the same names. What it refuses after all, because of an argument, is a need of the cell.

/// Magics of one line.
const LINE_MAGICS: [&str; 27] = [
    "time",
    "timeit",
    "who",
    "who_ls",
    "whos",
    "reset",
    "history",
    "hist",
    "pwd",
    "cd",
    "env",
    "set_env",
    "run",
    "precision",
    "matplotlib",
    "autoreload",
    "colors",
    "autosave",
    "config",
    "load_ext",
    "reload_ext",
    "xmode",
    "pinfo",
    "pinfo2",
    "pdef",
    "pdoc",
    "psource",
];

/// Magics of a whole cell.
const CELL_MAGICS: [&str; 13] = [
    "time",
    "timeit",
    "capture",
    "writefile",
    "file",
    "html",
    "HTML",
    "latex",
    "markdown",
    "javascript",
    "js",
    "svg",
    "SVG",
];

/// Returns a cell with the Python of these magics in their place, for analysis.
pub(super) fn without_local_magics(source: &str) -> String {
    let trimmed = source.trim();
    if !trimmed.contains('\n') && is_automatic(trimmed) {
        return python_of(trimmed).unwrap_or_else(|| source.to_owned());
    }
    let mut lines = source.split('\n').peekable();
    let mut python = Vec::new();
    // Cell magics may surround others.
    while let Some(head) = lines.peek().and_then(|line| line.strip_prefix("%%")) {
        let (name, rest) = split(head);
        if !CELL_MAGICS.contains(&name) {
            return source.to_owned();
        }
        lines.next();
        match name {
            "timeit" => {
                python.push(statement(rest));
                break;
            }
            "time" | "capture" => python.push("pass".to_owned()),
            // The body is text.
            _ => return "pass".to_owned(),
        }
        while lines.peek().is_some_and(|line| line.is_empty()) {
            python.extend(lines.next().map(str::to_owned));
        }
    }
    let line = |line: &str| {
        let indentation = &line[..line.len() - line.trim_start().len()];
        let (target, magic) = match line.trim().split_once("= %") {
            Some((target, magic)) if is_target(target) => (format!("{target}= "), magic.trim_start()),
            _ => match line.trim().strip_prefix('%') {
                Some(magic) => (String::new(), magic),
                None if is_question(line.trim()) => return format!("{indentation}pass"),
                None => return line.to_owned(),
            },
        };
        match python_of(magic) {
            Some(python) if target.is_empty() => format!("{indentation}{python}"),
            Some(python) if magic.starts_with("time ") => format!("{indentation}{target}{python}"),
            Some(python) => format!("{indentation}{target}None; {python}"),
            None => line.to_owned(),
        }
    };
    python.extend(lines.map(line));
    python.join("\n")
}

/// Returns the Python of a line magic; `None` if kernels do not know it.
fn python_of(magic: &str) -> Option<String> {
    let (name, rest) = split(magic);
    let known = match name {
        "load_ext" | "reload_ext" => {
            ["autoreload", "matplotlib", "matplotlib_inline", "google.colab.data_table"].contains(&rest)
        }
        "config" => rest.starts_with("InlineBackend"),
        "xmode" => rest.is_empty() || rest.eq_ignore_ascii_case("context"),
        _ => LINE_MAGICS.contains(&name),
    };
    known.then(|| match name {
        "time" | "timeit" => statement(rest),
        _ => "pass".to_owned(),
    })
}

fn split(magic: &str) -> (&str, &str) {
    let (name, rest) = magic.trim().split_once(char::is_whitespace).unwrap_or((magic.trim(), ""));
    (name, rest.trim())
}

/// Returns the statement behind the options of `%timeit`, or one without effect.
fn statement(mut rest: &str) -> String {
    while let Some(option) = rest.strip_prefix('-') {
        let (word, after) = option.split_once(' ').unwrap_or((option, ""));
        let has_value_behind = word.len() == 1 && "nrpv".contains(word);
        rest = after.trim_start();
        if has_value_behind {
            rest = rest.split_once(' ').map_or("", |(_, after)| after.trim_start());
        }
    }
    if rest.is_empty() { "pass".to_owned() } else { rest.to_owned() }
}

fn is_target(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_ ,.".contains(c))
}

/// Returns whether a line asks about an object: `len?`, `??f`.
fn is_question(line: &str) -> bool {
    let name = line.trim_matches('?').trim();
    name.len() < line.len() && !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_.*%".contains(c))
}

/// Returns whether a cell of one line is a magic without its sign, as in `cd data`.
fn is_automatic(line: &str) -> bool {
    let (name, rest) = split(line);
    let operators = ["in", "is", "and", "or", "if", "not", "for"];
    LINE_MAGICS.contains(&name)
        && rest.starts_with(|c: char| c.is_alphanumeric() || "_./~'\"-".contains(c))
        && !operators.contains(&split(rest).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_magics_equal_those_of_the_kernels() {
        let lists: serde_json::Value =
            serde_json::from_str(include_str!("../../../../../sandboxes/python/lists.json")).unwrap();
        assert_eq!(lists["line_magics"], serde_json::json!(LINE_MAGICS));
        assert_eq!(lists["cell_magics"], serde_json::json!(CELL_MAGICS));
    }

    #[test]
    fn magics_that_kernels_run_leave_their_python() {
        for (cell, python) in [
            ("%matplotlib inline\nif x:\n    %config InlineBackend.figure_format = 'svg'", "pass\nif x:\n    pass"),
            ("%load_ext autoreload\nx %matplotlib", "pass\nx %matplotlib"),
            ("%%time\nf()\n%time g()", "pass\nf()\ng()"),
            ("%timeit -n 10 -r3 -o f(-1)", "f(-1)"),
            ("t = %timeit -o f()\nt = %time f()\nx = %pwd", "t = None; f()\nt = f()\nx = None; pass"),
            ("%%timeit x = 1\nf(x)", "x = 1\nf(x)"),
            ("%%capture out\n%who\nprint(1)", "pass\npass\nprint(1)"),
            ("%%capture c\n\n%%time\nf()", "pass\n\npass\nf()"),
            ("%%time\n%%html\n<b>", "pass"),
            ("%%writefile a.py\nimport os\nos.system('ls')", "pass"),
            ("df.head?\n??f\nx", "pass\npass\nx"),
            ("cd data", "pass"),
            ("time f()", "f()"),
            ("matplotlib inline", "pass"),
        ] {
            assert_eq!(without_local_magics(cell), python);
        }
    }

    #[test]
    fn other_cells_stay_as_they_are() {
        for cell in [
            "!pip install x",
            "%pip install x",
            "%load_ext sql",
            "%config",
            "%%matplotlib",
            "%%bash\nls",
            "%xmode Verbose",
            "x = y % z",
            "time in x",
            "time (3)",
            "what = 'is this?'",
        ] {
            assert_eq!(without_local_magics(cell), cell);
        }
    }
}
