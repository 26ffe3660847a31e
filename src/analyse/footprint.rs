//! What running a program may leave behind, as far as its text shows.
//!
//! Strict on one side only: whatever is not known to stay inside counts as reaching the world. It goes by what a program
//! names. A module that is not known to be harmless, a name or an attribute by which interpreters are left (`getattr`,
//! `__subclasses__`, `os`, `system`), code that makes code: each of them ends the proof.

use super::imports::Imports;
use super::modules::top;
use super::profile::StaticEffect;
use super::survey::Survey;
use crate::request::Footprint;

pub(super) fn of(imports: &Imports<'_>, survey: &Survey<'_>) -> Footprint {
    use StaticEffect::{Files, Magic, Network, Processes, Shell, Threads};
    let has = |effect: StaticEffect| survey.effects[effect as usize].is_some();
    let named = imports.modules.iter().map(|named| named.module);
    let known = named.chain(survey.dynamic.iter().map(|(module, _)| *module)).all(is_harmless);
    let leaves = survey.dynamic_code.value > 0.0 || survey.inner.is_some() || survey.way_out || survey.opens > 0;
    if !known
        || leaves
        || imports.starred
        || imports.torn.is_some()
        || [Network, Processes, Shell, Magic].into_iter().any(has)
    {
        Footprint::World
    } else if has(Files) || has(Threads) {
        Footprint::Sandbox
    } else {
        Footprint::None
    }
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
