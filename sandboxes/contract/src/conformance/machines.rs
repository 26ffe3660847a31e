//! The promises for machines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use super::kernels::{Notebook, given_file};
use super::{Checked, Report, Suite, TestService};
use crate::backend::{Maintenance, Sandbox};
use crate::kernel::{Change, Content};
use crate::machine::Machine;

macro_rules! hold {
    ($suite:expr, $report:expr, $($function:ident: $promise:literal,)+) => {
        $($report.add($promise, $function($suite).await);)+
    };
}

pub(super) async fn all(suite: &Suite<'_>, report: &mut Report) {
    hold! { suite, report,
        files: "a machine makes changes of files that its kernels see",
        kernels: "the kernels of a machine share its files and no state",
        lifetime: "a machine that was put to sleep is awake after its lifetime is ensured, and kernels keep their state",
        ends: "a machine ends with its sandbox",
    }
    if suite.programs.service.is_some() {
        hold! { suite, report,
            call: "a call to a port is answered by the service that listens there",
        }
    }
}

/// Opens a sandbox and returns it with its machine.
async fn open(suite: &Suite<'_>) -> Result<(Box<dyn Sandbox>, Arc<dyn Machine>), String> {
    let sandbox = suite.open().await?;
    let machine = sandbox.machine().ok_or("the offer says that sandboxes are machines, but this one is none")?;
    Ok((sandbox, machine))
}

async fn files(suite: &Suite<'_>) -> Checked {
    let (_sandbox, machine) = open(suite).await?;
    let mut notebook = Notebook::open(suite, &*machine).await?;
    for content in ["a line", "änother"] {
        machine.apply(&[given_file(content)]).await.map_err(|fault| format!("writing failed: {fault}"))?;
        let report = notebook.run_ok(suite.programs.file).await?;
        report.check(report.output.stdout == content)?;
    }
    let metadata = BTreeMap::from([("author".to_owned(), "ada".to_owned())]);
    let written = machine.write_with(&given_file("").path, "with".into(), &metadata).await;
    written.map_err(|fault| format!("writing with metadata failed: {fault}"))?;
    let report = notebook.run_ok(suite.programs.file).await?;
    report.check(report.output.stdout == "with")?;
    let removed = Change { content: Content::Removed, ..given_file("") };
    // Removing a missing file is no error.
    for _ in 0..2 {
        machine.apply(std::slice::from_ref(&removed)).await.map_err(|fault| format!("removing failed: {fault}"))?;
    }
    notebook.run(suite.programs.file).await.raised("FileNotFoundError")
}

async fn kernels(suite: &Suite<'_>) -> Checked {
    let (_sandbox, machine) = open(suite).await?;
    let (mut one, mut two) = (Notebook::open(suite, &*machine).await?, Notebook::open(suite, &*machine).await?);
    one.run_ok(suite.programs.set).await?;
    two.is_unset().await?;
    one.run_ok(suite.programs.write).await?;
    let report = two.run_ok(suite.programs.read_made).await?;
    report.check(report.output.stdout == "made")
}

async fn lifetime(suite: &Suite<'_>) -> Checked {
    let (mut sandbox, machine) = open(suite).await?;
    let mut notebook = Notebook::open(suite, &*machine).await?;
    notebook.run_ok(suite.programs.set).await?;
    sandbox.maintain(Maintenance::Asleep).await.map_err(|fault| format!("putting it to sleep failed: {fault}"))?;
    let ensured = machine.ensure_lifetime(Duration::from_secs(60)).await;
    ensured.map_err(|fault| format!("ensuring its lifetime failed: {fault}"))?;
    notebook.is_set().await
}

async fn ends(suite: &Suite<'_>) -> Checked {
    let (sandbox, machine) = open(suite).await?;
    machine.ensure_lifetime(Duration::ZERO).await.map_err(|fault| format!("it is not alive: {fault}"))?;
    drop(sandbox);
    // A provider may take a moment to end it.
    for _ in 0..50 {
        if machine.ensure_lifetime(Duration::ZERO).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("it is still alive".to_owned())
}

async fn call(suite: &Suite<'_>) -> Checked {
    let Some(TestService { port, path, status }) = suite.programs.service else { return Ok(()) };
    let (_sandbox, machine) = open(suite).await?;
    let request = Request::get(path).body(Bytes::new()).map_err(|error| error.to_string())?;
    let response = machine.call(port, request).await.map_err(|fault| format!("the call failed: {fault}"))?;
    if response.status() == status { Ok(()) } else { Err(format!("the service answered {}", response.status())) }
}
