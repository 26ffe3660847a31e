//! Lines for a shell: whether one has only commands for pip and the small tools beside them, which a tier with pip runs
//! without a process. What that tier knows is in `shell_line.py` and `shell_tools.py`.

/// Shells that are started by a line, at most.
const MAX_DEPTH: usize = 4;
/// The longest line that is read, in characters.
const MAX_LENGTH: usize = 1 << 16;
/// What a shell would replace or redirect by. In pip's words it is meant as it is written: `numpy>=2`.
const SPECIAL: [char; 7] = ['*', '?', '[', ']', '<', '>', '~'];

/// Returns whether a line has pip's commands, and nothing that needs a process.
pub(super) fn is_for_pip(line: &str) -> bool {
    parsed(line, 0) == Some(true)
}

/// Returns whether the words of a process are such a command.
pub(super) fn words_are_for_pip<'a>(words: impl IntoIterator<Item = &'a str>) -> bool {
    command(&words.into_iter().map(str::to_owned).collect::<Vec<_>>(), false, 0) == Some(true)
}

/// Returns whether a line has a command for pip; `None` if it needs a process.
fn parsed(text: &str, depth: usize) -> Option<bool> {
    if depth > MAX_DEPTH || text.chars().nth(MAX_LENGTH).is_some() {
        return None;
    }
    let (mut has_pip, mut is_open) = (false, true);
    let (mut words, mut special, mut redirected) = (Vec::new(), false, false);
    for token in tokens(text)?.into_iter().chain([Token::Joint("\n")]) {
        match token {
            Token::Redirection => redirected = true,
            Token::Word { text, special: is_special } => {
                special |= is_special;
                words.push(text);
            }
            Token::Joint(joint) if !words.is_empty() => {
                has_pip |= command(&words, special, depth)?;
                words.clear();
                (special, redirected) = (false, false);
                // After these, another command has to follow.
                is_open = !matches!(joint, ";" | "\n");
            }
            Token::Joint(joint) if joint != "\n" || redirected => return None,
            Token::Joint(_) => {}
        }
    }
    (!is_open).then_some(has_pip)
}

/// Returns whether a command is for pip; `None` if it needs a process.
fn command(words: &[String], special: bool, depth: usize) -> Option<bool> {
    let words: Vec<&str> = without_front(words);
    if is_pip(&words) {
        return Some(true);
    }
    if special {
        return None;
    }
    match words[..] {
        ["cd"] => Some(false),
        ["cd", folder] => (folder != "-").then_some(false),
        [shell, "-c" | "-lc" | "-ec", text] if matches!(file_name(shell), "sh" | "bash") => parsed(text, depth + 1),
        [tool, ref rest @ ..] => is_tool(tool, rest).then_some(false),
        [] => None,
    }
}

/// Returns a command without the variables that are set for it and without `sudo` and `env` in front of it.
fn without_front(words: &[String]) -> Vec<&str> {
    let mut options: &[&str] = &[];
    let mut in_front = |word: &str| match word {
        "sudo" => {
            options = &["-H", "-E", "-n", "-S"];
            true
        }
        "env" | "command" => {
            options = &[];
            true
        }
        _ => options.contains(&word) || is_setting(word),
    };
    words.iter().map(String::as_str).skip_while(|word| in_front(word)).collect()
}

fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_pip(words: &[&str]) -> bool {
    match *words {
        ["uv", "pip", ..] => true,
        [program, ..] if is_version_of("pip", file_name(program)) => true,
        [program, ref rest @ ..] if is_version_of("python", file_name(program)) => {
            let mut rest = rest.iter();
            while let Some(word) = rest.next() {
                match *word {
                    "-m" => return rest.next() == Some(&"pip"),
                    "-W" | "-X" => drop(rest.next()),
                    "-c" | "-" => return false,
                    option if option.starts_with('-') => {}
                    _ => return false,
                }
            }
            false
        }
        _ => false,
    }
}

/// Returns whether a name is this one, with or without a version: `python3.11`.
fn is_version_of(name: &str, text: &str) -> bool {
    let version = |rest: &str| {
        let minor = rest.strip_prefix('3').map(|rest| rest.strip_prefix('.').unwrap_or(rest));
        minor.is_some_and(|minor| {
            minor.chars().all(|c| c.is_ascii_digit()) && (rest == "3" || rest.starts_with("3.") && !minor.is_empty())
        })
    };
    text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || version(rest))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns whether a tool is known with these options.
