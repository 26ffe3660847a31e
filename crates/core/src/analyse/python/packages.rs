//! Names of modules and of the packages that bring them.

/// Modules whose package has another name, each with that name.
const RENAMED: [(&str, &str); 34] = [
    ("Bio", "biopython"),
    ("Crypto", "pycryptodome"),
    ("IPython", "ipython"),
    ("OpenSSL", "pyopenssl"),
    ("PIL", "pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("e2b_charts", "e2b-charts"),
    ("fitz", "pymupdf"),
    ("git", "gitpython"),
    ("google", "google-api-python-client"),
    ("igraph", "python-igraph"),
    ("jose", "python-jose"),
    ("jwt", "pyjwt"),
    ("magic", "python-magic"),
    ("mpl_toolkits", "matplotlib"),
    ("mysql", "mysql-connector-python"),
    ("nacl", "pynacl"),
    ("pkg_resources", "setuptools"),
    ("pptx", "python-pptx"),
    ("psycopg2", "psycopg2-binary"),
    ("pylab", "matplotlib"),
    ("serial", "pyserial"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("slugify", "python-slugify"),
    ("telegram", "python-telegram-bot"),
    ("umap", "umap-learn"),
    ("usb", "pyusb"),
    ("yaml", "pyyaml"),
];

/// Packages of the scientific tier's default set whose modules programs import, and those that these need.
const SCIENTIFIC: [&str; 46] = [
    "aiohttp",
    "beautifulsoup4",
    "bokeh",
    "e2b-charts",
    "html5lib",
    "imageio",
    "ipython",
    "jinja2",
    "joblib",
    "lxml",
    "matplotlib",
    "mpmath",
    "networkx",
    "nltk",
    "numba",
    "numpy",
    "numpy-financial",
    "opencv-python-headless",
    "openpyxl",
    "orjson",
    "packaging",
    "pandas",
    "pillow",
    "plotly",
    "pyarrow",
    "pydantic",
    "pytest",
    "python-dateutil",
    "python-docx",
    "pytz",
    "regex",
    "requests",
    "rich",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "seaborn",
    "statsmodels",
    "sympy",
    "tabulate",
    "textblob",
    "tornado",
    "tqdm",
    "urllib3",
    "xarray",
    "xlrd",
];

/// Modules of CPython that the WebAssembly tier lacks, and that native Python has; pip is answered for there.
const STANDARD: [&str; 17] = [
    "bz2",
    "ctypes",
    "curses",
    "fcntl",
    "grp",
    "lzma",
    "mmap",
    "multiprocessing",
    "pip",
    "pty",
    "pwd",
    "readline",
    "resource",
    "ssl",
    "syslog",
    "termios",
    "tty",
];
/// Modules of CPython that need a screen.
const GRAPHICAL: [&str; 3] = ["idlelib", "tkinter", "turtle"];

/// Returns the name of the package that brings a module.
pub(in crate::analyse) fn distribution(top: &str) -> String {
    let renamed = RENAMED.iter().find(|(module, _)| *module == top);
    renamed.map_or_else(|| top.to_ascii_lowercase().replace('_', "-"), |(_, distribution)| (*distribution).to_owned())
}

/// Returns the module that a package of this name brings, if that has another name: `sklearn` of `scikit_learn`.
pub(in crate::analyse) fn module_of_distribution(name: &str) -> Option<&'static str> {
    let wanted = name.to_ascii_lowercase().replace('_', "-");
    let is_wanted =
        |distribution: &str| distribution == wanted || distribution.strip_suffix("-headless") == Some(&*wanted);
    RENAMED.iter().find(|(module, distribution)| is_wanted(distribution) && *module != name).map(|(module, _)| *module)
}

/// Returns whether a module belongs to CPython.
pub(in crate::analyse) fn is_standard(top: &str) -> bool {
    top.starts_with('_') || STANDARD.contains(&top) || GRAPHICAL.contains(&top)
}

/// Returns whether the scientific tier has a module after an installation without options.
pub(in crate::analyse) fn is_scientific(top: &str) -> bool {
    let distribution = distribution(top);
    STANDARD.contains(&top) || top.starts_with('_') || SCIENTIFIC.contains(&distribution.as_str())
}

/// Returns the module among `known` that a misspelt name probably means.
pub(in crate::analyse) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let most = match length {
        0..=3 => return None,
        4..=6 => 1,
        7..=MAX_NAME => 2,
        _ => return None,
    };
    let near =
        known.into_iter().filter(|known| !known.starts_with('_') && known.chars().count().abs_diff(length) <= most);
    near.map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, known)| known)
}

/// The longest name that is compared.
const MAX_NAME: usize = 40;

/// Returns how many letters are added, left out, changed or exchanged with the next between two names.
fn distance(one: &str, other: &str) -> usize {
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<_>>();
    let (one, other) = (lower(one), lower(other));
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_that_the_scientific_tier_installs_is_known() {
        let requirements = include_str!("../../../../../sandboxes/native/requirements.in");
        let names =
            requirements.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split("==").next());
        for name in names.map(str::trim).filter(|name| !name.is_empty()) {
            assert!(SCIENTIFIC.contains(&name), "{name} is missing");
        }
    }

    #[test]
    fn a_misspelt_module_is_recognised_and_another_name_is_not() {
        let known =
            ["math", "json", "random", "datetime", "numpy", "pandas", "statistics", "collections", "re", "test"];
        for (name, meant) in [
            ("maths", Some("math")),
            ("jsno", Some("json")),
            ("ramdom", Some("random")),
            ("datetimes", Some("datetime")),
            ("panda", Some("pandas")),
            ("Numpy", Some("numpy")),
            ("statistic", Some("statistics")),
            ("colections", Some("collections")),
            ("helper", None),
            ("utils", None),
            ("config", None),
            ("r", None),
            ("", None),
        ] {
            assert_eq!(similar(name, known), meant, "{name}");
        }
        assert_eq!(similar(&"a".repeat(1 << 20), known), None);
        for (name, module) in [
            ("scikit_learn", Some("sklearn")),
            ("beautifulsoup4", Some("bs4")),
            ("opencv_python", Some("cv2")),
            ("PyYAML", Some("yaml")),
            ("numpy", None),
        ] {
            assert_eq!(module_of_distribution(name), module, "{name}");
        }
    }
}
