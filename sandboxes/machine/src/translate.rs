//! TypeScript for kernels that run JavaScript.

use std::borrow::Cow;

use switchtower_contract::{Failure, Language};
use switchtower_typescript::{Imports, SyntaxError, to_javascript};

/// Returns the code that a kernel gets for a source: TypeScript as JavaScript, all other languages as they are.
///
/// # Errors
/// The source is not valid TypeScript; the failure says where.
pub(crate) fn code(language: Language, source: &str, imports: Imports) -> Result<Cow<'_, str>, Failure> {
    if language != Language::TypeScript {
        return Ok(Cow::Borrowed(source));
    }
    let translated = to_javascript(source, imports).map_err(|error| failure(source, &error))?;
    Ok(Cow::Owned(translated.code))
}

/// Returns the failure of a source that cannot be read, in the form in which node shows one.
fn failure(source: &str, error: &SyntaxError) -> Failure {
    let SyntaxError { message, line, column } = error;
    let text = source.lines().nth(*line as usize - 1).unwrap_or_default();
    let below = " ".repeat((*column as usize).saturating_sub(1).min(text.len()));
    let traceback = format!("program.ts:{line}:{column}\n{text}\n{below}^\n\nSyntaxError: {message}");
    Failure { name: "SyntaxError".to_owned(), value: message.clone(), traceback, line: Some(*line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typescript_is_translated_and_an_error_in_it_names_its_line() {
        let code = |source| code(Language::TypeScript, source, Imports::All);
        assert!(!code("const a: number = 1").unwrap().contains("number"));
        let failed = code("let a = 1\nlet b: = 2").unwrap_err();
        assert_eq!((failed.name.as_str(), failed.line), ("SyntaxError", Some(2)));
        assert!(failed.traceback.contains("let b: = 2"), "{}", failed.traceback);
    }
}
