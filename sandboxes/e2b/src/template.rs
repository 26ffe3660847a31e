//! The template that ships with Switchtower: its files, the build tag made from them, and its modules.

use std::collections::BTreeSet;

/// The Dockerfile that `e2b template build` builds.
pub const DOCKERFILE: &str = include_str!("../template/e2b.Dockerfile");
/// The settings of the build.
pub const SETTINGS: &str = include_str!("../template/e2b.toml");
/// The packages: on each line the name to import and what pip installs.
pub const PACKAGES: &str = include_str!("../template/packages.txt");
/// The file in a sandbox with the build tag.
pub const TAG_FILE: &str = "/etc/build-tag";

/// Returns the build tag of a template with these files. The same content has the same tag.
pub fn tag(dockerfile: &str, packages: &str) -> String {
    // The tag must not depend on line ends of the checkout, nor on comments.
    let lines = |text: &str| {
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    };
    let hash = blake3::hash(format!("{}\0{}", lines(dockerfile), lines(packages)).as_bytes());
    format!("switchtower-{}", &hash.to_hex()[..12])
}

/// Returns the build tag of the template that ships with this version.
pub fn shipped_tag() -> String {
    tag(DOCKERFILE, PACKAGES)
}

/// Returns the names to import of a list of packages.
pub fn modules(packages: &str) -> BTreeSet<String> {
    let lines = packages.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Returns the modules that need no package: `sys.stdlib_module_names` of Python 3.12, and what the template has in any
/// case.
pub fn standard_library() -> BTreeSet<String> {
    STANDARD_LIBRARY.split_whitespace().map(str::to_owned).collect()
}

const STANDARD_LIBRARY: &str = "
__future__ __main__ _thread abc aifc argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii
bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall
concurrent configparser contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal
difflib dis distutils doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions
ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib
imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap
marshal math mimetypes mmap modulefinder multiprocessing netrc nis nntplib numbers operator optparse os ossaudiodev
pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd
py_compile pyclbr pydoc queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors
shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse
ssl stat statistics string stringprep struct subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib
tempfile termios test textwrap this threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty
turtle types typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser wsgiref xdrlib xml xmlrpc
zipapp zipfile zipimport zlib zoneinfo IPython ipykernel jupyter_client pip setuptools";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_tag_depends_on_the_templates_files_and_nothing_else() {
        let one = tag("FROM x\nRUN y", "numpy numpy<2");
        assert_eq!(one, tag("FROM x\r\n# a note\nRUN y  \n\n", "# another\nnumpy numpy<2\n"));
        assert_ne!(one, tag("FROM x\nRUN z", "numpy numpy<2"));
        assert_ne!(one, tag("FROM x\nRUN y", "numpy numpy"));
        assert_eq!(
            include_str!("../template/build-tag"),
            shipped_tag(),
            "fix it with `switchtower template tag --write`"
        );
    }

    #[test]
    fn every_promised_package_is_in_the_template() {
        let modules = modules(PACKAGES);
        assert_eq!(modules.len(), 22);
        for module in ["numpy_financial", "sklearn", "Bio", "deeptools", "dateutil", "bs4"] {
            assert!(modules.contains(module), "{module}");
        }
        assert!(DOCKERFILE.contains("COPY build-tag /etc/build-tag") && SETTINGS.contains("e2b.Dockerfile"));
    }
}
