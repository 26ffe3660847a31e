//! What is known of modules and their members: their domain, their effects, their use of randomness.

use crate::analyse::profile::StaticEffect;

/// The domain of work that a module belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Domain {
    /// The standard library, and unknown modules.
    General,
    Math,
    Symbolic,
    Data,
    Plotting,
    MachineLearning,
    Network,
    Files,
}

/// Returns the domain of a module, by its top-level package unless a submodule has its own.
pub(super) fn domain(module: &str) -> Domain {
    match module {
        "urllib.request" | "urllib.robotparser" | "http.client" | "http.server" | "xmlrpc.client" => {
            return Domain::Network;
        }
        // Data sets, splits and metrics do not train a model.
        _ if ["datasets", "metrics", "model_selection", "utils"]
            .iter()
            .any(|part| module.split('.').take(2).eq(["sklearn", part])) =>
        {
            return Domain::Data;
        }
        _ => {}
    }
    match top(module) {
        "math" | "cmath" | "decimal" | "fractions" | "statistics" | "numbers" => Domain::Math,
        "sympy" | "mpmath" | "z3" => Domain::Symbolic,
        "numpy" | "pandas" | "scipy" | "polars" | "pyarrow" | "xarray" | "dask" | "numba" | "statsmodels"
        | "networkx" | "numpy_financial" | "Bio" | "openpyxl" | "xlrd" | "cv2" | "skimage" | "nltk" | "geopandas"
        | "shapely" => Domain::Data,
        "matplotlib" | "seaborn" | "plotly" | "bokeh" | "altair" | "PIL" | "mpl_toolkits" | "pylab" | "wordcloud"
        | "graphviz" | "turtle" | "tkinter" => Domain::Plotting,
        "sklearn" | "torch" | "torchvision" | "tensorflow" | "keras" | "jax" | "flax" | "xgboost" | "lightgbm"
        | "catboost" | "transformers" | "datasets" | "pytorch_lightning" | "optuna" | "gensim" | "spacy" => {
            Domain::MachineLearning
        }
        name if is_network(name) => Domain::Network,
        "shutil" | "glob" | "tempfile" | "pathlib" | "fileinput" | "zipfile" | "tarfile" | "sqlite3" | "filecmp"
        | "dbm" | "shelve" => Domain::Files,
        _ => Domain::General,
    }
}

/// Returns whether a top-level name is that of a well-known package or of a part of CPython, which a module of the
/// caller's own is unlikely to have.
pub(in crate::analyse) fn is_known_package(top: &str) -> bool {
    top.starts_with('_')
        || domain(top) != Domain::General
        || matches!(
            top,
            "bz2"
                | "ctypes"
                | "curses"
                | "fcntl"
                | "grp"
                | "lzma"
                | "mmap"
                | "pwd"
                | "resource"
                | "readline"
                | "syslog"
                | "termios"
                | "tty"
                | "pty"
                | "multiprocessing"
                | "IPython"
                | "bs4"
                | "docx"
                | "flask"
                | "django"
                | "fastapi"
                | "gymnasium"
                | "hypothesis"
                | "imageio"
                | "ipywidgets"
                | "jinja2"
                | "joblib"
                | "lxml"
                | "markdown"
                | "nbformat"
                | "orjson"
                | "pip"
                | "pkg_resources"
                | "psutil"
                | "pydantic"
                | "pygame"
                | "pypdf"
                | "pytest"
                | "regex"
                | "reportlab"
                | "rich"
                | "setuptools"
                | "sqlalchemy"
                | "tabulate"
                | "toolz"
                | "tqdm"
                | "yaml"
        )
}

/// Returns the top-level package of a dotted name.
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

