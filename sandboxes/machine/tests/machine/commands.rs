//! Commands, files and ports of machines, as clients of E2B call them.

use std::time::Duration;

use http::Request;
use serde_json::json;
use switchtower_contract::{Cell, Events, Exit, Kernel, KernelOptions, Language, Limits};

use crate::harness::{all_runtimes, built_in, each_way};

#[tokio::test(flavor = "multi_thread")]
async fn a_written_file_is_read_again() {
    for tested in all_runtimes().await {
        let open = tested.open().await;
        assert_eq!(open.write("user", "/home/user/a.txt", "content").await, 200);
        let read = Request::get("/files?path=a.txt&username=user").body(bytes::Bytes::new()).unwrap();
        assert_eq!(open.files(read).await, (200, b"content".to_vec()), "{}", tested.runtime);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_has_its_short_name_too() {
    for tested in all_runtimes().await {
        let open = tested.open().await;
        let script = "printf '#!/usr/bin/env python\\nimport sys; print(sys.argv[1:])' > s.py; chmod +x s.py; ./s.py 'a b'; python s.py";
        assert_eq!(open.command("user", script).await.printed, "['a b']\n[]\n", "{}", tested.runtime);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_may_install_and_says_soon_that_it_reaches_nothing() {
    for tested in all_runtimes().await {
        let open = tested.open().await;
        if !open.command("user", "python3 -m pip --version").await.printed.starts_with("pip") {
            eprintln!("skipped: python3 has no pip");
            return;
        }
        let printed = open.command("user", "python3 -m pip install --no-cache-dir idna 2>&1").await.printed;
        assert!(printed.contains("No matching distribution found for idna"), "{}: {printed}", tested.runtime);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_a_terminal_sees_its_size_and_ends() {
    for tested in each_way().await {
        let open = tested.open().await;
        let process = json!({ "cmd": "/bin/bash", "args": ["-c", "test \"$(stty size)\" = '25 81'"] });
        let run =
            open.process("user", &json!({ "process": process, "pty": { "size": { "cols": 81, "rows": 25 } } })).await;
        assert_eq!(run.end, "exit status 0", "{}", tested.runtime);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_knows_of_processes_that_a_kernel_has_left_running_and_does_not_count_the_kernel() {
    for tested in all_runtimes().await {
        let machine = tested.open().await;
        let mut kernel = machine.machine.open_kernel(Language::Python, &KernelOptions::default()).await.unwrap();
        let run = async |kernel: &mut Box<dyn Kernel>, code: &str| {
            kernel.run_internal(code, Duration::from_secs(60)).await.unwrap();
            machine.machine.has_processes().await.unwrap()
        };
        assert!(!run(&mut kernel, "import subprocess; subprocess.run(['true'])").await, "{}", tested.runtime);
        assert!(
            run(&mut kernel, "import subprocess, sys; sys.left = subprocess.Popen(['sleep', '1000'])").await,
            "{}",
            tested.runtime
        );
        assert!(!run(&mut kernel, "import sys; sys.left.kill(); sys.left.wait()").await, "{}", tested.runtime);
        assert!(run(&mut kernel, "import os, time; os.fork() or time.sleep(1000)").await, "{}", tested.runtime);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_whose_program_broke_what_it_says_to_the_host_ends_with_the_cell() {
    let Some(tested) = built_in().await else { return };
    let machine = tested.open().await;
    let mut kernel = machine.machine.open_kernel(Language::Python, &KernelOptions::default()).await.unwrap();
    let run = async |kernel: &mut Box<dyn Kernel>, source: &str| {
        let cell = Cell { source: source.to_owned(), number: 1, ..Cell::default() };
        let (events, _from) = Events::channel();
        let ran = kernel.run(&cell, &Limits::default(), &events).await.unwrap();
        (ran.outcome.exit, ran.alive)
    };
    assert_eq!(run(&mut kernel, "x = 1").await, (Exit::Finished(0), true));
    let disturb = "import os, stat\nfor n in range(1000, 1010):\n    try:\n        if stat.S_ISSOCK(os.fstat(n).st_mode): \
                   os.write(n, b'no message\\n')\n    except OSError: pass";
    assert_eq!(run(&mut kernel, disturb).await, (Exit::Killed, false));
    // Code of Switchtower's own that ends the process leaves no report: the next cell brings it.
    assert_eq!(run(&mut kernel, "x = 1").await, (Exit::Finished(0), true));
    kernel.run_internal("import os\nos._exit(1)", Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(run(&mut kernel, "x").await, (Exit::Killed, false));
    assert_eq!(run(&mut kernel, "x = 1").await, (Exit::Finished(0), true));
}
