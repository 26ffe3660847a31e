//! The languages of machines: how kernels and programs of each are started.

use switchtower_contract::Language;

/// The user of kernels and programs.
pub(crate) const USER: &str = "user";
/// The working folder of programs and kernels that name none.
pub(crate) const HOME: &str = "/home/user";

/// Returns the command of a language's kernel: its program, then its arguments. `None`: the language has no kernel here.
pub(crate) fn kernel_command(language: Language) -> Option<&'static [&'static str]> {
    match language {
        Language::Python => Some(&["python3", "/run/switchtower/python/kernel.py"]),
        Language::JavaScript | Language::TypeScript => {
            Some(&["node", "--expose-internals", "/run/switchtower/kernels/node.js"])
        }
        Language::Bash => Some(&["bash", "/run/switchtower/kernels/bash.sh"]),
        Language::C | Language::Cpp | Language::R | Language::Java | Language::Added(_) => None,
    }
}

/// How a compiled language becomes a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compiler {
    /// The name of a source file.
    pub(crate) source: &'static str,
    /// The programs that compile, the first one found is used.
    pub(crate) programs: &'static [&'static str],
    pub(crate) arguments: &'static [&'static str],
}

/// Returns the compiler of a language; `None`: its programs are not compiled.
pub(crate) fn compiler(language: Language) -> Option<Compiler> {
    match language {
        Language::C => Some(Compiler {
            source: "program.c",
            programs: &["gcc", "clang", "cc"],
            arguments: &["-O2", "-std=gnu17", "-pthread", "-o", "program", "program.c", "-lm"],
        }),
        Language::Cpp => Some(Compiler {
            source: "program.cpp",
            programs: &["g++", "clang++", "c++"],
            arguments: &["-O1", "-std=gnu++20", "-pthread", "-o", "program", "program.cpp", "-lm"],
        }),
        _ => None,
    }
}
