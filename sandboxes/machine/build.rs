//! Builds the first process of machines, statically linked, and gathers the sources that machines are given.
//!
//! It is built by another run of Cargo in a folder of its own, for the same target with a static C library: it runs in root
//! file systems that have no library of this host.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of Python sources; those of a later one replace those of an earlier one with the same name.
const PYTHON: [&str; 4] = ["../python/shared", "../python/transfer", "../python/native", "../python/machine"];
/// The kernels of other languages.
const KERNELS: &str = "kernels";
/// The crates whose change changes the first process.
const INIT: [&str; 8] =
    ["init", "container", "streams", "../envd", "../e2b-wire", "../jail", "../worker", "../contract"];

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    println!("cargo:rerun-if-changed=build.rs");
    for folder in PYTHON.iter().chain([&KERNELS]) {
        println!("cargo:rerun-if-changed={folder}");
    }
    for folder in INIT {
        for part in ["src", "Cargo.toml", "build.rs"] {
            let path = Path::new(folder).join(part);
            if path.exists() {
                println!("cargo:rerun-if-changed={}", path.display());
            }
        }
    }
    if let Err(why) = gather(&out).and_then(|()| build_init(&out)) {
        for line in format!("the first process of local machines could not be built.\n{why}").lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

/// Writes `files.rs`: the path of each source in a machine, and its content.
fn gather(out: &Path) -> Result<(), String> {
    let mut files = std::collections::BTreeMap::new();
    for folder in PYTHON {
        collect(Path::new(folder), Path::new(folder), "python", &mut files)?;
    }
    collect(Path::new(KERNELS), Path::new(KERNELS), "kernels", &mut files)?;
    let mut text = "pub(crate) static FILES: &[(&str, &[u8])] = &[\n".to_owned();
    for (name, path) in files {
        let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        let _ = writeln!(text, "    ({name:?}, include_bytes!({:?})),", path.display().to_string());
    }
    text.push_str("];\n");
    fs::write(out.join("files.rs"), text).map_err(|error| error.to_string())
}

fn collect(
    top: &Path,
    folder: &Path,
    below: &str,
    files: &mut std::collections::BTreeMap<String, PathBuf>,
) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "tests" | "__pycache__") && !name.starts_with('.') {
                collect(top, &path, below, files)?;
            }
        } else if matches!(path.extension().and_then(|end| end.to_str()), Some("py" | "js" | "sh" | "mjs" | "cjs")) {
            let relative = path.strip_prefix(top).map_err(|error| error.to_string())?;
            files.insert(format!("{below}/{}", relative.display()), path);
        }
    }
    Ok(())
}

fn build_init(out: &Path) -> Result<(), String> {
    let var = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let (cargo, target) = (var("CARGO")?, var("TARGET")?);
    let workspace = Path::new(&var("CARGO_MANIFEST_DIR")?).join("../..");
    // Beside the profiles, so that debug and release builds share it.
    let shared = out.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "build"));
    let folder = shared.and_then(|build| build.parent()?.parent()).unwrap_or(out).join("machine-init");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "--package", "switchtower-machine-init", "--bin", "switchtower-init"])
        .args(["--profile", "machine-init", "--target", &target, "--target-dir"])
        .arg(&folder)
        .current_dir(workspace)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER");
    if std::env::var("CARGO_NET_OFFLINE").is_ok() {
        command.arg("--offline");
    }
    let done = command.output().map_err(|error| format!("cargo: {error}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(format!("{said}\nfix: a static C library is needed: on Debian, `apt-get install libc6-dev`"));
    }
    let built = folder.join(&target).join("machine-init").join("switchtower-init");
    fs::copy(&built, out.join("init")).map(drop).map_err(|error| format!("{}: {error}", built.display()))
}
