//! The lower layers of a machine's root: made once, shared by all machines, read-only in each.

use std::fs::{self, DirEntry, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use switchtower_container::{Bind, Overlay};
use switchtower_machine_image::{RootFileSystem, exists_inside, read_inside};

use crate::assets;
use crate::config::{Config, Python};

/// The user of machines who is not root, and its group.
pub(crate) const USER: u32 = 1000;

/// What of the host's `/etc` machines have, beside what is made: nothing that names users, hosts or networks, and no secrets.
const FROM_HOST: [&str; 32] = [
    "ImageMagick-6",
    "ImageMagick-7",
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "ethertypes",
    "fonts",
    "gitconfig",
    "inputrc",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "mime.types",
    "os-release",
    "papersize",
    "perl",
    "profile",
    "protocols",
    "python3",
    "rpc",
    "services",
    "skel",
    "terminfo",
    "timezone",
];
/// Files below a folder whose other content machines do not have.
const FROM_HOST_BELOW: [&str; 3] = ["ssl/certs", "ssl/openssl.cnf", "python3.11"];
/// Folders of the host beside `/usr` that may be links into it.
const SYSTEM_FOLDERS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Where machines have `sudo`.
const SUDO: [&str; 2] = ["/usr/local/bin/sudo", "/usr/bin/sudo"];
const EMPTY_FOLDERS: [&str; 11] = ["dev", "home", "media", "mnt", "opt", "proc", "run", "srv", "sys", "tmp", "var"];
/// Most bytes of a list of users or groups.
const MAX_LIST: u64 = 1 << 20;
/// Most bytes of one file that is copied from the host's `/etc`.
const MAX_FILE: u64 = 8 << 20;

/// The layers of all machines.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) overlays: Vec<Overlay>,
    pub(crate) binds: Vec<Bind>,
    pub(crate) folders: Vec<(PathBuf, u32, u32, u32)>,
}

impl Template {
    /// Makes the layers in `folder`. `assets`: the folder of the assets; `root`: the root file system of the user's, if there is one.
    ///
    /// # Errors
    /// The folder cannot be written to, or a list of users in the root cannot be read.
    pub(crate) fn make(
        folder: &Path,
        assets: &Path,
        config: &Config,
        root: Option<&RootFileSystem>,
    ) -> io::Result<Self> {
        create(folder)?;
        let mut template = Self { overlays: Vec::new(), binds: Vec::new(), folders: folders() };
        template.binds.push(bind(assets, assets::FOLDER));
        // No program gains rights by being executed, so the first process runs the commands of this one.
        for target in SUDO {
            template.binds.push(bind(&assets.join("init"), target));
        }
        match root {
            Some(root) => template.of_root(folder, &root.folder)?,
            None => {
                template.of_host(folder)?;
                match &config.python {
                    Some(python) => template.add_python(folder, python)?,
                    None => template.name_python(folder)?,
                }
            }
        }
        Ok(template)
    }

