//! The guest compiled for this machine: built once, stored in a cache folder, and mapped into memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchtower_contract::{Escalation, Event, Limits, Program};

use crate::engine::{self, Images};
use crate::guest;
use crate::instance::{Instance as _, PythonInstance};
use crate::javascript;
use crate::offer;

/// A compiled guest on disk.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// Python's.
    pub(crate) path: PathBuf,
    pub(crate) javascript: PathBuf,
    pub(crate) runtime: Arc<str>,
    pub(crate) modules: Arc<BTreeSet<String>>,
}

/// A step of the first use, during which the caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupStage {
    Unpacking,
    Compiling,
    ListingModules,
}

/// The age at which compiled guests of other versions are removed.
const MAX_UNUSED_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// A function that is called at the beginning of each step of the first use.
pub type Progress<'a> = &'a dyn Fn(SetupStage);

/// The reason why the guest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error("no folder for the compiled guest: set HOME, XDG_CACHE_HOME or wasm.cache_folder")]
    NoFolder,
    #[error("{}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{} must belong to this user and not be writable for others: compiled guests are machine code", path.display())]
    SharedRun { path: PathBuf },
    #[error("the guest in this program is damaged ({0}): build it again")]
    Unpack(io::Error),
    #[error("the guest could not be compiled: {0}")]
    Compile(wasmtime::Error),
    #[error("{} cannot be loaded ({source}): remove it, and it is compiled again", path.display())]
    Load { path: PathBuf, source: wasmtime::Error },
    #[error("the modules of the guest cannot be listed: {0}")]
    ListModules(String),
    #[error("no thread for the guest: {0}")]
    Thread(io::Error),
}

impl Compiled {
    /// Finds the compiled guest in `folder` (by default `switchtower` in the user's cache folder), or compiles it,
    /// which takes some tens of seconds, once. Two processes that start at the same time both compile it; the second
    /// file replaces the first.
    ///
    /// # Errors
    /// See [`GuestError`]; every message has a fix.
    pub fn locate(folder: Option<&Path>, progress: Progress<'_>) -> Result<Self, GuestError> {
        let folder = private_folder(folder)?;
        let compatible = compatibility()?;
        let path = folder.join(format!("python-{}-{compatible}.cwasm", &guest::HASH[..16]));
        let javascript = folder.join(format!("javascript-{}-{compatible}.cwasm", &javascript::HASH[..16]));
        let (python_hash, javascript_hash) = (&guest::HASH[..32], &javascript::HASH[..32]);
        let runtime: Arc<str> = format!("cpython-3.14-wasm/{python_hash}+quickjs-wasm/{javascript_hash}").into();
        if !javascript.exists() {
            progress(SetupStage::Compiling);
            let code = compile_javascript()?;
            write_whole(&javascript, &code)?;
            remove_outdated(&folder, &javascript, "javascript-");
        }
        if !path.exists() {
            progress(SetupStage::Unpacking);
            let component = zstd::decode_all(guest::COMPRESSED).map_err(GuestError::Unpack)?;
            progress(SetupStage::Compiling);
            let engine = engine::engine(1).map_err(GuestError::Compile)?;
            let code = engine.precompile_component(&component).map_err(GuestError::Compile)?;
            write_whole(&path, &code)?;
            remove_outdated(&folder, &path, "python-");
        }
        let names = path.with_extension("modules");
        let modules = match fs::read_to_string(&names) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(_) => {
                progress(SetupStage::ListingModules);
                let modules = list_modules(&path, &javascript)?;
                let text: String = modules.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
                write_whole(&names, text.as_bytes())?;
                modules
            }
        };
        Ok(Self { path, javascript, runtime, modules: Arc::new(modules) })
    }

    /// Returns what a tier with this guest offers.
    pub fn offer(&self) -> switchtower_contract::Offer {
        offer::offer(self)
    }

    /// Returns the packages that programs find in it, and their versions.
    pub fn packages(&self) -> Vec<(String, String)> {
        offer::packages()
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the runtime id, which identifies everything that can influence a result.
    pub fn runtime(&self) -> &str {
        &self.runtime
    }

    pub(crate) fn load(&self, instances: u32) -> Result<Arc<Images>, GuestError> {
        load(&self.path, &self.javascript, instances)
    }
}

/// Maps the compiled guests.
#[allow(unsafe_code, reason = "compiled guests are machine code")]
pub(crate) fn load(python: &Path, javascript: &Path, instances: u32) -> Result<Arc<Images>, GuestError> {
    // SAFETY: the files are in a folder that only this user can write to, under names that only `locate` uses, and
    // `locate` writes what the engine compiled.
    unsafe { Images::load(python, javascript, instances) }
        .map_err(|source| GuestError::Load { path: python.to_owned(), source })
}

