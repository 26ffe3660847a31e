//! What modules and their members mean: the work they are for, the world they touch.

use crate::analyse::profile::StaticEffect;

/// The field of work that a module belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    /// The language's own library, and what nothing is known of.
    Plain,
    Math,
    Symbolic,
    Data,
    Plot,
    Learn,
    Network,
    Files,
}

/// The field of a module, by its top-level package where nothing narrower is known.
pub(super) fn field(module: &str) -> Field {
    match module {
        "urllib.request" | "urllib.robotparser" | "http.client" | "http.server" | "xmlrpc.client" => {
            return Field::Network;
        }
        // Data sets, splits and measures: no training.
        _ if ["datasets", "metrics", "model_selection", "utils"]
            .iter()
            .any(|part| module.split('.').take(2).eq(["sklearn", part])) =>
        {
            return Field::Data;
        }
        _ => {}
    }
    match top(module) {
        "math" | "cmath" | "decimal" | "fractions" | "statistics" | "numbers" => Field::Math,
        "sympy" | "mpmath" | "z3" => Field::Symbolic,
        "numpy" | "pandas" | "scipy" | "polars" | "pyarrow" | "xarray" | "dask" | "numba" | "statsmodels"
        | "networkx" | "numpy_financial" | "Bio" | "openpyxl" | "xlrd" | "cv2" | "skimage" | "nltk" | "geopandas"
        | "shapely" => Field::Data,
        "matplotlib" | "seaborn" | "plotly" | "bokeh" | "altair" | "PIL" | "mpl_toolkits" | "pylab" | "wordcloud"
        | "graphviz" | "turtle" | "tkinter" => Field::Plot,
        "sklearn" | "torch" | "torchvision" | "tensorflow" | "keras" | "jax" | "flax" | "xgboost" | "lightgbm"
        | "catboost" | "transformers" | "datasets" | "pytorch_lightning" | "optuna" | "gensim" | "spacy" => {
            Field::Learn
        }
        name if is_network(name) => Field::Network,
        "shutil" | "glob" | "tempfile" | "pathlib" | "fileinput" | "zipfile" | "tarfile" | "sqlite3" | "filecmp"
        | "dbm" | "shelve" => Field::Files,
        _ => Field::Plain,
    }
}

