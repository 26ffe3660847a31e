//! The tests' executable takes libc's place for the libraries that it loads, so they must find its symbols.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-tests=-rdynamic");
}
