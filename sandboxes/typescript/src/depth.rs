//! An upper bound of the depth of a program's syntax tree, computed from its tokens before it is parsed.
//!
//! Each level of the tree takes at least one token, and only a comma, a closing bracket or the end of a statement returns
//! to an outer level. So the tokens since the last of these, with those of the enclosing brackets, are at least as many as
//! the levels. Where the text is ambiguous without a parser (a slash that may begin a pattern), the larger count is taken.

/// The deepest tree that is parsed at all.
const MAX_DEPTH: u32 = 4000;
/// The depth from which a tree is parsed on a stack of its own.
const MIN_DEEP: u32 = 100;
/// The largest number of tokens that is read: about a megabyte of ordinary code. It bounds the time of analysis.
const MAX_TOKENS: usize = 400_000;

/// The result of measuring a program's depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The stack of any thread is sufficient.
    Shallow,
    /// The program must be parsed on a thread with a larger stack.
    Deep,
    /// The program is too large to be parsed, for this reason.
    Excessive(&'static str),
}

/// What the last token may be followed by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A value may follow: it was an operator, an opening bracket, or the start of a statement.
    Operator,
    /// It ended a value: a slash after it divides.
    Value,
    /// A word of the language that a value or a statement follows.
    Keyword,
    /// A closing round bracket: of a call, or of the head of a statement.
    Round,
    /// A closing curly bracket: of an object, or of a block.
    Curly,
}

/// An open bracket; the lowest entry represents the program.
struct Open {
    /// Whether it is the `${` of a template.
    template: bool,
    /// Whether it is the head of a statement such as `if (`.
    head: bool,
    /// The count at the opening bracket, to which the end of a statement returns.
    before: u32,
    /// The count to which a comma returns.
    base: u32,
}

/// Words after which a statement or a value follows.
const KEYWORDS: &[&str] = &[
    "abstract",
    "as",
    "async",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "declare",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "export",
    "extends",
    "finally",
    "for",
    "from",
    "function",
    "get",
    "if",
    "implements",
    "import",
    "in",
    "infer",
    "instanceof",
    "interface",
    "is",
    "keyof",
    "let",
    "module",
    "namespace",
    "new",
    "of",
    "out",
    "override",
    "private",
    "protected",
    "public",
    "readonly",
    "return",
    "satisfies",
    "set",
    "static",
    "switch",
    "throw",
    "try",
    "type",
    "typeof",
    "unique",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "accessor",
    "asserts",
    "using",
];
/// Words that begin a line and go on with the statement of the line before.
const CONTINUING: &[&str] = &[
    "else",
    "catch",
    "finally",
    "while",
    "in",
    "instanceof",
    "of",
    "as",
    "satisfies",
    "extends",
    "implements",
    "from",
    "is",
];
/// Words before the round brackets of a statement's head.
const HEADS: &[&str] = &["if", "for", "while", "with", "switch", "catch", "await"];