/// Returns the effect of reading or calling this path. Randomness depends on seeds: see [`random_operation`].
pub(super) fn effect(path: &[&str]) -> Option<StaticEffect> {
    use StaticEffect::{Clock, Display, Environment, Files, Network, Processes, Threads};
    Some(match path {
        ["urllib", "request" | "robotparser", ..] | ["http", "client" | "server", ..] | ["xmlrpc", ..] => Network,
        ["asyncio", "open_connection" | "start_server", ..] | ["sklearn", "datasets", _, ..]
            if is_download_or_connection(path) =>
        {
            Network
        }
        ["seaborn", "load_dataset", ..] | ["nltk", "download", ..] => Network,
        // It only parses text.
        ["bs4", ..] => return None,
        [top, _, ..] if is_network(top) => Network,

        [
            "subprocess",
            "DEVNULL" | "PIPE" | "STDOUT" | "SubprocessError" | "CalledProcessError" | "TimeoutExpired"
            | "CompletedProcess",
            ..,
        ] => return None,
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

/// Returns whether one of the paths of `asyncio` or `sklearn.datasets` uses the network.
fn is_download_or_connection(path: &[&str]) -> bool {
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

/// Returns the effect of a method with this name on any object.
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

/// A global random number generator: its seed determines all draws of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SharedGenerator {
    Python,
    Numpy,
}

/// What a call of a path does with random number generators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RandomOperation {
    /// Seeds a global generator.
    Seed(SharedGenerator),
    /// Draws from a global generator.
    Draw(SharedGenerator),
    /// Creates a generator that is seeded by the first argument, or by the system if there is none.
    CreateGenerator,
    /// Draws from the system: no seed determines the result.
    SystemEntropy,
    /// Nothing.
    None,
}

/// Returns what a call of this path does with random number generators.
pub(super) fn random_operation(path: &[&str]) -> RandomOperation {
    match path {
        ["random", "seed"] => RandomOperation::Seed(SharedGenerator::Python),
        ["random", "Random"] => RandomOperation::CreateGenerator,
        ["random", "SystemRandom", ..] | ["secrets", _, ..] | ["os" | "posix", "urandom" | "getrandom"] => {
            RandomOperation::SystemEntropy
        }
        ["random", "setstate" | "getstate", ..] => RandomOperation::SystemEntropy,
        ["random", _, ..] => RandomOperation::Draw(SharedGenerator::Python),
        ["uuid", "uuid1" | "uuid4" | "uuid6" | "uuid7", ..] => RandomOperation::SystemEntropy,
        ["numpy", "random", "seed"] => RandomOperation::Seed(SharedGenerator::Numpy),
        [
            "numpy",
            "random",
            "default_rng" | "RandomState" | "SeedSequence" | "PCG64" | "MT19937" | "Philox" | "SFC64" | "PCG64DXSM",
        ] => RandomOperation::CreateGenerator,
        // The bit generator that is passed to it is checked instead.
        ["numpy", "random", "Generator"] => RandomOperation::None,
        ["numpy", "random", _, ..] => RandomOperation::Draw(SharedGenerator::Numpy),
        ["torch", "rand" | "randn" | "randint" | "randperm" | "normal" | "bernoulli" | "multinomial", ..] => {
            RandomOperation::SystemEntropy
        }
        ["tempfile", "mkstemp" | "mkdtemp" | "NamedTemporaryFile" | "TemporaryDirectory" | "mktemp", ..] => {
            RandomOperation::SystemEntropy
        }
        ["Crypto" | "nacl", ..] => RandomOperation::SystemEntropy,
        _ => RandomOperation::None,
    }
}

/// Magics that run shell commands. The same list is in `sandboxes/python/lists.json`.
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

/// Returns whether a magic runs shell commands.
pub(super) fn is_shell_magic(name: &str) -> bool {
    SHELL_MAGICS.contains(&name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shell_magics_equal_those_of_the_python_in_the_sandboxes() {
        let lists: serde_json::Value =
            serde_json::from_str(include_str!("../../../../../sandboxes/python/lists.json")).unwrap();
        assert_eq!(lists["shell_magics"], serde_json::json!(super::SHELL_MAGICS));
    }
}
