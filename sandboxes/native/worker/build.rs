//! Lets the executable find the Python that it is linked to, lends its symbols to the libraries that Python loads, and
//! lists the Python that is embedded in it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files of the WebAssembly guest that serve here too are listed beside ours.
const SHARED: &str = "python/shared.txt";
const OURS: &str = "python/_switchtower";
const GUEST: &str = "../../wasm/guest/_switchtower";

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
        // The old kind of path, which goes before what an environment says.
        println!("cargo:rustc-link-arg-bins=-Wl,--disable-new-dtags,-rpath,{folder}");
    }
    // The jail's own `open`, `stat` and their like must be found before the C library's.
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic");
}

/// Writes `FILES`: names below the package, and where their texts are.
fn embed() {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is"));
    let mut files = Vec::new();
    let ours = here.join(OURS);
    below(&ours, &ours, &mut files);
    println!("cargo:rerun-if-changed={}", ours.display());
    let list = here.join(SHARED);
    println!("cargo:rerun-if-changed={}", list.display());
    let shared = fs::read_to_string(&list).expect("the list of shared files is beside the crate's own");
    for name in shared.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !files.iter().any(|(known, _)| known == name) {
            files.push((name.to_owned(), here.join(GUEST).join(name)));
        }
    }
    files.sort();
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