/// Measures how deeply the syntax tree of a program may be nested.
pub fn measure(source: &str) -> Depth {
    let mut scan = Scan::new(source.as_bytes());
    match scan.run() {
        Err(reason) => Depth::Excessive(reason),
        Ok(()) if scan.most < MIN_DEEP => Depth::Shallow,
        Ok(()) => Depth::Deep,
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    open: Vec<Open>,
    count: u32,
    most: u32,
    tokens: usize,
    last: Last,
    /// The last word, if it was the last token.
    is_head_word: bool,
    newline: bool,
    /// From a pattern that may be none on, closing brackets and quotes are not trusted; up to this place.
    doubtful_until: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            open: vec![Open { template: false, head: false, before: 0, base: 0 }],
            count: 0,
            most: 0,
            tokens: 0,
            last: Last::Operator,
            is_head_word: false,
            newline: false,
            doubtful_until: 0,
        }
    }

    fn run(&mut self) -> Result<(), &'static str> {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'\n' | b'\r' => {
                    self.newline = true;
                    self.at += 1;
                    continue;
                }
                b' ' | b'\t' => {
                    self.at += 1;
                    continue;
                }
                b'/' if self.is_comment() => continue,
                _ => self.token(byte)?,
            }
            self.newline = false;
            self.tokens += 1;
            self.most = self.most.max(self.count);
            if self.most > MAX_DEPTH {
                return Err("it is nested too deeply to be analysed");
            }
            if self.tokens > MAX_TOKENS {
                return Err("it is too long to be analysed");
            }
        }
        Ok(())
    }

    fn is_doubtful(&self) -> bool {
        self.at < self.doubtful_until
    }

    /// Skips a comment, if there is one here.
    fn is_comment(&mut self) -> bool {
        let rest = &self.text[self.at..];
        if self.is_doubtful() {
            return false;
        }
        if rest.starts_with(b"//") {
            self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            return true;
        }
        if rest.starts_with(b"/*") {
            let end = rest[2..].windows(2).position(|pair| pair == b"*/").map_or(rest.len(), |at| at + 4);
            self.newline |= rest[..end].contains(&b'\n');
            self.at += end;
            return true;
        }
        false
    }

    fn token(&mut self, byte: u8) -> Result<(), &'static str> {
        let is_word = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#' | b'@' | b'\\') || byte >= 0x80;
        let starts_value = is_word || matches!(byte, b'"' | b'\'' | b'{');
        let ended = matches!(self.last, Last::Value | Last::Curly | Last::Round);
        if self.newline && ended && starts_value {
            let word = self.word();
            let continues = CONTINUING.iter().any(|known| known.as_bytes() == word);
            let is_body = byte == b'{' && self.last != Last::Value;
            if !continues && !is_body {
                self.end_statement();
            }
        }
        match byte {
            b'"' | b'\'' if self.is_doubtful() => self.operator(1),
            b'"' | b'\'' => {
                self.count += 1;
                self.string(byte);
                self.last = Last::Value;
            }
            b'`' => {
                if self.is_doubtful() {
                    return Err("a pattern and a template cannot be distinguished");
                }
                self.count += 1;
                self.at += 1;
                self.template();
            }
            b'(' | b'[' | b'{' => {
                self.count += 1;
                let head = byte == b'(' && self.is_head_word;
                self.open.push(Open { template: false, head, before: self.count, base: self.count });
                self.last = Last::Operator;
                self.at += 1;
            }
            b')' | b']' | b'}' => self.close(byte),
            b',' => {
                self.count = self.open.last().map_or(0, |open| open.base);
                self.operator(1);
            }
            b';' => {
                let next = self.text[self.at + 1..].trim_ascii_start();
                if next.starts_with(b"else") || next.starts_with(b"while") || next.starts_with(b"/") {
                    self.operator(1);
                } else {
                    self.end_statement();
                    self.operator(1);
                }
            }
            b'/' => self.slash(),
            _ if is_word => {
                let word = self.word();
                let is_keyword = KEYWORDS.iter().any(|known| known.as_bytes() == word);
                self.count += 1;
                self.is_head_word = HEADS.iter().any(|known| known.as_bytes() == word);
                self.last = if is_keyword { Last::Keyword } else { Last::Value };
                self.at += word.len().max(1);
                if is_keyword && let Some(open) = self.open.last_mut() {
                    open.base = self.count;
                }
                return Ok(());
            }
            _ => self.operator(1),
        }
        self.is_head_word = false;
        Ok(())
    }

    fn operator(&mut self, width: usize) {
        // `=>` and `:` go on with what follows a comma would not end.
        if let Some(open) = self.open.last_mut()
            && self.text[self.at] == b':'
        {
            open.base = open.base.max(open.before);
        }
        self.count += 1;
        self.last = Last::Operator;
        self.at += width;
    }

    fn end_statement(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.base = open.before;
            self.count = open.before;
        }
    }

    fn close(&mut self, byte: u8) {
        self.at += 1;
        if self.at <= self.doubtful_until {
            self.count += 1;
            return;
        }
        if self.open.len() == 1 {
            // An invalid program: the parser ends here.
            self.count += 1;
            return;
        }
        let Some(open) = self.open.pop() else { return };
        self.count = open.before + 1;
        self.last = match byte {
            b')' if open.head => Last::Keyword,
            b')' => Last::Round,
            b'}' => Last::Curly,
            _ => Last::Value,
        };
        if open.head
            && let Some(outer) = self.open.last_mut()
        {
            // The statement of an `if` is inside of it.
            outer.base = self.count;
        }
        if open.template {
            self.template();
        }
    }

    /// Returns the word at this place.
    fn word(&self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let end = rest
            .iter()
            .position(|byte| {
                !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#' | b'@' | b'\\') || *byte >= 0x80)
            })
            .unwrap_or(rest.len());
        &rest[..end]
    }

    fn string(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'\n' => return,
                _ if byte == quote => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
        self.at = self.text.len();
    }

    /// Reads a template up to its end or its next `${`.
    fn template(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'`' => {
                    self.at += 1;
                    self.last = Last::Value;
                    return;
                }
                b'$' if self.text.get(self.at + 1) == Some(&b'{') => {
                    self.at += 2;
                    self.count += 1;
                    self.open.push(Open { template: true, head: false, before: self.count, base: self.count });
                    self.last = Last::Operator;
                    return;
                }
                _ => self.at += 1,
            }
        }
        self.at = self.text.len();
    }

    /// A slash divides, or begins a pattern. After a closing bracket it may be either.
    fn slash(&mut self) {
        let line_end =
            self.text[self.at..].iter().position(|byte| *byte == b'\n').map_or(self.text.len(), |end| self.at + end);
        match self.last {
            _ if self.is_doubtful() => self.operator(1),
            Last::Value => self.operator(1),
            Last::Operator | Last::Keyword => {
                self.count += 1;
                let mut in_class = false;
                self.at += 1;
                while self.at < line_end {
                    match self.text[self.at] {
                        b'\\' => self.at += 1,
                        b'[' => in_class = true,
                        b']' => in_class = false,
                        b'/' if !in_class => {
                            self.at += 1;
                            break;
                        }
                        _ => {}
                    }
                    self.at += 1;
                }
                self.at = self.at.min(line_end.max(self.at));
                self.last = Last::Value;
            }
            Last::Round | Last::Curly => {
                let rest = &self.text[self.at + 1..line_end];
                if let Some(end) = rest.iter().rposition(|byte| *byte == b'/') {
                    self.doubtful_until = self.at + 1 + end;
                }
                self.operator(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_code_is_shallow_however_long_and_in_every_style() {
        let styles = [
            "const a = (1 + 2) / 3\nfoo(a)\nbar(a)\nif (a) { foo() } else { bar() }\nfunction f(x) { return x / 2 }\n",
            "const o = { a: 1, b: [1, 2, 3], c: `x${a}y` };\nfor (const x of o.b) console.log(x, /a[/]b/.test('(('));\n",
            "export class A {\n  m(x: number): string { return `${x}` }\n  get y() { return 1 }\n}\n",
            "let s = '(((((((((('; // ((((((((((((\n/* (((((((( */ s = s.replace(/\\(/g, '')\n",
            "x = y\n  .map((z) => z + 1)\n  .filter(Boolean)\nlabel: for (;;) { break label }\n",
        ];
        for style in styles {
            assert_eq!(measure(&style.repeat(2000)), Depth::Shallow, "{style}");
        }
    }

    #[test]
    fn every_kind_of_nesting_is_seen() {
        let nested = [
            ("(", ")"),
            ("[", "]"),
            ("{", "}"),
            ("a(", ")"),
            ("`${", "}`"),
            ("if(1)\n", ""),
            ("if(1);else ", ""),
            ("x=>", "1"),
            ("-", "1"),
            ("a?b:", "c"),
            ("a.", "b"),
            ("1+", "1"),
            ("new ", "A"),
            ("async()=>", "1"),
            ("(function(){", "})"),
            ("for(;;)", ";"),
            ("do ", ";while(1)"),
            ("a:", ";"),
            ("/x/.y(", ")"),
            ("(a)/(", ")"),
            ("if(1)a,", "b"),
            ("class{a=", "}"),
            ("A<", ">"),
            ("!", "1"),
            ("typeof ", "1"),
            ("{}/(", "/1)"),
            ("(1)/'/1+(", ")"),
            ("{if(1)if(1)if(1)if(1)if(1)a,b=function()", "}"),
        ];
        for (open, close) in nested {
            let source = format!("{}{}", open.repeat(5000), close.repeat(5000));
            assert!(matches!(measure(&source), Depth::Excessive(_)), "{open} … {close}");
        }
    }
}
