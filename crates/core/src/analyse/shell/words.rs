//! The simple commands of a script: its words, without expansion.

/// Most commands of a script that are read.
const MAX_COMMANDS: usize = 4096;
/// Most words of a command that are read.
const MAX_WORDS: usize = 512;
/// Most substitutions of a script that are read.
const MAX_SUBSTITUTIONS: usize = 64;

/// A simple command.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) words: Vec<String>,
    /// The scripts in `$(…)` and backquotes.
    pub(super) substitutions: Vec<String>,
    /// What it reads from a here-document.
    pub(super) input: Option<String>,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    commands: Vec<Command>,
    command: Command,
    word: Option<String>,
    /// The next word is the target of a redirection.
    redirected: bool,
    /// Ends of here-documents that begin after this line: the end, whether tabs are stripped, and the command.
    documents: Vec<(String, bool, usize)>,
    substitutions: usize,
}

/// Returns the simple commands of a script, in order.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut reader = Reader {
        text: script,
        at: 0,
        commands: Vec::new(),
        command: Command::default(),
        word: None,
        redirected: false,
        documents: Vec::new(),
        substitutions: 0,
    };
    reader.read();
    reader.commands
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn push(&mut self, character: char) {
        self.word.get_or_insert_default().push(character);
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if std::mem::take(&mut self.redirected) {
            return;
        }
        if self.command.words.len() < MAX_WORDS {
            self.command.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.redirected = false;
        let command = std::mem::take(&mut self.command);
        if !(command.words.is_empty() && command.substitutions.is_empty()) && self.commands.len() < MAX_COMMANDS {
            self.commands.push(command);
        }
    }

    fn read(&mut self) {
        while let Some(next) = self.take() {
            match next {
                '\'' => self.single_quoted(),
                '"' => self.double_quoted(),
                '\\' => match self.take() {
                    Some('\n') | None => {}
                    Some(escaped) => self.push(escaped),
                },
                '$' if self.peek() == Some('(') => {
                    self.at += 1;
                    self.substitution(')');
                }
                '`' => self.substitution('`'),
                '#' if self.word.is_none() => self.skip_line(),
                ' ' | '\t' | '\r' => self.end_word(),
                '\n' => {
                    self.end_command();
                    self.read_documents();
                }
                ';' | '|' | '(' | ')' => self.end_command(),
                '&' if self.peek() == Some('>') => self.end_word(),
                '&' => self.end_command(),
                '<' | '>' => self.redirection(next),
                other => self.push(other),
            }
        }
        self.end_command();
    }

    fn skip_line(&mut self) {
        self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |end| self.at + end);
    }

    fn single_quoted(&mut self) {
        let rest = &self.text[self.at..];
        let end = rest.find('\'').unwrap_or(rest.len());
        self.word.get_or_insert_default().push_str(&rest[..end]);
        self.at = (self.at + end + 1).min(self.text.len());
    }

    fn double_quoted(&mut self) {
        self.word.get_or_insert_default();
        while let Some(next) = self.take() {
            match next {
                '"' => return,
                '\\' => match self.take() {
                    Some('\n') | None => {}
                    Some(escaped) => {
                        if !matches!(escaped, '"' | '\\' | '$' | '`') {
                            self.push('\\');
                        }
                        self.push(escaped);
                    }
                },
                '$' if self.peek() == Some('(') => {
                    self.at += 1;
                    self.substitution(')');
                }
                '`' => self.substitution('`'),
                other => self.push(other),
            }
        }
    }

    /// Takes the script up to the end of a substitution, which is read on its own.
    fn substitution(&mut self, end: char) {
        self.word.get_or_insert_default();
        let begin = self.at;
        let mut open = 1_usize;
        while let Some(next) = self.take() {
            match next {
                '\\' => drop(self.take()),
                '\'' if end == ')' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find('\'').map_or(rest.len(), |quote| quote + 1);
                }
                '(' if end == ')' => open += 1,
                close if close == end => {
                    open -= 1;
                    if open == 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        self.substitutions += 1;
        if self.substitutions <= MAX_SUBSTITUTIONS {
            let script = self.text[begin..self.at].strip_suffix(end).unwrap_or(&self.text[begin..self.at]);
            self.command.substitutions.push(script.to_owned());
        }
    }

    fn redirection(&mut self, first: char) {
        // A number before it is a descriptor.
        if self.word.as_ref().is_some_and(|word| word.chars().all(|digit| digit.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        if first == '<' && self.peek() == Some('<') {
            self.at += 1;
            if self.peek() == Some('<') {
                self.at += 1;
                self.redirected = true;
                return;
            }
            let strips = self.peek() == Some('-');
            self.at += usize::from(strips);
            let rest = self.text[self.at..].trim_start_matches([' ', '\t']);
            let word = rest.split(|c: char| c.is_whitespace() || ";|&<>()".contains(c)).next().unwrap_or_default();
            self.at = self.text.len() - rest.len() + word.len();
            let end: String = word.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect();
            if !end.is_empty() && self.documents.len() < MAX_SUBSTITUTIONS {
                self.documents.push((end, strips, self.commands.len()));
            }
            return;
        }
        while matches!(self.peek(), Some('>' | '&' | '|')) {
            self.at += 1;
        }
        self.redirected = true;
    }

    /// Reads the here-documents that begin at this line.
    fn read_documents(&mut self) {
        for (end, strips, command) in std::mem::take(&mut self.documents) {
            let mut document = String::new();
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let line = rest.split_inclusive('\n').next().unwrap_or_default();
                self.at += line.len();
                let plain = line.trim_end_matches(['\n', '\r']);
                if (if strips { plain.trim_start_matches('\t') } else { plain }) == end {
                    break;
                }
                document.push_str(line);
            }
            if let Some(command) = self.commands.get_mut(command) {
                command.input = Some(document);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<Vec<String>> {
        commands(script).into_iter().map(|command| command.words).collect()
    }

    #[test]
    fn a_script_is_split_into_simple_commands() {
        assert_eq!(
            words("a 'b c' \"d e\" f\\ g; h|i && j"),
            [vec!["a", "b c", "d e", "f g"], vec!["h"], vec!["i"], vec!["j"]]
        );
        assert_eq!(words("a >out 2>&1 b < in # c"), [["a", "b"]]);
        assert_eq!(words("if x; then (y); fi"), [vec!["if", "x"], vec!["then"], vec!["y"], vec!["fi"]]);
    }

    #[test]
    fn a_here_document_is_the_input_of_its_command() {
        let found = commands("cat <<-'EOF' > a\n\tone\n\tEOF\nb");
        assert_eq!(found[0].words, ["cat"]);
        assert_eq!(found[0].input.as_deref(), Some("\tone\n"));
        assert_eq!(found[1].words, ["b"]);
    }

    #[test]
    fn a_substitution_is_a_script_of_its_own() {
        let found = commands("echo \"$(a $(b) 'c)')\" `d`");
        assert_eq!(found[0].substitutions, ["a $(b) 'c)'", "d"]);
    }
}