/// The top-level package of a dotted name.
pub(super) fn top(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

fn is_network(top: &str) -> bool {
    matches!(
        top,
        "requests"
            | "httpx"
            | "aiohttp"
            | "urllib3"
            | "socket"
            | "ssl"
            | "ftplib"
            | "smtplib"
            | "poplib"
            | "imaplib"
            | "nntplib"
            | "telnetlib"
            | "socketserver"
            | "websocket"
            | "websockets"
            | "paramiko"
            | "boto3"
            | "botocore"
            | "yfinance"
            | "openai"
            | "anthropic"
            | "selenium"
            | "playwright"
            | "mechanize"
            | "wikipedia"
            | "tweepy"
            | "praw"
            | "grpc"
            | "feedparser"
            | "psycopg2"
            | "pymysql"
            | "redis"
            | "pymongo"
            | "asyncpg"
            | "webbrowser"
            | "fake_useragent"
            | "pandas_datareader"
            | "googlesearch"
            | "bs4"
            | "scrapy"
            | "pycurl"
            | "dns"
            | "kafka"
            | "pika"
            | "wget"
            | "gdown"
            | "huggingface_hub"
            | "twilio"
            | "slack_sdk"
            | "stripe"
            | "e2b"
    )
}

/// What reading or calling this path asks the world for. Chance is not told here: it depends on seeds.
pub(super) fn effect(path: &[&str]) -> Option<StaticEffect> {
    use StaticEffect::{Clock, Display, Environment, Files, Network, Processes, Threads};
    Some(match path {
        ["urllib", "request" | "robotparser", ..] | ["http", "client" | "server", ..] | ["xmlrpc", ..] => Network,
        ["asyncio", "open_connection" | "start_server", ..] | ["sklearn", "datasets", _, ..] if fetches(path) => {
            Network
        }
        ["seaborn", "load_dataset", ..] | ["nltk", "download", ..] => Network,
        // Parsing what is there already.
        ["bs4", ..] => return None,
        [top, _, ..] if is_network(top) => Network,

        ["subprocess" | "multiprocessing" | "pty" | "pexpect" | "sh" | "psutil" | "ptyprocess" | "plumbum", _, ..] => {
            Processes
        }
        ["asyncio", "create_subprocess_exec" | "create_subprocess_shell", ..] => Processes,
        ["concurrent", "futures", "ProcessPoolExecutor", ..] => Processes,
        ["ctypes" | "cffi" | "_ctypes", _, ..] => Processes,
        ["signal", "raise_signal" | "pthread_kill" | "alarm" | "setitimer", ..] => Processes,
        ["os" | "posix", member, ..] => return os_effect(path, member),

        ["threading", "Thread" | "Timer" | "main_thread" | "get_ident", ..] | ["_thread", _, ..] => Threads,
        ["concurrent", "futures", "ThreadPoolExecutor", ..] | ["asyncio", "to_thread", ..] => Threads,

        ["shutil" | "glob" | "tempfile" | "fileinput" | "filecmp" | "dbm" | "shelve" | "mmap", _, ..] => Files,
        ["io", "open" | "open_code" | "FileIO", ..] | ["codecs", "open", ..] => Files,
        ["zipfile", "ZipFile", ..] | ["tarfile", "open" | "TarFile", ..] | ["gzip" | "bz2" | "lzma", "open", ..] => {
            Files
        }
        ["sqlite3", "connect", ..] | ["logging", "FileHandler", ..] | ["linecache", _, ..] => Files,
        ["numpy", "load" | "save" | "savez" | "savetxt" | "loadtxt" | "genfromtxt" | "fromfile" | "memmap", ..] => {
            Files
        }
        ["pandas", member, ..] if member.starts_with("read_") || matches!(*member, "ExcelWriter" | "ExcelFile") => {
            Files
        }
        ["PIL", "Image", "open", ..] | ["cv2", "imread" | "imwrite", ..] | ["joblib", "dump" | "load", ..] => Files,
        ["matplotlib", "pyplot", "savefig" | "imread" | "imsave", ..] => Files,

        ["platform" | "getpass" | "pwd" | "grp" | "resource", _, ..] => Environment,
        ["socket", "gethostname", ..] | ["sys", "argv" | "orig_argv" | "path" | "executable" | "prefix", ..] => {
            Environment
        }
        ["locale", _, ..] | ["sysconfig" | "site", _, ..] => Environment,

        ["time", member, ..] if *member != "struct_time" && *member != "strptime" => Clock,
        ["datetime", "datetime" | "date", "now" | "today" | "utcnow", ..] => Clock,
        ["timeit" | "sched" | "cProfile" | "profile", _, ..] | ["asyncio", "sleep", ..] => Clock,
        ["pandas", "Timestamp", "now" | "today" | "utcnow", ..] | ["uuid", "uuid1", ..] => Clock,

        ["matplotlib", "pyplot", "show" | "pause", ..] | ["IPython", "display", ..] | ["cv2", "imshow", ..] => Display,
        ["tkinter" | "pygame" | "turtle" | "curses" | "pyglet" | "ipywidgets", ..] => Display,
        _ => return None,
    })
}

fn fetches(path: &[&str]) -> bool {
    path[0] != "sklearn" || path[2].starts_with("fetch_")
}

fn os_effect(path: &[&str], member: &str) -> Option<StaticEffect> {
    use StaticEffect::{Clock, Environment, Files, Processes};
    Some(match member {
        "system" | "popen" | "fork" | "forkpty" | "kill" | "killpg" | "wait" | "waitpid" | "posix_spawn"
        | "posix_spawnp" | "startfile" | "abort" => Processes,
        _ if member.starts_with("exec") || member.starts_with("spawn") => Processes,
        "environ" | "environb" | "getenv" | "putenv" | "getcwd" | "getpid" | "getppid" | "uname" | "cpu_count"
        | "getlogin" | "getuid" | "geteuid" | "getgid" | "getegid" | "getloadavg" | "ttyname" | "get_terminal_size"
        | "ctermid" => Environment,
        "times" => Clock,
        "path" => match path.get(2).copied() {
            Some(
                "exists" | "isfile" | "isdir" | "getsize" | "getmtime" | "getctime" | "islink" | "realpath" | "lexists",
            ) => Files,
            Some("expanduser" | "expandvars" | "abspath") => Environment,
            _ => return None,
        },
        "sep" | "linesep" | "fspath" | "PathLike" | "name" | "urandom" | "getrandom" | "_exit" | "error"
        | "strerror" => return None,
        _ if member.chars().next().is_some_and(char::is_uppercase) => return None,
        _ => Files,
    })
}

/// What a method of this name asks for, whatever it is called on.
pub(super) fn method_effect(name: &str) -> Option<StaticEffect> {
    use StaticEffect::{Clock, Files};
    Some(match name {
        "utcnow" => Clock,
        "read_text" | "write_text" | "read_bytes" | "write_bytes" | "iterdir" | "rglob" | "unlink" | "mkdir"
        | "savefig" | "tofile" | "to_csv" | "to_excel" | "to_parquet" | "to_pickle" | "to_hdf" | "to_feather"
        | "touch" | "rmdir" => Files,
        _ => return None,
    })
}

/// A generator that the whole program shares, so that seeding it matters to all draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    Python,
    Numpy,
}