fn is_tool(name: &str, words: &[&str]) -> bool {
    let is_path = |word: &&str| *word == "-" || !word.starts_with('-');
    match name {
        "true" | "false" | ":" => true,
        "echo" => {
            let words = words.strip_prefix(&["-n"]).unwrap_or(words);
            words.first() != Some(&"-e") && !words.iter().any(|word| word.contains('\\'))
        }
        "cat" => words.iter().all(is_path),
        "head" | "tail" => {
            let (mut paths, mut words) = (0, words.iter());
            while let Some(word) = words.next() {
                let count = match *word {
                    "-n" | "--lines" => words.next().copied().unwrap_or_default(),
                    word => match ["-n", "--lines=", "-"].iter().find_map(|sign| word.strip_prefix(sign)) {
                        Some(count) if !count.is_empty() => count,
                        _ => {
                            paths += 1;
                            continue;
                        }
                    },
                };
                let digits = if name == "tail" { count.strip_prefix('+').unwrap_or(count) } else { count };
                if !(1..=9).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return false;
                }
            }
            paths <= 1
        }
        "grep" => is_simple_grep(words),
        _ => false,
    }
}

fn is_simple_grep(words: &[&str]) -> bool {
    let (mut pattern, mut operands, mut flags) = (None, Vec::new(), String::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "-e" if pattern.is_none() => pattern = words.next().copied(),
            word if word.len() > 1
                && word.strip_prefix('-').is_some_and(|rest| rest.chars().all(|c| "ivcEFqwx".contains(c))) =>
            {
                flags.push_str(word);
            }
            word => operands.push(word),
        }
    }
    if pattern.is_none() && operands.first().is_some_and(|word| !word.starts_with('-')) {
        pattern = Some(operands.remove(0));
    }
    let is_known = |pattern: &str| {
        let classes = pattern.contains("[:") || pattern.contains("(?");
        let letters = pattern
            .split('\\')
            .skip(1)
            .any(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '<' | '>')));
        flags.contains('F') || !(classes || letters)
    };
    pattern.is_some_and(is_known)
        && operands.len() <= 1
        && operands.iter().all(|word| *word == "-" || !word.starts_with('-'))
}

enum Token {
    Word {
        text: String,
        /// Whether a shell would change it.
        special: bool,
    },
    Joint(&'static str),
    Redirection,
}

/// Returns the parts of a line; `None`: it has something that only a shell knows.
fn tokens(line: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let (mut word, mut special): (Option<String>, bool) = (None, false);
    let end = |word: &mut Option<String>, special: &mut bool, found: &mut Vec<Token>| {
        let special = std::mem::take(special);
        found.extend(word.take().map(|text| Token::Word { text, special }));
    };
    // Whether the word has only digits, as the number of a descriptor. Not counted anew: words are as long as callers like.
    let mut is_number = true;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        is_number |= word.is_none();
        let redirected = (word.is_none() || matches!(c, '>' | '&')).then(|| after_redirection(rest)).flatten();
        let joint = ["&&", "||", ";", "|", "\n"].into_iter().find(|joint| rest.starts_with(joint));
        if let Some(after) = redirected {
            end(&mut word, &mut special, &mut found);
            found.push(Token::Redirection);
            rest = after;
        } else if let Some(joint) = joint {
            end(&mut word, &mut special, &mut found);
            found.push(Token::Joint(joint));
            rest = &rest[joint.len()..];
        } else if c.is_whitespace() {
            end(&mut word, &mut special, &mut found);
            rest = after;
        } else if c == '#' && word.is_none() {
            rest = rest.find('\n').map_or("", |line| &rest[line..]);
        } else if matches!(c, '\'' | '"') {
            let word = word.get_or_insert_default();
            let before = word.len();
            rest = quoted(c, after, word)?;
            is_number &= word[before..].bytes().all(|byte| byte.is_ascii_digit());
        } else if c == '\\' {
            let escaped = after.chars().next()?;
            if escaped != '\n' {
                is_number &= escaped.is_ascii_digit();
                word.get_or_insert_default().push(escaped);
            }
            rest = &after[escaped.len_utf8()..];
        } else {
            if matches!(c, '$' | '`' | '(' | ')' | '&') || (matches!(c, '<' | '>') && is_number) {
                return None;
            }
            is_number &= c.is_ascii_digit();
            special |= SPECIAL.contains(&c);
            word.get_or_insert_default().push(c);
            rest = after;
        }
    }
    end(&mut word, &mut special, &mut found);
    Some(found)
}

/// Adds a quoted text to a word. Returns what follows; `None`: only a shell knows its value, or it has no end.
fn quoted<'a>(quote: char, text: &'a str, word: &mut String) -> Option<&'a str> {
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            c if c == quote => return Some(rest.as_str()),
            '\\' if quote == '"' && rest.as_str().starts_with(['"', '\\', '$', '`', '\n']) => {
                word.extend(rest.next().filter(|escaped| *escaped != '\n'));
            }
            '$' | '`' if quote == '"' => return None,
            c => word.push(c),
        }
    }
}

/// Returns what follows a redirection to nowhere or of the errors to the output, if the text begins with one.
fn after_redirection(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("2>&1").or_else(|| {
        let rest = ["2>", "1>", "&>", ">"].iter().find_map(|sign| text.strip_prefix(sign))?;
        rest.trim_start().strip_prefix("/dev/null")
    })?;
    let ends = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || matches!(c, ';' | '|' | '&'));
    ends.then_some(rest)
}
