//! Calls that start pip as a process.

use ruff_python_ast::{Expr, ExprCall, InterpolatedStringElement};

/// The module that a tier has which answers pip's commands without a process.
pub(crate) const MODULE: &str = "pip";

/// Returns whether a call of this path starts pip: `subprocess.run([sys.executable, "-m", "pip", …])`,
/// `os.system("pip …")` and the like.
pub(super) fn is_started(path: &[&str], call: &ExprCall) -> bool {
    let starts = matches!(
        path,
        ["subprocess", "run" | "call" | "check_call" | "check_output" | "Popen" | "getoutput" | "getstatusoutput"]
            | ["os", "system" | "popen"]
    );
    let keyword =
        || call.arguments.keywords.iter().find(|keyword| keyword.arg.as_ref().is_some_and(|name| name == "args"));
    let command = call.arguments.args.first().or_else(|| keyword().map(|keyword| &keyword.value));
    starts && command.is_some_and(is_pip)
}

/// Returns whether a command, a list of words or a line, begins with one of the ways to start pip.
fn is_pip(command: &Expr) -> bool {
    match command {
        Expr::List(list) => words_start_pip(list.elts.iter().map(word)),
        Expr::Tuple(tuple) => words_start_pip(tuple.elts.iter().map(word)),
        // Several commands in a line are for a shell.
        _ => beginning(command).is_some_and(|line| {
            !line.contains(['|', ';', '`', '$', '\n'])
                && !line.contains("&&")
                && words_start_pip(line.split_whitespace())
        }),
    }
}

fn words_start_pip<'a>(words: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> bool {
    let words: Vec<String> = words.into_iter().take(3).map(|word| word.as_ref().to_owned()).collect();
    let words: Vec<&str> = words.iter().map(|word| word.rsplit('/').next().unwrap_or(word)).collect();
    match words[..] {
        ["uv", "pip", ..] => true,
        [python, "-m", "pip", ..] => is_version_of("python", python),
        [pip, ..] => is_version_of("pip", pip),
        [] => false,
    }
}

/// Returns whether a name is this one, with or without a version: `python3.11`.
fn is_version_of(name: &str, text: &str) -> bool {
    text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('3'))
}

/// Returns a word of a command; `sys.executable` is Python, and any other expression some word.
fn word(expr: &Expr) -> &str {
    match expr {
        Expr::StringLiteral(literal) => literal.value.to_str(),
        Expr::Attribute(attribute) if attribute.attr.as_str() == "executable" => "python",
        _ => "",
    }
}

/// Returns the text of a line as far as it is written in the program, with `python` for `{sys.executable}` at its beginning.
fn beginning(line: &Expr) -> Option<String> {
    match line {
        Expr::StringLiteral(literal) => Some(literal.value.to_str().to_owned()),
        Expr::FString(formatted) => {
            let text = |element: &InterpolatedStringElement| match element {
                InterpolatedStringElement::Literal(literal) => literal.value.to_string(),
                InterpolatedStringElement::Interpolation(value) => match word(&value.expression) {
                    "" => "x".to_owned(),
                    word => word.to_owned(),
                },
            };
            Some(formatted.value.elements().map(text).collect())
        }
        _ => None,
    }
}
