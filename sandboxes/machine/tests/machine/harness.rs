//! Machines for the tests: one backend for all, where this host can start machines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{
    Backend, Event, Events, Fault, Language, Limits, Machine, Outcome, Output, Program, Sandbox, Spec,
};
use switchtower_machine::{Config, Machines};
use tokio::sync::OnceCell;

/// Returns the backend. `None`, with a message, where machines cannot be started.
pub(crate) async fn machines() -> Option<Arc<Machines>> {
    static MACHINES: OnceCell<Option<Arc<Machines>>> = OnceCell::const_new();
    let started = MACHINES.get_or_init(async || {
        let machines = Arc::new(Machines::new(config()).unwrap());
        match machines.ensure_started().await {
            Ok(()) => Some(machines),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "CI must test machines: {error}");
                eprintln!("skipped: machines cannot be started here: {error}");
                None
            }
        }
    });
    started.await.clone()
}

pub(crate) fn config() -> Config {
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("machines");
    Config { scratch, ..Config::default() }
}

/// Opens a machine.
pub(crate) async fn open() -> Option<(Box<dyn Sandbox>, Arc<dyn Machine>)> {
    let sandbox = machines().await?.open(&Spec::new(Language::Bash)).await.unwrap();
    let machine = sandbox.machine().unwrap();
    Some((sandbox, machine))
}

/// Runs a program in a machine of its own.
pub(crate) async fn run(program: &Program, wall: Duration) -> Option<(Result<Outcome, Fault>, Output)> {
    let mut sandbox = machines().await?.open(&Spec::new(program.language)).await.unwrap();
    let (events, mut from) = Events::channel();
    let limits = Limits { wall, memory: 512 << 20, ..Limits::default() };
    let collect = async {
        let mut output = Output::default();
        while let Some(event) = from.recv().await {
            let _: &Event = &event;
            output.push(event);
        }
        output
    };
    let run = async {
        let events = events;
        sandbox.run(program, &limits, &events).await
    };
    Some(tokio::join!(run, collect))
}
