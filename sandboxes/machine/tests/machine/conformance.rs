//! Every runtime keeps the promises of a backend.

use switchtower_contract::Backend;
use switchtower_contract::conformance::{PYTHON, TestPrograms, TestService, run_kernel_suite, run_suite};

use crate::harness::all_runtimes;

#[tokio::test(flavor = "multi_thread")]
async fn machines_keep_the_promises_for_programs_kernels_and_machines() {
    for tested in all_runtimes().await {
        let service = TestService { port: 49983, path: "/health", status: 204 };
        let programs = TestPrograms { service: Some(service), tolerance: std::time::Duration::from_secs(4), ..PYTHON };
        if !tested.machines.offer().languages.has(programs.language) {
            eprintln!("skipped: {} machines have no Python", tested.runtime);
            continue;
        }
        for report in
            [run_suite(&*tested.machines, &programs).await, run_kernel_suite(&*tested.machines, &programs).await]
        {
            println!("{}: {report}", tested.runtime);
            assert_eq!(report.verdict(), Ok(()), "{}", tested.runtime);
        }
    }
}
