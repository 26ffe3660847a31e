//! Programs of each language.

use std::time::Duration;

use switchtower_contract::{Backend, Exit, Language, Program};

use crate::harness::{built_in, run};

const WALL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_each_language_print_and_read() {
    let Some(tested) = built_in().await else { return };
    for (language, source) in [
        (Language::Bash, "read name; echo Hello, $name; exit 3"),
        (
            Language::C,
            "#include <stdio.h>\nint main(){char n[9];scanf(\"%8s\",n);printf(\"Hello, %s\\n\",n);return 3;}",
        ),
        (
            Language::Cpp,
            "#include <iostream>\nint main(){std::string n;std::cin>>n;std::cout<<\"Hello, \"<<n<<std::endl;return 3;}",
        ),
        (Language::Python, "import sys\nprint('Hello,', input())\nsys.exit(3)"),
        (
            Language::JavaScript,
            "process.stdin.once('data', d => { console.log('Hello, ' + String(d).trim()); process.exit(3) })",
        ),
        (Language::JavaScript, "console.log(readline('Hello, ')); process.exit(readline() === null ? 3 : 1)"),
    ] {
        let program = Program::new(language, source).with_stdin("Alice\n");
        let (outcome, output) = run(&tested.machines, &program, WALL).await;
        assert_eq!(output.stdout, "Hello, Alice\n", "{language}: {outcome:?} {output:?}");
        assert_eq!(outcome.unwrap().exit, Exit::Finished(3), "{language}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_a_signal_ends_has_the_exit_code_of_a_shell() {
    let Some(tested) = built_in().await else { return };
    for (source, expected) in [
        ("int main(){volatile int*p=0;*p=1;}", Exit::Finished(128 + 11)),
        ("#include <stdlib.h>\nint main(){abort();}", Exit::Finished(128 + 6)),
        ("#include <signal.h>\nint main(){raise(SIGKILL);}", Exit::Killed),
    ] {
        let (outcome, output) = run(&tested.machines, &Program::new(Language::C, source), WALL).await;
        assert_eq!(outcome.unwrap().exit, expected, "{source}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_a_program_that_has_ended_is_in_its_usage() {
    let Some(tested) = built_in().await else { return };
    let takes = "#include <stdlib.h>\nint main(){volatile char*p=malloc(200<<20);for(int i=0;i<200<<20;i+=4096)p[i]=1;return 0;}";
    let (outcome, _) = run(&tested.machines, &Program::new(Language::C, takes), WALL).await;
    let usage = outcome.unwrap().usage;
    if tested.machines.layers().iter().any(|layer| layer.name == "control group" && layer.status.is_ok()) {
        assert!(usage.memory >= 200 << 20, "{usage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_modules_of_node_are_those_that_its_node_has() {
    let Some(tested) = built_in().await else { return };
    let languages = tested.machines.offer().languages;
    for module in ["fs", "zlib", "worker_threads", "trace_events"] {
        assert!(languages.has_module(Language::JavaScript, module), "{module}");
    }
    assert!(!languages.has_module(Language::JavaScript, "express"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_prints_while_it_reads_or_reads_nothing_ends() {
    let Some(tested) = built_in().await else { return };
    let large = "x".repeat(8 << 20);
    // Far more than all buffers on the way.
    let (outcome, output) =
        run(&tested.machines, &Program::new(Language::Bash, "cat | wc -c; cat /dev/null").with_stdin(&large), WALL)
            .await;
    assert_eq!((outcome.unwrap().exit, output.stdout.trim()), (Exit::Finished(0), "8388608"));
    let (outcome, _) = run(&tested.machines, &Program::new(Language::Bash, "cat").with_stdin(&large), WALL).await;
    assert_eq!(outcome.unwrap().exit, Exit::Finished(0));
    let unread = Program::new(Language::Bash, "sleep 600").with_stdin(&large);
    let (outcome, _) = run(&tested.machines, &unread, Duration::from_secs(1)).await;
    assert_eq!(outcome.unwrap().exit, Exit::TimedOut);
}
