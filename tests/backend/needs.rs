//! A program that this tier cannot run is reported as a need and never answered wrongly.

use switchtower_contract::{Exit, Fault, Need};

use super::harness::test_program;

/// Programs, each with the kind of its need and with its exception if there is no other tier.
const NEEDS: [(&str, &str, &str); 19] = [
    ("import numpy", "module", "ModuleNotFoundError"),
    ("from pandas import DataFrame", "module", "ModuleNotFoundError"),
    ("print(open('/etc/passwd').read())", "files", "FileNotFoundError"),
    ("import os; os.listdir('/usr')", "files", "FileNotFoundError"),
    ("import pathlib; pathlib.Path('/root/.ssh/id_rsa').read_text()", "files", "FileNotFoundError"),
    ("open('/etc/motd', 'w')", "files", "PermissionError"),
    ("import socket; socket.create_connection(('192.0.2.1', 80))", "network", "OSError"),
    ("import socket; socket.gethostbyname('example.org')", "network", "gaierror"),
    ("import urllib.request; urllib.request.urlopen('https://example.org')", "network", "URLError"),
    ("import http.client; http.client.HTTPConnection('example.org').request('GET', '/')", "network", "gaierror"),
    ("import asyncio; asyncio.run(asyncio.open_connection('192.0.2.1', 80))", "network", "OSError"),
    ("import subprocess; subprocess.run(['ls'])", "process", "FileNotFoundError"),
    ("import subprocess; subprocess.check_output('id', shell=True)", "process", "FileNotFoundError"),
    ("import os; os.system('id')", "process", "PermissionError"),
    ("import os; os.fork()", "process", "PermissionError"),
    ("import threading; threading.Thread(target=print).start()", "threads", "RuntimeError"),
    (
        "from concurrent.futures import ThreadPoolExecutor as P\nwith P() as p: print(list(p.map(abs, [1])))",
        "threads",
        "RuntimeError",
    ),
    ("import multiprocessing as m; m.Process(target=print).start()", "process", "PermissionError"),
    ("import multiprocessing as m; print(m.Pool(2).map(abs, [1]))", "process", "PermissionError"),
];

#[test]
fn a_need_escalates_if_another_tier_is_available() {
    for (source, kind, _) in NEEDS {
        let ran = test_program(source).on_need().in_worker();
        let Err(Fault::Unsupported(need)) = &ran.ended else { panic!("{source}: {ran:#?}") };
        assert_eq!(need.kind(), kind, "{source}: {need}");
        assert_eq!(ran.output.stdout, "", "{source}");
    }
}

#[test]
fn without_another_tier_a_program_gets_its_own_exception_and_the_need_is_reported() {
    for (source, kind, exception) in NEEDS {
        let ran = test_program(source).in_worker();
        assert_eq!((ran.exit(), ran.raised()), (Exit::Raised, exception), "{source}: {ran:#?}");
        assert_eq!(ran.outcome().unmet_need.as_ref().map(Need::kind), Some(kind), "{source}");
    }
}

#[test]
fn a_need_has_its_detail() {
    let need = |source: &str| match test_program(source).on_need().in_worker().ended {
        Err(Fault::Unsupported(need)) => need.to_string(),
        ended => panic!("{ended:?}"),
    };
    insta::assert_snapshot!(need("import sklearn.linear_model"), @"the module sklearn");
    insta::assert_snapshot!(need("open('/data/table.csv')"), @"files outside its memory (/data/table.csv)");
    insta::assert_snapshot!(need("import urllib.request as u; u.urlopen('https://example.org/x')"), @"the network (example.org)");
    insta::assert_snapshot!(need("import subprocess; subprocess.run(['git', 'status'])"), @"other processes (git status)");
    insta::assert_snapshot!(need("import threading; threading.Thread().start()"), @"threads");
}

#[test]
fn what_is_on_every_machine_is_listed_without_a_need() {
    for source in [
        "import os; print(sorted(os.listdir('/')))",
        "import os; print([entry.name for entry in os.scandir('/home')])",
        "import pathlib; print(sorted(pathlib.Path('/').iterdir()))",
        "import os; print(os.path.isdir('/'), os.path.isdir('/home'), os.stat('/').st_mode > 0)",
        "import os; print(next(os.walk('/')))",
        "import os; os.chdir('/'); print(os.getcwd(), os.listdir('.'))",
    ] {
        let ran = test_program(source).on_need().in_worker();
        assert_eq!((ran.exit(), &ran.outcome().unmet_need), (Exit::Finished(0), &None), "{source}");
    }
}

#[test]
fn an_error_that_every_tier_would_raise_is_not_a_need() {
    for source in [
        "open('missing.txt')",
        "open('/tmp/missing.txt')",
        "import os; os.rmdir('nothing')",
        "open('/tmp')",
        "1 / 0",
        "import json; json.loads('')",
    ] {
        let ran = test_program(source).on_need().in_worker();
        assert_eq!((ran.exit(), &ran.outcome().unmet_need), (Exit::Raised, &None), "{source}");
    }
}
