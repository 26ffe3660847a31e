//! An upper bound of the depth of a program's syntax tree, computed from its tokens before it is parsed.
//!
//! The parser, the visitors and the drop of a syntax tree are recursive, so the depth must be bounded first. Each level
//! of the tree takes at least one token, and only a comma, a closing bracket or the end of a statement returns to an
//! outer level. So the tokens since the last of these, with those of the enclosing brackets, are at least as many as
//! the levels.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// The deepest nesting of brackets that CPython accepts.
const MAX_BRACKETS: usize = 200;
/// The deepest nesting of blocks that CPython accepts.
const MAX_BLOCKS: usize = 100;
/// The deepest tree that is parsed at all.
const MAX_DEPTH: u32 = 4000;
/// The depth from which a tree is parsed on a stack of its own.
const MIN_DEEP: u32 = 250;

/// The largest number of tokens that is read: more than half a megabyte of ordinary code. It bounds the time of
/// analysis.
const MAX_TOKENS: usize = 150_000;

/// The result of measuring a program's depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The stack of any thread is sufficient.
    Shallow,
    /// The program must be analysed on a thread with a larger stack.
    Deep,
    /// The program is not valid Python, for this reason.
    Invalid(&'static str),
    /// The program is too large to be analysed, for this reason.
    Excessive(&'static str),
}

/// An open bracket; the lowest entry represents the logical line.
struct OpenBracket {
    closer: TokenKind,
    /// The token count at the opening bracket.
    before: u32,
    /// The token count that a comma inside resets to.
    base: u32,
}

/// Measures how deeply the syntax tree of a program may be nested.
pub(super) fn measure(source: &str) -> Depth {
    let mut lexer = lexer::lex(source, Mode::Ipython);
    let mut open = vec![OpenBracket { closer: TokenKind::Newline, before: 0, base: 0 }];
    let (mut blocks, mut count, mut max_count) = (0usize, 0u32, 0u32);
    for _ in 0..MAX_TOKENS {
        let token = lexer.next_token();
        match token {
            TokenKind::EndOfFile => return classify(max_count, open.len()),
            TokenKind::Unknown => return Depth::Invalid("a character is invalid or a string is not terminated"),
            TokenKind::Comment | TokenKind::NonLogicalNewline => continue,
            TokenKind::Newline => {
                count = 0;
                open[0].base = 0;
            }
            TokenKind::Indent => {
                blocks += 1;
                if blocks > MAX_BLOCKS {
                    return Depth::Invalid("too many levels of indentation");
                }
            }
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            TokenKind::Comma | TokenKind::Semi => count = open.last().map_or(0, |bracket| bracket.base),
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => {
                let closer = match token {
                    TokenKind::Lpar => TokenKind::Rpar,
                    TokenKind::Lsqb => TokenKind::Rsqb,
                    _ => TokenKind::Rbrace,
                };
                count += 1;
                open.push(OpenBracket { closer, before: count, base: count });
                if open.len() > MAX_BRACKETS + 1 {
                    return Depth::Invalid("too many nested brackets");
                }
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => match open.pop() {
                Some(bracket) if bracket.closer == token => count = bracket.before + 1,
                _ => return Depth::Invalid("a closing bracket has no opening bracket"),
            },
            _ => {
                count += 1;
                if may_contain_commas(token)
                    && let Some(bracket) = open.last_mut()
                {
                    bracket.base = count;
                }
            }
        }
        max_count = max_count.max(count);
        if max_count > MAX_DEPTH {
            return Depth::Excessive("it is nested too deeply to be analysed");
        }
    }
    Depth::Excessive("it is too long to be analysed")
}

fn classify(max_count: u32, open_brackets: usize) -> Depth {
    match max_count {
        _ if open_brackets > 1 => Depth::Invalid("a bracket is not closed"),
        0..MIN_DEEP => Depth::Shallow,
        _ => Depth::Deep,
    }
}

/// Returns whether a token is a keyword whose parameters or header may contain commas, so that a comma does not end its
/// level.
fn may_contain_commas(token: TokenKind) -> bool {
    token.is_keyword()
        && !matches!(
            token,
            TokenKind::None | TokenKind::True | TokenKind::False | TokenKind::Not | TokenKind::In | TokenKind::Is
        )
        && !matches!(token, TokenKind::And | TokenKind::Or | TokenKind::As | TokenKind::Import | TokenKind::From)
}