    /// A root file system of the user's, with the machines' own user.
    fn of_root(&mut self, folder: &Path, root: &Path) -> io::Result<()> {
        create(&folder.join("etc"))?;
        for (name, own) in [("passwd", PASSWD), ("group", GROUP)] {
            let path = Path::new("etc").join(name);
            // It may be a link to a file of the host's, which is none of the root's.
            let theirs = match read_inside(root, &path, MAX_LIST) {
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    Vec::new()
                }
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("{}: {error}", root.join(path).display())));
                }
                Ok(theirs) => theirs,
            };
            let mut list = with_user(&String::from_utf8_lossy(&theirs), own);
            if !exists_inside(root, "bin/bash") {
                list = list.replace(":/bin/bash\n", ":/bin/sh\n");
            }
            write(&folder.join("etc").join(name), &list)?;
        }
        write(&folder.join("etc/hosts"), HOSTS)?;
        write(&folder.join("etc/resolv.conf"), "")?;
        let lower = vec![folder.to_owned(), root.to_owned()];
        self.overlays.push(Overlay { lower, target: "/".into() });
        Ok(())
    }

    /// The host's programs, and a made `/etc`.
    fn of_host(&mut self, folder: &Path) -> io::Result<()> {
        self.overlays.push(Overlay { lower: vec![folder.to_owned()], target: "/".into() });
        self.overlays.push(Overlay { lower: vec!["/usr".into()], target: "/usr".into() });
        for name in SYSTEM_FOLDERS {
            let path = Path::new("/").join(name);
            match fs::read_link(&path) {
                Ok(target) => symlink(target, folder.join(name))?,
                Err(_) if path.is_dir() => {
                    create(&folder.join(name))?;
                    self.overlays.push(Overlay { lower: vec![path.clone()], target: path });
                }
                Err(_) => {}
            }
        }
        for name in EMPTY_FOLDERS {
            create(&folder.join(name))?;
        }
        for name in ["cache", "lib", "log", "spool", "tmp"] {
            create(&folder.join("var").join(name))?;
        }
        symlink("/run", folder.join("var/run"))?;
        symlink("/run/lock", folder.join("var/lock"))?;
        make_etc(&folder.join("etc"))
    }

    /// The host's Python by the name `python` too, as in E2B's sandboxes, where the host has no program of that name.
    fn name_python(&mut self, folder: &Path) -> io::Result<()> {
        let is_there = |path: &str| Path::new(path).exists();
        if is_there("/usr/bin/python3") && !["/usr/bin/python", "/usr/local/bin/python"].into_iter().any(is_there) {
            let python = folder.with_file_name("python");
            fs::write(&python, "#!/bin/sh\nexec /usr/bin/python3 \"$@\"\n")?;
            fs::set_permissions(&python, Permissions::from_mode(0o755))?;
            self.binds.push(bind(&python, "/usr/local/bin/python"));
        }
        Ok(())
    }

    /// A Python with packages, at the paths that it has in E2B's sandboxes.
    fn add_python(&mut self, folder: &Path, python: &Python) -> io::Result<()> {
        let minor = python.minor();
        let lib = format!("/usr/local/lib/python{minor}");
        let stdlib = python.home.join("lib").join(format!("python{minor}"));
        let (startup_files, of_host) = (folder.with_file_name("startup-files"), stdlib.join("site-packages"));
        hide_startup_files(&of_host, &python.site, &startup_files)?;
        let packages = vec![startup_files, python.site.clone(), of_host];
        let packages: Vec<PathBuf> = packages.into_iter().filter(|path| path.is_dir()).collect();
        self.overlays.push(Overlay { lower: vec![stdlib], target: lib.clone().into() });
        self.overlays.push(Overlay { lower: packages, target: format!("{lib}/site-packages").into() });
        let executable = python.home.join("bin").join(format!("python{minor}"));
        for name in ["python", "python3", &format!("python{minor}")] {
            self.binds.push(bind(&executable, &format!("/usr/local/bin/{name}")));
        }
        let pip = folder.with_file_name("pip");
        fs::write(&pip, format!("#!/bin/sh\nexec /usr/local/bin/python{minor} -m pip \"$@\"\n"))?;
        fs::set_permissions(&pip, Permissions::from_mode(0o755))?;
        for name in ["pip", "pip3"] {
            self.binds.push(bind(&pip, &format!("/usr/local/bin/{name}")));
        }
        // The executable names the folder of its library at home, which machines do not have. It is searched where the
        // linker looks before all others.
        for entry in fs::read_dir(python.home.join("lib"))?.flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.starts_with(&format!("libpython{minor}.so")) {
                let library = entry.path().canonicalize()?;
                for target in library_targets(&name) {
                    self.binds.push(bind(&library, &target));
                }
            }
        }
        Ok(())
    }
}

/// Fills a layer with empty files for those by which packages of the host's Python run code whenever it starts, unless `packages` has them
/// too. They take time, and name folders that machines do not have.
fn hide_startup_files(of_host: &Path, packages: &Path, layer: &Path) -> io::Result<()> {
    create(layer)?;
    let Ok(entries) = fs::read_dir(of_host) else { return Ok(()) };
    for name in entries.flatten().map(|entry| entry.file_name()) {
        let runs_code = Path::new(&name).extension().is_some_and(|extension| extension == "pth");
        // It lets programs import `distutils`, which newer versions of Python lack.
        let is_needed = name == "distutils-precedence.pth";
        if runs_code && !is_needed && !packages.join(&name).exists() {
            write(&layer.join(&name), "")?;
        }
    }
    Ok(())
}

/// Returns the paths at which the linker finds a library with this name: where the host has one, or in `/usr/lib`.
fn library_targets(name: &str) -> Vec<String> {
    let folders =
        ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let known: Vec<String> = folders.map(|folder| format!("{folder}/{name}")).into();
    let here: Vec<String> = known.iter().filter(|path| Path::new(path).exists()).cloned().collect();
    if here.is_empty() { vec![format!("/usr/lib/{name}")] } else { here }
}

fn bind(source: &Path, target: &str) -> Bind {
    Bind { source: source.to_owned(), target: target.into() }
}

