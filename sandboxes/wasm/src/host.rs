//! The host side of one instance: what a program may ask, and what is noted of it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use switchtower_contract::{Chance, Effect, Effects, Escalation, Event, Limits, Need, Program};
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::switchtower::sandbox::host as wit;
use crate::sink::{Send, Sink};

/// Entries of the guest's function table: it has about 20,000.
pub(crate) const TABLE_ELEMENTS: usize = 50_000;

/// Whether a run is to be ended. Asked on every tick.
pub(crate) type Cancel = Box<dyn Fn() -> bool + std::marker::Send>;

/// Why a program was stopped from outside. It travels through the engine as the error of a host call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("out of time")]
    TimedOut,
    #[error("cancelled")]
    Cancelled,
    #[error("left with code {0}")]
    Left(i32),
    #[error("needs {0}")]
    Lacks(Need),
}

/// The virtual clock of a seeded program begins here: 2026-01-01 00:00 UTC.
const VIRTUAL_ORIGIN: Duration = Duration::from_secs(1_767_225_600);
/// Every look at the virtual clock moves it on, so that a loop that waits for time to pass ends.
const VIRTUAL_STEP: Duration = Duration::from_micros(1);

/// What one run may do and has done. WASI's clocks, streams and randomness share it with the engine's callbacks.
pub(crate) struct Run {
    started: Instant,
    wall_at_start: Duration,
    slept: Duration,
    virtual_time: Option<Duration>,
    chance: Option<ChaCha12Rng>,
    limits: Limits,
    stdin: Bytes,
    stdin_given: bool,
    environment: Vec<(String, String)>,
    environment_given: bool,
    cancel: Cancel,
    pub(crate) effects: Effects,
    pub(crate) lacked: Option<Need>,
    pub(crate) sink: Sink,
}

impl Run {
    /// Before a program is there: nothing is heard, nothing is noted, time is short.
    fn none() -> Self {
        Self {
            started: now(),
            wall_at_start: Duration::ZERO,
            slept: Duration::ZERO,
            virtual_time: Some(VIRTUAL_ORIGIN),
            chance: Some(ChaCha12Rng::seed_from_u64(0)),
            limits: Limits { wall: Duration::from_secs(60), ..Limits::default() },
            stdin: Bytes::new(),
            stdin_given: true,
            environment: Vec::new(),
            environment_given: true,
            cancel: Box::new(|| false),
            effects: Effects::NONE,
            lacked: None,
            sink: Sink::closed(),
        }
    }

    fn of(program: &Program, limits: &Limits, send: Send, cancel: Cancel) -> Self {
        let seed = match program.chance {
            Chance::Seeded(seed) => Some(seed),
            Chance::Fresh => None,
        };
        Self {
            started: now(),
            wall_at_start: since_1970(),
            slept: Duration::ZERO,
            virtual_time: seed.map(|_| VIRTUAL_ORIGIN),
            chance: seed.map(ChaCha12Rng::seed_from_u64),
            limits: limits.clone(),
            stdin: Bytes::from(program.stdin.clone().unwrap_or_default()),
            stdin_given: program.stdin.is_some(),
            environment: program.env.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            environment_given: program.env.is_some(),
            cancel,
            effects: Effects::NONE,
            lacked: None,
            sink: Sink::open(send, limits.output),
        }
    }

    /// Time that the program has had, real and slept.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed() + self.slept
    }

    pub(crate) fn real_time(&self) -> Duration {
        self.started.elapsed()
    }

    fn check(&self) -> Result<(), Stop> {
        if (self.cancel)() || !self.sink.listening() {
            return Err(Stop::Cancelled);
        }
        if self.elapsed() >= self.limits.wall {
            return Err(self.out_of_time());
        }
        Ok(())
    }

    fn out_of_time(&self) -> Stop {
        match self.limits.escalation {
            Escalation::OnNeed => Stop::Lacks(Need::Time(self.limits.wall)),
            Escalation::Never => Stop::TimedOut,
        }
    }

    fn sleep(&mut self, time: Duration) -> Result<(), Stop> {
        // What was printed before a pause is to be seen before it.
        self.sink.flush();
        self.slept = self.slept.saturating_add(time);
        self.check()
    }

    fn lack(&mut self, need: Need) -> Result<(), Stop> {
        match self.limits.escalation {
            Escalation::OnNeed => Err(Stop::Lacks(need)),
            Escalation::Never => {
                self.lacked.get_or_insert(need);
                Ok(())
            }
        }
    }

    /// Nanoseconds of a clock that begins with the program.
    pub(crate) fn monotonic(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        match self.tick_virtual() {
            Some(time) => time - VIRTUAL_ORIGIN,
            None => self.elapsed(),
        }
    }

    /// Time since 1970.
    pub(crate) fn wall_clock(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        self.tick_virtual().unwrap_or_else(|| self.wall_at_start + self.elapsed())
    }

    fn tick_virtual(&mut self) -> Option<Duration> {
        let slept = self.slept;
        self.virtual_time.as_mut().map(|time| {
            *time += VIRTUAL_STEP;
            *time + slept
        })
    }

    /// When the program began, since 1970.
    fn began(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        if self.virtual_time.is_some() { VIRTUAL_ORIGIN } else { self.wall_at_start }
    }

    pub(crate) fn random(&mut self, bytes: &mut [u8]) {
        self.effects.add(Effect::Chance);
        match &mut self.chance {
            Some(seeded) => seeded.fill_bytes(bytes),
            // Not cryptographic strength is at stake but two programs never drawing the same: the system's own source.
            None => fill_from_system(bytes),
        }
    }

    /// Up to `most` bytes of standard input; none: it is at its end.
    pub(crate) fn read(&mut self, most: usize) -> Bytes {
        if self.stdin.is_empty() && !self.stdin_given {
            self.effects.add(Effect::Stdin);
        }
        let most = most.min(self.stdin.len());
        self.stdin.split_to(most)
    }
}

