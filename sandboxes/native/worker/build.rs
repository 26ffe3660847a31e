//! Lets the executable find the Python that it is linked to, lends its symbols to the libraries that Python loads, and
//! lists the Python that is embedded in it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders with parts of the package `_switchtower`, which are laid over each other.
const PACKAGE: [&str; 3] = ["shared/_switchtower", "native/_switchtower", "transfer/_switchtower"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SWITCHTOWER_LIBPYTHON_DIR");
    if env::var_os("CARGO_FEATURE_PYTHON").is_some() {
        link();
        embed();
    }
}

fn link() {
    let given = env::var("SWITCHTOWER_LIBPYTHON_DIR").ok().filter(|folder| !folder.is_empty());
    if let Some(folder) = given.or_else(|| pyo3_build_config::get().lib_dir().map(str::to_owned)) {
        // The old kind of path, which has precedence over the environment's.
        println!("cargo:rustc-link-arg-bins=-Wl,--disable-new-dtags,-rpath,{folder}");
    }
    // The jail's own `open`, `stat` and their like must be found before the C library's.
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic");
}

/// Writes `FILES`: names below the package, and where their texts are.
fn embed() {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is"));
    let mut files = Vec::new();
    for folder in PACKAGE.map(|part| here.join("../../python").join(part)) {
        below(&folder, &folder, &mut files);
        println!("cargo:rerun-if-changed={}", folder.display());
    }
    // The host sends these to the kernel that restores a state.
    files.retain(|(name, _)| !name.starts_with("state_transfer/restore/"));
    files.sort();
    let twice = files.windows(2).find(|pair| pair[0].0 == pair[1].0);
    assert!(twice.is_none(), "a file of the package is there twice: {twice:?}");
    let mut text = String::from("pub(crate) const FILES: &[(&str, &str)] = &[\n");
    for (name, path) in files {
        println!("cargo:rerun-if-changed={}", path.display());
        let _ = writeln!(text, "    ({name:?}, include_str!({:?})),", path.display().to_string());
    }
    text.push_str("];\n");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo says where to write")).join("files.rs");
    fs::write(out, text).expect("the list is written");
}

fn below(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            below(root, &path, files);
        } else if path.extension().is_some_and(|kind| kind == "py")
            && let Ok(name) = path.strip_prefix(root)
        {
            files.push((name.display().to_string(), path.clone()));
        }
    }
}
