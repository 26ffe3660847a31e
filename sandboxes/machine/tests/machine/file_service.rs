//! The file service against files that a program has prepared: it acts within the machine, and answers afterwards.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::harness::{OpenMachine, all_runtimes};

async fn get(open: &OpenMachine, path: &str) -> (u16, Vec<u8>) {
    let uri = format!("/files?path={path}&username=user");
    open.files(Request::get(uri).body(Bytes::new()).unwrap()).await
}

async fn rpc(open: &OpenMachine, method: &str, message: Value) -> (u16, String) {
    let request = Request::post(format!("/filesystem.Filesystem/{method}")).header("content-type", "application/json");
    let (status, body) = open.files(request.body(message.to_string().into()).unwrap()).await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_none_do_not_hold_the_file_service() {
    for tested in all_runtimes().await {
        let open = tested.open().await;
        let made = "mkfifo pipe; ln -s /dev/zero endless; ln -s loop loop; ln -s /proc/self/mem memory; ln -s /dev/tty terminal
                    ln -s /proc/1/mem init; ln -s /run/switchtower/init program; ln -s /proc/self/fd/3 socket; ln -s /dev/random r";
        assert!(open.command("user", made).await.end.contains("status 0"));
        for name in ["pipe", "loop", "memory", "terminal", "init", "socket"] {
            assert_ne!(get(&open, name).await.0, 0, "{name} is answered");
            let status = open.write("user", name, "x").await;
            assert_ne!(status, 0, "{name} is answered");
        }
        for name in ["endless", "r"] {
            assert!(get(&open, name).await.0 >= 400, "{name} is no file");
        }
        assert!(open.write("root", "/home/user/program", "x").await >= 400, "the first process's program is read-only");
        assert!(open.write("user", "/run/switchtower/x", "x").await >= 400);
        for path in ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/1/x"] {
            assert!(open.write("root", path, "x").await >= 400 || get(&open, path).await.1.is_empty(), "{path}");
        }
        // Endless sources of a joined file, up to the limit of the disk.
        let request = Request::post("/files/compose").header("content-type", "application/json");
        let sources = json!({ "source_paths": ["endless"], "destination": "whole", "username": "user" });
        let (status, _) = open.files(request.body(sources.to_string().into()).unwrap()).await;
        assert_ne!(status, 0);
        assert_eq!(open.write("user", "after", "x").await, 200, "{}", tested.runtime);
        assert!(open.answers().await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_and_wide_trees_and_bombs_stay_within_the_machines_limits() {
    for tested in all_runtimes().await {
        let open = tested.open().await;
        let deep = "import os\nfor _ in range(6000):\n    os.mkdir('d'); os.chdir('d')";
        let run = open.command("user", &format!("mkdir deep && cd deep && python3 -c \"{deep}\"")).await;
        assert_eq!(run.end, "exit status 0", "{run:?}");
        let wide = "mkdir wide && cd wide && seq 8000 | xargs touch";
        let run = open.command("user", wide).await;
        assert_eq!(run.end, "exit status 0", "{run:?}");
        for (path, depth) in [("/home/user/deep", 1_000_000), ("/home/user/wide", 10), ("/", 1_000_000)] {
            let (status, listed) = rpc(&open, "ListDir", json!({ "path": path, "depth": depth })).await;
            assert_ne!(status, 0, "{path} is answered: {}", listed.get(..500).unwrap_or(&listed));
        }
        for path in ["/home/user/deep", "/home/user/wide"] {
            let (status, said) = rpc(&open, "Remove", json!({ "path": path })).await;
            // More folders below each other than descriptors are refused.
            assert!(status == 200 || path.ends_with("deep") && status >= 400, "{path}: {status} {said}");
        }
        // 300 MB of zeros in a third of a megabyte.
        let bomb = open.command("user", "head -c 300M /dev/zero | gzip > bomb.gz; echo done").await;
        assert_eq!(bomb.printed, "done\n");
        let (_, packed) = get(&open, "bomb.gz").await;
        let request = Request::post("/files?path=bomb&username=user").header("content-encoding", "gzip");
        let request = request.header("content-type", "application/octet-stream").body(packed.into()).unwrap();
        let (status, said) = open.files(request).await;
        assert!(status >= 400, "{status} {}", String::from_utf8_lossy(&said));
        rpc(&open, "Remove", json!({ "path": "/home/user/bomb" })).await;
        assert_eq!(open.write("user", "after", "x").await, 200, "{}", tested.runtime);
        assert!(open.answers().await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_turn_while_files_are_written_lead_nowhere_outside() {
    for tested in all_runtimes().await {
        let open = tested.open().await;
        let turn = "mkdir mine; (while :; do ln -sfn /run/switchtower turning; ln -sfn mine turning; ln -sfn /proc/1 turning; \
                    done) > /dev/null 2>&1 & disown; echo turns";
        assert_eq!(open.command("user", turn).await.printed, "turns\n");
        for number in 0..200 {
            assert_ne!(open.write("user", "turning/init", format!("{number}")).await, 0);
        }
        // What has been written is in the machine; the program of the first process is what it was.
        assert_eq!(
            open.command("root", "cmp -n 4 /run/switchtower/init <(printf '\\177ELF') && echo kept").await.printed,
            "kept\n"
        );
        assert!(tested.open().await.answers().await.is_ok());
    }
}