/// Shared by the store's data and the WASI objects that it holds. The lock is short and never held over a call into
/// the guest.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Run>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Run> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The data of one instance's store.
pub(crate) struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) run: Shared,
    memory: Memory,
}

/// Growth of the instance's memory.
#[derive(Default)]
struct Memory {
    /// Bytes that the snapshot begins with.
    image: u64,
    most: u64,
    peak: u64,
    denied: bool,
}

impl Host {
    /// Without a program. `wasi` makes the WASI objects over the shared run.
    pub(crate) fn new(wasi: impl FnOnce(&Shared) -> WasiCtx) -> Self {
        let run = Shared(Arc::new(Mutex::new(Run::none())));
        Self { wasi: wasi(&run), table: ResourceTable::new(), run, memory: Memory::default() }
    }

    /// From here on the instance belongs to this program.
    pub(crate) fn assign(&mut self, program: &Program, limits: &Limits, send: Send, cancel: Cancel) {
        self.memory.most = limits.memory;
        self.memory.peak = 0;
        self.memory.denied = false;
        *self.run.lock() = Run::of(program, limits, send, cancel);
    }

    /// Most bytes held beyond the snapshot's own.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory.peak
    }

    /// The program asked for more memory than it may have.
    pub(crate) fn was_denied_memory(&self) -> bool {
        self.memory.denied
    }

    /// Called a thousand times a second while the program computes.
    pub(crate) fn tick(&self) -> Result<(), Stop> {
        let mut run = self.run.lock();
        run.sink.tick();
        run.check()
    }

    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Stop> {
        self.run.lock().sleep(time)
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        if current == 0 {
            // The snapshot itself is laid out.
            self.memory.image = self.memory.image.max(desired as u64);
            return Ok(true);
        }
        let beyond = (desired as u64).saturating_sub(self.memory.image);
        if self.memory.most > 0 && beyond > self.memory.most {
            self.memory.denied = true;
            self.run.lock().lack(Need::Memory(self.memory.most))?;
            return Ok(false);
        }
        self.memory.peak = self.memory.peak.max(beyond);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

impl wit::Host for Host {
    fn environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let mut run = self.run.lock();
        if !run.environment_given {
            run.effects.add(Effect::Environment);
        }
        Ok(run.environment.clone())
    }

    fn ask(&mut self, about: wit::Question) -> wasmtime::Result<()> {
        self.run.lock().effects.add(match about {
            wit::Question::Identity => Effect::Identity,
            wit::Question::Clock => Effect::Clock,
        });
        Ok(())
    }

    fn started(&mut self) -> wasmtime::Result<u64> {
        Ok(nanoseconds(self.run.lock().began()))
    }

    fn sleep(&mut self, time: u64) -> wasmtime::Result<()> {
        Ok(Host::sleep(self, Duration::from_nanos(time))?)
    }

    fn lack(&mut self, what: wit::Need, detail: String) -> wasmtime::Result<()> {
        Ok(self.run.lock().lack(match what {
            wit::Need::Module => Need::Module(detail),
            wit::Need::Files => Need::Files(detail),
            wit::Need::Network => Need::Network(detail),
            wit::Need::Process => Need::Process(detail),
            wit::Need::Threads => Need::Threads,
        })?)
    }

    fn show(&mut self, data: Vec<(String, String)>, main: bool) -> wasmtime::Result<()> {
        self.run.lock().sink.show(data.into_iter().collect(), main);
        Ok(())
    }

    fn leave(&mut self, code: i32) -> wasmtime::Result<()> {
        Err(Stop::Left(code).into())
    }
}

impl Run {
    pub(crate) fn fail(&mut self, failure: switchtower_contract::Failure) {
        self.sink.flush();
        self.sink.event(Event::Error(failure));
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::disallowed_methods, reason = "programs run in real time")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "programs see the real date")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[allow(unsafe_code, reason = "getrandom has no safe wrapper in libc")]
fn fill_from_system(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of one slice that is ours alone.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => bytes = &mut bytes[got..],
            // Interrupted by a signal; getrandom has no other failure here.
            Err(_) => continue,
        }
    }
}
