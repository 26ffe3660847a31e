//! Calls that start pip as a process.

use ruff_python_ast::{Expr, ExprCall, InterpolatedStringElement};

use super::shell_line;

/// The module that a tier has which answers pip's commands without a process.
pub(crate) const MODULE: &str = "pip";

/// How a call gives the command that it starts.
enum Form {
    /// One argument: a list of words, or a line.
    Command,
    /// Each argument is a word.
    Words,
}

/// Returns whether a call of this path starts pip: `subprocess.run([sys.executable, "-m", "pip", …])`,
/// `os.system("pip … && echo done")` and the like.
pub(super) fn is_started(path: &[&str], call: &ExprCall) -> bool {
    let form = match path {
        ["subprocess", "run" | "call" | "check_call" | "check_output" | "Popen" | "getoutput" | "getstatusoutput"]
        | ["os", "system" | "popen"]
        | ["asyncio", "create_subprocess_shell"]
        | ["asyncio", "subprocess", "create_subprocess_shell"] => Form::Command,
        ["asyncio", "create_subprocess_exec"] | ["asyncio", "subprocess", "create_subprocess_exec"] => Form::Words,
        _ => return false,
    };
    let arguments = &call.arguments;
    match form {
        Form::Words => shell_line::words_are_for_pip(arguments.args.iter().map(word)),
        Form::Command => {
            let named = || ["args", "cmd", "command"].iter().find_map(|name| arguments.find_keyword(name));
            let command = arguments.args.first().or_else(|| named().map(|keyword| &keyword.value));
            command.is_some_and(is_for_pip)
        }
    }
}

fn is_for_pip(command: &Expr) -> bool {
    match command {
        Expr::List(list) => shell_line::words_are_for_pip(list.elts.iter().map(word)),
        Expr::Tuple(tuple) => shell_line::words_are_for_pip(tuple.elts.iter().map(word)),
        _ => text(command).is_some_and(|line| shell_line::is_for_pip(&line)),
    }
}

/// Returns a word of a command; `sys.executable` is Python, and any other expression some word.
fn word(expr: &Expr) -> &str {
    match expr {
        Expr::StringLiteral(literal) => literal.value.to_str(),
        Expr::Attribute(attribute) if attribute.attr.as_str() == "executable" => "python",
        _ => "",
    }
}

/// Returns the text of a line as far as it is written in the program, with `python` for `{sys.executable}`.
fn text(line: &Expr) -> Option<String> {
    match line {
        Expr::StringLiteral(literal) => Some(literal.value.to_str().to_owned()),
        Expr::FString(formatted) => {
            let part = |element: &InterpolatedStringElement| match element {
                InterpolatedStringElement::Literal(literal) => literal.value.to_string(),
                InterpolatedStringElement::Interpolation(value) => match word(&value.expression) {
                    "" => "x".to_owned(),
                    word => word.to_owned(),
                },
            };
            Some(formatted.value.elements().map(part).collect())
        }
        _ => None,
    }
}
