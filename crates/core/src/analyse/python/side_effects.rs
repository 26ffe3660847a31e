//! The side effects that a run of a program may have.
//!
//! Conservative: a program that is not known to stay inside its sandbox counts as having effects on the world. The
//! estimate is based on the names in the source: an unknown module, a name or attribute that gives access to arbitrary
//! objects (`getattr`, `__subclasses__`, `os`, `system`), or dynamically created code results in
//! [`SideEffects::World`].

use super::imports::{ImportedModule, Imports};
use super::modules::{Domain, domain, top};
use super::survey::Survey;
use crate::analyse::profile::StaticEffect;
use crate::request::SideEffects;

/// Returns the side effects that a run of the whole program may have.
pub(super) fn estimate(imports: &Imports<'_>, survey: &Survey<'_>) -> SideEffects {
    let imported = imports.modules.iter().map(|imported| imported.module);
    combine(imports, survey, imported.chain(dynamic_modules(survey)).all(is_harmless))
}

/// Returns the side effects of the beginning of a program, like [`estimate`]. A module that is imported but not used
/// there has only been loaded.
pub(super) fn estimate_of_prefix(imports: &Imports<'_>, survey: &Survey<'_>) -> SideEffects {
    let imported = imports.modules.iter();
    let is_known = |imported: &ImportedModule<'_>| {
        is_harmless(imported.module) || !imported.used.get() && is_harmless_to_load(imported.module)
    };
    combine(imports, survey, imported.into_iter().all(is_known) && dynamic_modules(survey).all(is_harmless))
}

fn dynamic_modules<'a>(survey: &'a Survey<'_>) -> impl Iterator<Item = &'a str> {
    survey.dynamic_imports.iter().map(|(module, _)| *module)
}

/// Combines the effects of a program. `all_modules_known` is false if it uses a module that may have unknown effects.
fn combine(imports: &Imports<'_>, survey: &Survey<'_>, all_modules_known: bool) -> SideEffects {
    use StaticEffect::{Files, Magic, Network, Processes, Shell, Threads};
    let has = |effect: StaticEffect| survey.effects[effect as usize].is_some();
    let is_dynamic = survey.dynamic_code.value > 0.0
        || survey.interpreter_access.is_some()
        || survey.dynamic_access
        || survey.uncalled_opens > 0;
    if !all_modules_known
        || is_dynamic
        || imports.has_star_import
        || imports.ambiguous_name.is_some()
        || [Network, Processes, Shell, Magic].into_iter().any(has)
    {
        SideEffects::World
    } else if has(Files) || has(Threads) {
        SideEffects::Sandbox
    } else {
        SideEffects::None
    }
}

/// Returns whether importing a module has no side effects: true for well-known packages and parts of the standard
/// library, but not for `antigravity`, which opens a browser, or for unknown modules.
fn is_harmless_to_load(module: &str) -> bool {
    domain(module) != Domain::General
        || matches!(
            top(module),
            "configparser"
                | "concurrent"
                | "ctypes"
                | "email"
                | "errno"
                | "gc"
                | "getpass"
                | "heapq"
                | "importlib"
                | "inspect"
                | "joblib"
                | "logging"
                | "multiprocessing"
                | "optparse"
                | "pickle"
                | "pkgutil"
                | "platform"
                | "pydantic"
                | "queue"
                | "rich"
                | "select"
                | "shlex"
                | "signal"
                | "subprocess"
                | "tqdm"
                | "unittest"
                | "urllib"
                | "http"
                | "yaml"
        )
}

/// Returns whether the members of a module have no side effects other than those of the paths that are known as
/// effects.
fn is_harmless(module: &str) -> bool {
    matches!(
        top(module),
        "__future__" | "abc" | "argparse" | "array" | "ast" | "asyncio" | "base64" | "binascii" | "bisect" | "bz2"
            | "calendar" | "cmath" | "collections" | "colorsys" | "contextlib" | "copy" | "csv" | "dataclasses"
            | "datetime" | "decimal" | "difflib" | "enum" | "fractions" | "functools" | "glob" | "graphlib" | "gzip"
            | "hashlib" | "heapq" | "hmac" | "html" | "io" | "itertools" | "json" | "keyword" | "locale" | "lzma"
            | "math" | "numbers" | "operator" | "os" | "pathlib" | "pprint" | "random" | "re" | "secrets" | "shutil"
            | "sqlite3" | "statistics" | "string" | "struct" | "sys" | "tempfile" | "textwrap" | "threading" | "time"
            | "timeit" | "traceback" | "types" | "typing" | "unicodedata" | "uuid" | "warnings" | "weakref"
            | "zipfile" | "zlib" | "zoneinfo"
            // Scientific packages.
            | "numpy" | "numpy_financial" | "pandas" | "scipy" | "sympy" | "mpmath" | "statsmodels" | "networkx"
            | "matplotlib" | "mpl_toolkits" | "seaborn" | "plotly" | "PIL" | "sklearn" | "openpyxl" | "xlrd" | "Bio"
            | "dateutil" | "pytz" | "tabulate" | "bs4"
    )
}
