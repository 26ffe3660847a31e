//! Programs of each language.

use std::time::Duration;

use switchtower_contract::{Exit, Language, Program};

use crate::harness::{machines, run};

const WALL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_each_language_print_and_read() {
    let Some(machines) = machines().await else { return };
    println!("{:?} {:#?}", machines.versions(), machines.layers());
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
    ] {
        let program = Program::new(language, source).with_stdin("Alice\n");
        let (outcome, output) = run(&program, WALL).await.unwrap();
        assert_eq!(output.stdout, "Hello, Alice\n", "{language}: {outcome:?} {output:?}");
        assert_eq!(outcome.unwrap().exit, Exit::Finished(3), "{language}");
    }
}
