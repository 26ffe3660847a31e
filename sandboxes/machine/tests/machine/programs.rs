//! Programs of each language.

use std::time::Duration;

use switchtower_contract::{Backend, Exit, File, Language, Program};

use crate::harness::{built_in, each_way, run};

const WALL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_each_language_print_and_read() {
    for tested in each_way().await {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn typescript_has_its_own_modules_lines_and_await_in_a_machine() {
    let Some(tested) = built_in().await else { return };
    let file = |path: &str, text: &str| File { path: path.to_owned(), content: text.into() };
    let files = vec![
        file(
            "double.ts",
            "import { one } from './deep/one.js'\nexport function double(x: number): number { return x * 2 * one }",
        ),
        file("deep/one.ts", "export const one: number = 1"),
        file("pkg/index.ts", "export const name: string = 'pkg'"),
        file("old.cts", "const text: string = 'old'\nmodule.exports = { text }"),
    ];
    for (source, printed) in [
        ("import { double } from './double'\nconsole.log(double(4) as number)", "8\n"),
        ("import { double } from './double.ts'\nimport { name } from './pkg'\nconsole.log(double(4), name)", "8 pkg\n"),
        (
            "const { text } = require('./old.cts')\nconst n: number = await Promise.resolve(5)\nconsole.log(text, n)",
            "old 5\n",
        ),
        (
            "const { execSync } = require('child_process')\nfor (const x of [1]) { await 0 }\nconsole.log(`${execSync('echo sh')}`.trim())",
            "sh\n",
        ),
    ] {
        let program = Program { files: files.clone(), ..Program::new(Language::TypeScript, source) };
        let (outcome, output) = run(&tested.machines, &program, WALL).await;
        assert_eq!(output.stdout, printed, "{source}: {outcome:?} {output:?}");
    }
    let source = "interface A {\n  x: number\n}\n\n// a comment\n\nconst a: A = { x: 1 }\n\nthrow new Error('line 9')";
    let (_, output) = run(&tested.machines, &Program::new(Language::TypeScript, source), WALL).await;
    assert_eq!(output.error.unwrap().line, Some(9));
    // An error after an await is one of the program.
    let late = "await 0\n\nthrow new TypeError('late')";
    let (outcome, output) = run(&tested.machines, &Program::new(Language::JavaScript, late), WALL).await;
    assert_eq!((outcome.unwrap().exit, output.error.unwrap().line), (Exit::Raised, Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_a_signal_ends_has_the_exit_code_of_a_shell() {
    for tested in each_way().await {
        for (source, expected) in [
            ("int main(){volatile int*p=0;*p=1;}", Exit::Finished(128 + 11)),
            ("#include <stdlib.h>\nint main(){abort();}", Exit::Finished(128 + 6)),
            ("#include <signal.h>\nint main(){raise(SIGKILL);}", Exit::Killed),
        ] {
            let (outcome, output) = run(&tested.machines, &Program::new(Language::C, source), WALL).await;
            assert_eq!(outcome.unwrap().exit, expected, "{source}: {output:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_the_time_of_its_compilation_is_compiled_each_time() {
    let Some(tested) = built_in().await else { return };
    let source = "#include <stdio.h>\nint main(){puts(__TIME__);return 0;}";
    let mut printed = std::collections::BTreeSet::new();
    while printed.len() < 2 {
        let (_, output) = run(&tested.machines, &Program::new(Language::C, source), WALL).await;
        printed.insert(output.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_a_program_that_has_ended_is_in_its_usage() {
    for tested in each_way().await {
        let takes = "#include <stdlib.h>\nint main(){volatile char*p=malloc(200<<20);for(int i=0;i<200<<20;i+=4096)p[i]=1;return 0;}";
        let (outcome, _) = run(&tested.machines, &Program::new(Language::C, takes), WALL).await;
        let usage = outcome.unwrap().usage;
        if tested.machines.layers().iter().any(|layer| layer.name == "control group" && layer.status.is_ok()) {
            assert!(usage.memory >= 200 << 20, "{usage:?}");
        }
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
    for tested in each_way().await {
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
}
