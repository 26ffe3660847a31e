//! What running a program may leave behind, as far as its text shows.
//!
//! Strict on one side only: whatever is not known to stay inside counts as reaching the world. It goes by what a program
//! names. A module that is not known to be harmless, a name or an attribute by which interpreters are left (`getattr`,
//! `__subclasses__`, `os`, `system`), code that makes code: each of them ends the proof.

use super::imports::{ImportedModule, Imports};
use super::modules::{Field, field, top};
use super::survey::Survey;
use crate::analyse::profile::StaticEffect;
use crate::request::SideEffects;

pub(super) fn of(imports: &Imports<'_>, survey: &Survey<'_>) -> SideEffects {
    let named = imports.modules.iter().map(|named| named.module);
    of_known(imports, survey, named.chain(dynamic(survey)).all(is_harmless))
}

/// As [`of`], for the beginning of a program: a module that it imports and does not use there has only been loaded.
pub(super) fn of_prefix(imports: &Imports<'_>, survey: &Survey<'_>) -> SideEffects {
    let named = imports.modules.iter();
    let is_known =
        |named: &ImportedModule<'_>| is_harmless(named.module) || !named.used.get() && loads_quietly(named.module);
    of_known(imports, survey, named.into_iter().all(is_known) && dynamic(survey).all(is_harmless))
}

fn dynamic<'a>(survey: &'a Survey<'_>) -> impl Iterator<Item = &'a str> {
    survey.dynamic.iter().map(|(module, _)| *module)
}

/// `known`: every module that it uses is one of which more is known than its name.
fn of_known(imports: &Imports<'_>, survey: &Survey<'_>, known: bool) -> SideEffects {
    use StaticEffect::{Files, Magic, Network, Processes, Shell, Threads};
    let has = |effect: StaticEffect| survey.effects[effect as usize].is_some();
    let leaves = survey.dynamic_code.value > 0.0 || survey.inner.is_some() || survey.way_out || survey.opens > 0;
    if !known
        || leaves
        || imports.starred
        || imports.torn.is_some()
        || [Network, Processes, Shell, Magic].into_iter().any(has)
    {
        SideEffects::World
    } else if has(Files) || has(Threads) {
        SideEffects::Sandbox
    } else {
        SideEffects::None
    }
}

/// A package that everybody knows, or a part of Python: to load it does nothing in the world. `antigravity` opens a
/// browser, and what is not known may do anything.
fn loads_quietly(module: &str) -> bool {
    field(module) != Field::Plain
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

/// A module whose members reach the world only by the paths that are known as effects.
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
            // The packages that agents compute with.
            | "numpy" | "numpy_financial" | "pandas" | "scipy" | "sympy" | "mpmath" | "statsmodels" | "networkx"
            | "matplotlib" | "mpl_toolkits" | "seaborn" | "plotly" | "PIL" | "sklearn" | "openpyxl" | "xlrd" | "Bio"
            | "dateutil" | "pytz" | "tabulate" | "bs4"
    )
}
