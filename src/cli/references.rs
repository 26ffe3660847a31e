//! The files that a program names beside its own: modules of JavaScript and TypeScript, headers of C and C++, parts of shell scripts.
//! Python's modules are found by its analysis.

use std::sync::LazyLock;

use regex::Regex;
use switchtower_contract::Language;

/// `import … from './a'`, `export … from './a'`, `import './a'`, `import('./a')`, `require('./a')`.
static SCRIPT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?:\bfrom|\bimport|\brequire)\s*\(?\s*['"`](\.{1,2}/[^'"`\n]+)['"`]"#));
/// `#include "a.h"`.
static INCLUDE: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?m)^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)""#));
/// `source a.sh`, `. ./a.sh`, at the start of a command.
static SOURCED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?m)(?:^|[;&|])[ \t]*(?:source|\.)[ \t]+["']?([\w./-]+)"#));

#[expect(clippy::unwrap_used, reason = "a constant that a test uses")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Returns the paths that a program's text names, as they are written there.
pub(super) fn named_files(language: Language, source: &str) -> Vec<String> {
    let pattern = match language {
        Language::JavaScript | Language::TypeScript => &SCRIPT,
        Language::C | Language::Cpp => &INCLUDE,
        Language::Bash => &SOURCED,
        Language::Python | Language::R | Language::Java | Language::Added(_) => return Vec::new(),
    };
    pattern.captures_iter(source).filter_map(|found| Some(found.get(1)?.as_str().to_owned())).collect()
}

/// Returns the paths of the files that a name may stand for, the likeliest first.
pub(super) fn candidates(language: Language, path: &str) -> Vec<String> {
    let endings: &[&str] = match language {
        Language::JavaScript | Language::TypeScript => {
            &["", ".js", ".mjs", ".cjs", ".ts", ".json", "/index.js", "/index.mjs", "/index.ts"]
        }
        _ => &[""],
    };
    let mut all: Vec<String> = endings.iter().map(|ending| format!("{path}{ending}")).collect();
    // TypeScript names a module by the file that it becomes.
    all.extend(path.strip_suffix(".js").filter(|_| language == Language::TypeScript).map(|stem| format!("{stem}.ts")));
    all
}

/// Returns a path that a file in `folder` names, from the program's folder on; `None` if it leads out of that.
pub(super) fn resolved(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_names_files_in_its_own_way() {
        let script = "import a from './a'\nexport * from \"../b.mjs\"\nimport './c.js'\nconst d = require('./d/e')\n\
                      await import(`./f`)\nimport fs from 'fs'\nconst text = 'from here'";
        assert_eq!(named_files(Language::JavaScript, script), ["./a", "../b.mjs", "./c.js", "./d/e", "./f"]);
        let c = "#include <stdio.h>\n#include \"a.h\"\n  # include \"lib/b.h\"\nputs(\"#include \\\"no.h\\\"\");";
        assert_eq!(named_files(Language::C, c), ["a.h", "lib/b.h"]);
        let bash = "source ./a.sh\n. b.sh; . 'lib/c.sh' && ./run.sh\necho 1.5 . x";
        assert_eq!(named_files(Language::Bash, bash), ["./a.sh", "b.sh", "lib/c.sh"]);
    }

    #[test]
    fn a_path_stays_in_the_programs_folder() {
        assert_eq!(resolved("", "./a.js").as_deref(), Some("a.js"));
        assert_eq!(resolved("lib/inner", "../b").as_deref(), Some("lib/b"));
        for out in ["../a.js", "/etc/passwd", "./..", "a/../../b"] {
            assert_eq!(resolved("", out), None, "{out}");
        }
    }
}
