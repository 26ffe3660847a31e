//! The installation under test, created once for all tests, and its tier in both profiles of the jail.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Once};
use std::time::Duration;

use switchtower_contract::Backend;
use switchtower_native::JailProfile;
use switchtower_native::{Config, Installation, Native, WorkerLifetime};
use tokio::runtime::Runtime;

use crate::backend::harness::{TestProgram, TestRun, test_program};

/// The tier in both profiles, each with workers of its own, which start on first use.
pub(super) struct NativeHarness {
    runtime: Runtime,
    pub(super) installation: Installation,
    full: Native,
    reduced: Native,
}

/// The profiles of the jail.
pub(super) const PROFILES: [JailProfile; 2] = [JailProfile::Full, JailProfile::Reduced];

/// Returns the settings of two workers without a limited lifetime.
pub(super) fn size(profile: JailProfile) -> Config {
    let lifetime = WorkerLifetime { max_runs: u64::MAX, max_age: Duration::from_secs(3600) };
    Config { workers: 2, kernel_workers: 1, prewarmed: 2, lifetime, profile: Some(profile), ..Config::default() }
}

/// Returns the harness; `None`, with a message, if the tier is not available on this machine.
pub(super) fn harness() -> Option<&'static NativeHarness> {
    static HARNESS: LazyLock<Option<NativeHarness>> = LazyLock::new(|| {
        let installation = Installation::locate(Some(&folder()?)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let of = |profile| Native::new(installation.clone(), size(profile));
        let (full, reduced) = (of(JailProfile::Full), of(JailProfile::Reduced));
        Some(NativeHarness { runtime, installation, full, reduced })
    });
    HARNESS.as_ref()
}

impl NativeHarness {
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(super) fn of(&self, profile: JailProfile) -> &Native {
        match profile {
            JailProfile::Full => &self.full,
            JailProfile::Reduced => &self.reduced,
        }
    }

    /// Returns the profiles that this machine allows: one, with a message, if namespaces are forbidden.
    pub(super) fn profiles(&self) -> &'static [JailProfile] {
        static MESSAGE: Once = Once::new();
        static NAMESPACES: LazyLock<bool> = LazyLock::new(|| {
            let mut probe = Command::new("unshare");
            probe.args(["--user", "--map-root-user", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "true"]);
            probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        });
        if *NAMESPACES {
            return &PROFILES;
        }
        MESSAGE.call_once(|| print_line("skipped: the full profile; namespaces are forbidden here"));
        &PROFILES[1..]
    }

    /// Returns another path to the installation, by which the processes of one test can be identified.
    pub(super) fn alias(&self, name: &str) -> Alias {
        Alias::new(name, self.installation.folder())
    }
}

/// Runs a test with the tier in each profile, with processes of its own.
pub(crate) fn in_each_profile(test: impl AsyncFn(Arc<dyn Backend>)) {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        let native = Arc::new(Native::new(harness.installation.clone(), Config { workers: 1, ..size(*profile) }));
        harness.block_on(async {
            test(Arc::clone(&native) as Arc<dyn Backend>).await;
            native.shutdown().await;
        });
    }
}

/// Prints a line although the test harness captures `eprint!`.
pub(crate) fn print_line(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Returns the folder of the installation.
pub(crate) fn folder() -> Option<PathBuf> {
    static FOLDER: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        if let Some(folder) = std::env::var_os("SWITCHTOWER_NATIVE_FOLDER") {
            return Some(folder.into());
        }
        match install() {
            Ok(folder) => Some(folder),
            Err(why) => {
                print_line(&format!("skipped: the scientific tier cannot be installed here: {why}"));
                None
            }
        }
    });
    FOLDER.clone()
}

/// A program that fails if its Python cannot be embedded.
const CHECK: &str = "import interpreter\ninterpreter.check(interpreter.running())";

/// Installs the tier in the target folder. `Err`: this machine's Python cannot be embedded.
fn install() -> Result<PathBuf, String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandboxes/native");
    let check = Command::new("python3").args(["-c", CHECK]).env("PYTHONPATH", &scripts).output();
    let check = check.map_err(|error| format!("python3: {error}"))?;
    if !check.status.success() {
        let message = String::from_utf8_lossy(&check.stderr).trim_end().to_owned();
        let refusal = message.lines().next_back().and_then(|line| line.strip_prefix("interpreter.Refused: "));
        return Err(refusal.unwrap_or_else(|| panic!("{message}")).to_owned());
    }
    // This test is target/debug/deps/main-0123.
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let folder = target.join("native");
    // One of several test processes installs the tier; the others wait for it.
    let lock = File::create(target.join("native.lock")).unwrap();
    lock.lock().unwrap();
    let mut install = Command::new("python3");
    install.arg(scripts.join("install.py")).arg("--into").arg(&folder).arg("--debug").env("CARGO_TARGET_DIR", target);
    let done = install.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(folder)
}

/// A path of its own to an installation.
pub(super) struct Alias(PathBuf);

impl Alias {
    fn new(name: &str, folder: &Path) -> Self {
        let path = std::env::temp_dir().join(format!("switchtower-{name}-{}", std::process::id()));
        let _none = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        fs::copy(folder.join("manifest.json"), path.join("manifest.json")).unwrap();
        for part in ["switchtower-native", "site"] {
            let real = folder.join(part).canonicalize().unwrap();
            std::os::unix::fs::symlink(real, path.join(part)).unwrap();
        }
        Self(path)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn installation(&self) -> Installation {
        Installation::locate(Some(&self.0)).unwrap()
    }

    /// Returns the numbers of the running processes that were started by this path, and of their children.
    pub(super) fn processes(&self) -> Vec<u32> {
        processes().filter(|process| process.command == self.0.join("switchtower-native")).map(|it| it.number).collect()
    }

    /// Returns those of them that this process started.
    pub(super) fn workers(&self) -> Vec<u32> {
        let ours = |number: &u32| parent_of(*number) == Some(std::process::id());
        self.processes().into_iter().filter(ours).collect()
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// A process of this machine.
pub(super) struct Process {
    pub(super) number: u32,
    command: PathBuf,
}

pub(super) fn processes() -> impl Iterator<Item = Process> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter_map(|number| Some(Process { number, command: command_of(number)? }))
}

fn command_of(number: u32) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{number}/cmdline")).ok()?;
    Some(PathBuf::from(std::str::from_utf8(line.split(|byte| *byte == 0).next()?).ok()?))
}

/// Returns the parent of a process.
pub(super) fn parent_of(number: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The second field is a name in parentheses, which may contain anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Returns the folder for private files in the configuration of a worker.
pub(super) fn scratch_of(worker: u32) -> PathBuf {
    let line = fs::read(format!("/proc/{worker}/cmdline")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(line.split(|byte| *byte == 0).nth(1).unwrap()).unwrap();
    config["scratch"].as_str().unwrap().into()
}

pub(super) fn kill(process: u32) {
    assert!(Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap().success());
}

/// Waits until a condition holds; panics with its description after 20 seconds.
pub(super) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("still not: {what}"));
}

/// Runs a program in each profile; returns nothing if the tier is not available.
pub(super) fn run_in_profiles(program: &TestProgram) -> Vec<TestRun> {
    let Some(harness) = harness() else { return Vec::new() };
    harness.profiles().iter().map(|profile| harness.block_on(program.run(harness.of(*profile)))).collect()
}

/// Returns the output of a program that finishes, in each profile.
pub(super) fn stdouts_of(source: &str) -> Vec<String> {
    run_in_profiles(&test_program(source)).iter().map(|ran| ran.stdout().to_owned()).collect()
}