/// Returns the folders that every machine has, with owners and permissions.
fn folders() -> Vec<(PathBuf, u32, u32, u32)> {
    [
        ("/home/user", USER, USER, 0o755),
        ("/root", 0, 0, 0o700),
        ("/tmp", 0, 0, 0o1777),
        ("/var/tmp", 0, 0, 0o1777),
        ("/run", 0, 0, 0o755),
        ("/run/lock", 0, 0, 0o1777),
        ("/code", USER, USER, 0o777),
    ]
    .map(|(path, user, group, mode)| (path.into(), user, group, mode))
    .into()
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
    bin:x:2:2:bin:/bin:/usr/sbin/nologin\n\
    sys:x:3:3:sys:/dev:/usr/sbin/nologin\n\
    mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n\
    www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
    user:x:1000:1000::/home/user:/bin/bash\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\nmail:x:8:\nsudo:x:27:user\n\
    www-data:x:33:\nstaff:x:50:\nusers:x:100:user\nnogroup:x:65534:\nuser:x:1000:\n";
const HOSTS: &str = "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n";
const NAME_SERVICES: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
    protocols: files\nservices: files\nethers: files\nrpc: files\n";

/// Returns a list of a root with the machines' own user; where it is empty, the list of machines without a root. The user comes first:
/// of several names for an id, the first one counts.
fn with_user(theirs: &str, own: &str) -> String {
    if theirs.trim().is_empty() {
        return own.to_owned();
    }
    let user = own.lines().filter(|line| line.starts_with("user:"));
    // `x` means the root's /etc/shadow, which does not have this user: `su` would refuse it. `*` is no password.
    let user: String = user.map(|line| line.replacen(":x:", ":*:", 1) + "\n").collect();
    let others = theirs.lines().filter(|line| !line.starts_with("user:"));
    user + &others.flat_map(|line| [line, "\n"]).collect::<String>()
}

fn make_etc(etc: &Path) -> io::Result<()> {
    create(etc)?;
    for (name, text) in [
        ("passwd", PASSWD),
        ("group", GROUP),
        ("hosts", HOSTS),
        ("hostname", "sandbox\n"),
        ("resolv.conf", ""),
        ("nsswitch.conf", NAME_SERVICES),
        ("shells", "/bin/sh\n/bin/bash\n"),
        ("fstab", ""),
        ("machine-id", ""),
    ] {
        write(&etc.join(name), text)?;
    }
    symlink("/proc/self/mounts", etc.join("mtab"))?;
    let host = Path::new("/etc");
    for name in FROM_HOST {
        copy(&host.join(name), &etc.join(name))?;
    }
    for path in FROM_HOST_BELOW {
        let target = etc.join(path);
        if let Some(parent) = target.parent() {
            create(parent)?;
        }
        copy(&host.join(path), &target)?;
    }
    Ok(())
}

/// Copies a file, a link or a folder of the host, as far as all users may read it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(from) else { return Ok(()) };
    if found.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if found.permissions().mode() & 0o004 == 0 {
        return Ok(());
    }
    if found.is_dir() {
        create(to)?;
        let entries: Vec<DirEntry> = fs::read_dir(from)?.flatten().collect();
        return entries.iter().try_for_each(|entry| copy(&entry.path(), &to.join(entry.file_name())));
    }
    if found.is_file() && found.len() <= MAX_FILE {
        fs::copy(from, to)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

fn create(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_with_a_root_of_their_own_have_their_user_whomever_the_root_lists() {
        assert_eq!(with_user("", PASSWD), PASSWD);
        let theirs = "root:x:0:0::/root:/bin/sh\nuser:x:7:7::/home/user:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh";
        let line = "user:*:1000:1000::/home/user:/bin/bash\n";
        let rest = "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n";
        assert_eq!(with_user(theirs, PASSWD), format!("{line}{rest}"));
    }

    #[test]
    fn no_list_of_the_hosts_users_comes_into_a_machine_by_a_link_of_its_root() {
        let folder = tempfile::tempdir().unwrap();
        let [root, layer] = ["root", "layer"].map(|name| folder.path().join(name));
        create(&layer).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        write(&folder.path().join("secret"), "host:x:7:7::/:/bin/sh\n").unwrap();
        symlink(folder.path().join("secret"), root.join("etc/passwd")).unwrap();
        symlink("../../secret", root.join("etc/group")).unwrap();
        let mut template = Template { overlays: Vec::new(), binds: Vec::new(), folders: Vec::new() };
        template.of_root(&layer, &root).unwrap();
        for name in ["passwd", "group"] {
            let list = fs::read_to_string(layer.join("etc").join(name)).unwrap();
            assert!(list.contains("user:x:1000:") && !list.contains("host"), "{list}");
        }
    }

    #[test]
    fn files_by_which_packages_of_the_host_run_code_are_empty_in_machines() {
        let folder = tempfile::tempdir().unwrap();
        let [of_host, packages, layer] = ["host", "site", "layer"].map(|name| folder.path().join(name));
        create(&of_host).unwrap();
        create(&packages).unwrap();
        for path in
            ["host/coverage.pth", "host/distutils-precedence.pth", "host/both.pth", "site/both.pth", "host/pip.py"]
        {
            write(&folder.path().join(path), "import this").unwrap();
        }
        hide_startup_files(&of_host, &packages, &layer).unwrap();
        let hidden: Vec<_> = fs::read_dir(&layer).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(hidden, [layer.join("coverage.pth")]);
        assert_eq!(fs::read_to_string(&hidden[0]).unwrap(), "");
    }
}