/// What a path has to do with chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chance {
    /// Seeds a shared generator.
    Seeds(Shared),
    /// Draws from a shared generator.
    Draws(Shared),
    /// Makes a generator that is seeded by its first argument, or by the system without one.
    Makes,
    /// Asks the system: no seed helps.
    Fresh,
    /// Neither.
    None,
}

pub(super) fn chance(path: &[&str]) -> Chance {
    match path {
        ["random", "seed"] => Chance::Seeds(Shared::Python),
        ["random", "Random"] => Chance::Makes,
        ["random", "SystemRandom", ..] | ["secrets", _, ..] | ["os" | "posix", "urandom" | "getrandom"] => {
            Chance::Fresh
        }
        ["random", "setstate" | "getstate", ..] => Chance::Fresh,
        ["random", _, ..] => Chance::Draws(Shared::Python),
        ["uuid", "uuid1" | "uuid4" | "uuid6" | "uuid7", ..] => Chance::Fresh,
        ["numpy", "random", "seed"] => Chance::Seeds(Shared::Numpy),
        [
            "numpy",
            "random",
            "default_rng" | "RandomState" | "SeedSequence" | "PCG64" | "MT19937" | "Philox" | "SFC64" | "PCG64DXSM",
        ] => Chance::Makes,
        // It is given a bit generator, which tells.
        ["numpy", "random", "Generator"] => Chance::None,
        ["numpy", "random", _, ..] => Chance::Draws(Shared::Numpy),
        ["torch", "rand" | "randn" | "randint" | "randperm" | "normal" | "bernoulli" | "multinomial", ..] => {
            Chance::Fresh
        }
        ["tempfile", "mkstemp" | "mkdtemp" | "NamedTemporaryFile" | "TemporaryDirectory" | "mktemp", ..] => {
            Chance::Fresh
        }
        ["Crypto" | "nacl", ..] => Chance::Fresh,
        _ => Chance::None,
    }
}

/// Magics that run commands of the system. `sandboxes/python/lists.json` has the same.
const SHELL_MAGICS: [&str; 20] = [
    "pip",
    "conda",
    "mamba",
    "micromamba",
    "uv",
    "bash",
    "sh",
    "script",
    "sx",
    "system",
    "cat",
    "cp",
    "ls",
    "ll",
    "lx",
    "mkdir",
    "mv",
    "rm",
    "rmdir",
    "man",
];

/// Returns whether a magic runs commands of the system.
pub(super) fn is_shell_magic(name: &str) -> bool {
    SHELL_MAGICS.contains(&name)
}

#[cfg(test)]
mod shell_magics {
    #[test]
    fn those_of_the_analysis_are_those_of_the_python_inside() {
        let lists: serde_json::Value =
            serde_json::from_str(include_str!("../../../../../sandboxes/python/lists.json")).unwrap();
        assert_eq!(lists["shell_magics"], serde_json::json!(super::SHELL_MAGICS));
    }
}
