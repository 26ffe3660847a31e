//! How deeply a program can nest, told from its tokens before it is parsed.
//!
//! Parser, walks and the drop of a syntax tree recurse, so their depth must be known first. Every level of a tree costs
//! at least one token. What leads back to an outer level is a comma, a closing bracket or the end of a statement, so the
//! tokens since then, with those of the enclosing brackets, are never fewer than the levels.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// Brackets within brackets that CPython accepts.
const BRACKETS: usize = 200;
/// Blocks within blocks that CPython accepts.
const BLOCKS: usize = 100;
/// Levels that the parser is given at all.
const DEEPEST: u32 = 4000;
/// Levels that it is given on the caller's own stack.
const SHALLOW: u32 = 250;

/// Tokens that are read at all: more than half a megabyte of ordinary code. It bounds the time that hostile input takes.
const TOKENS: usize = 150_000;

/// What a look at the tokens tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Any thread's stack will do.
    Shallow,
    /// It wants a stack of its own.
    Deep,
    /// Python refuses it, for this reason.
    Refused(&'static str),
    /// It may be a program, but it is not looked into, for this reason.
    Excessive(&'static str),
}

/// A bracket that is open, or at the bottom the line itself.
struct Open {
    closer: TokenKind,
    /// Tokens counted when it opened.
    before: u32,
    /// What a comma inside leads back to.
    base: u32,
}

pub(super) fn of(source: &str) -> Depth {
    let mut lexer = lexer::lex(source, Mode::Ipython);
    let mut open = vec![Open { closer: TokenKind::Newline, before: 0, base: 0 }];
    let (mut blocks, mut count, mut most) = (0usize, 0u32, 0u32);
    for _ in 0..TOKENS {
        let token = lexer.next_token();
        match token {
            TokenKind::EndOfFile => return ending(most, open.len()),
            TokenKind::Unknown => return Depth::Refused("a character or a string cannot be read"),
            TokenKind::Comment | TokenKind::NonLogicalNewline => continue,
            TokenKind::Newline => {
                count = 0;
                open[0].base = 0;
            }
            TokenKind::Indent => {
                blocks += 1;
                if blocks > BLOCKS {
                    return Depth::Refused("too many levels of indentation");
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
                open.push(Open { closer, before: count, base: count });
                if open.len() > BRACKETS + 1 {
                    return Depth::Refused("too many nested brackets");
                }
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => match open.pop() {
                Some(bracket) if bracket.closer == token => count = bracket.before + 1,
                _ => return Depth::Refused("a bracket is closed that was not opened"),
            },
            _ => {
                count += 1;
                if keeps_commas(token)
                    && let Some(bracket) = open.last_mut()
                {
                    bracket.base = count;
                }
            }
        }
        most = most.max(count);
        if most > DEEPEST {
            return Depth::Excessive("it is nested too deeply to be looked into");
        }
    }
    Depth::Excessive("it is too long to be looked into")
}

fn ending(most: u32, open: usize) -> Depth {
    match most {
        _ if open > 1 => Depth::Refused("a bracket is never closed"),
        0..SHALLOW => Depth::Shallow,
        _ => Depth::Deep,
    }
}

/// True for words whose parameters or header can have commas, which do not end what the word began.
fn keeps_commas(token: TokenKind) -> bool {
    token.is_keyword()
        && !matches!(
            token,
            TokenKind::None | TokenKind::True | TokenKind::False | TokenKind::Not | TokenKind::In | TokenKind::Is
        )
        && !matches!(token, TokenKind::And | TokenKind::Or | TokenKind::As | TokenKind::Import | TokenKind::From)
}