/// Runs the prelude of JavaScript once and compiles the engine with the memory after that.
fn compile_javascript() -> Result<Vec<u8>, GuestError> {
    let make = || {
        let engine = engine::engine(2)?;
        engine.precompile_module(&javascript::snapshot(&engine)?)
    };
    // The prelude runs in the engine, which needs the stack of a guest.
    let thread =
        std::thread::Builder::new().stack_size(engine::THREAD_STACK).spawn(make).map_err(GuestError::Thread)?;
    let made = thread.join().map_err(|_| GuestError::ListModules("the thread of the compiler panicked".into()))?;
    made.map_err(GuestError::Compile)
}

/// Returns a hash of what a compiled guest is compatible with: the engine's version and settings, and this processor.
fn compatibility() -> Result<String, GuestError> {
    use std::hash::{Hash, Hasher};

    struct Collect(blake3::Hasher);
    impl Hasher for Collect {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut collect = Collect(blake3::Hasher::new());
    engine::engine(1).map_err(GuestError::Compile)?.precompile_compatibility_hash().hash(&mut collect);
    Ok(collect.0.finalize().to_hex()[..16].to_owned())
}

fn private_folder(given: Option<&Path>) -> Result<PathBuf, GuestError> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
            .ok_or(GuestError::NoFolder)?
            .join("switchtower"),
    };
    let failed = |source| GuestError::Folder { path: path.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
    let found = fs::metadata(&path).map_err(failed)?;
    if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0 {
        return Err(GuestError::SharedRun { path });
    }
    Ok(path)
}

/// Writes a file atomically: other processes look for it.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), GuestError> {
    remove_abandoned_parts(path);
    let part = path.with_extension(format!("{PARTIAL}{}", std::process::id()));
    let written =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&part).and_then(|mut file| {
            // Locked until it is complete: the lock shows other processes that it is not abandoned.
            file.try_lock()?;
            file.write_all(content)?;
            fs::rename(&part, path)
        });
    written.map_err(|source| {
        // A partial file that cannot be removed stays.
        let _ = fs::remove_file(&part);
        GuestError::Folder { path: path.to_owned(), source }
    })
}

/// The extension of a file that is being written, before the number of the writing process.
const PARTIAL: &str = "part-";

/// Removes the partial files of processes that were killed while they wrote: 100 MB each.
fn remove_abandoned_parts(path: &Path) {
    let Some(entries) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
    for part in entries.flatten().map(|entry| entry.path()) {
        let ours = part.extension().and_then(|it| it.to_str()).is_some_and(|it| it.starts_with(PARTIAL));
        // A file that this process writes is locked as well, since it is opened separately.
        if ours && fs::File::open(&part).is_ok_and(|file| file.try_lock().is_ok()) {
            // Another process may have removed it first.
            let _ = fs::remove_file(&part);
        }
    }
}

/// Removes old compiled guests of other versions, 100 MB each. One that is still needed is compiled again.
fn remove_outdated(folder: &Path, current: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix));
        let age = fs::metadata(&path).and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
        if ours && path.file_stem() != current.file_stem() && age.is_some_and(|age| age > MAX_UNUSED_AGE) {
            // Another process may have removed it first.
            let _ = fs::remove_file(&path);
        }
    }
}

fn list_modules(python: &Path, javascript: &Path) -> Result<BTreeSet<String>, GuestError> {
    let images = load(python, javascript, 2)?;
    let printed = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&printed);
    let send = Box::new(move |event| {
        if let (Event::Stdout(text), Ok(mut printed)) = (event, to.lock()) {
            printed.push_str(&text);
        }
        true
    });
    let limits = Limits { wall: Duration::from_secs(60), escalation: Escalation::Never, ..Limits::default() };
    let program = Program::python("from _switchtower import imports\nprint('\\n'.join(imports.importable_modules()))");
    let ask = move || {
        let mut instance = PythonInstance::fresh(&images).map_err(|e| GuestError::ListModules(format!("{e:#}")))?;
        instance
            .run(&images, &program, &limits, send, Box::new(|| false))
            .map_err(|fault| GuestError::ListModules(fault.to_string()))
    };
    let thread = std::thread::Builder::new().stack_size(engine::THREAD_STACK).spawn(ask).map_err(GuestError::Thread)?;
    let outcome = thread.join().map_err(|_| GuestError::ListModules("its thread panicked".into()))??;
    let names: BTreeSet<String> = printed.lock().map(|h| h.lines().map(str::to_owned).collect()).unwrap_or_default();
    if names.contains("sys") {
        Ok(names)
    } else {
        Err(GuestError::ListModules(format!("it ended with {:?}", outcome.exit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_atomically_and_abandoned_partial_files_are_removed() {
        let folder = std::env::temp_dir().join(format!("switchtower-parts-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (abandoned, written) = (folder.join("python-1.part-1"), folder.join("python-2.part-2"));
        fs::write(&abandoned, "half").unwrap();
        fs::write(&written, "half").unwrap();
        let writer = fs::File::open(&written).unwrap();
        writer.try_lock().unwrap();
        write_whole(&folder.join("python-3.cwasm"), b"all of it").unwrap();
        assert_eq!(fs::read(folder.join("python-3.cwasm")).unwrap(), b"all of it");
        assert!(!abandoned.exists() && written.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
