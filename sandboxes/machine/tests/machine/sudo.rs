//! `sudo` in a machine.

use std::time::Duration;

use switchtower_contract::{Language, Program};

use crate::harness::{each_way, run};

const SCRIPT: &str = r#"
export FOO=1
cd /tmp
sudo sh -c 'echo "$(id -un) $HOME $PWD [$FOO] $SUDO_USER"'
sudo -nE sh -c 'echo "[$FOO]"'
sudo BAR=2 sh -c 'echo "[$BAR]"'
sudo -u user id -un
sudo -v && sudo -k && echo nothing to do
echo in | sudo cat
sudo sh -c 'echo err >&2; exit 7' 2>&1; echo "code $?"
sudo touch /root/made && sudo sh -c 'cd /root && echo *'
ls /root 2>/dev/null || echo private
sudo -u nobody-here true 2>&1 | head -c 5; echo
sudo /usr/bin/sudo id -un
sudo sh -c 'trap "echo got it; exit 3" TERM; echo ready; while :; do sleep 0.05; done' > /tmp/out &
until grep -qs ready /tmp/out; do sleep 0.05; done
kill -TERM $!; wait $!; echo "code $?"; tail -1 /tmp/out
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_user_of_a_machine_runs_commands_as_root_without_a_password() {
    let program = Program::new(Language::Bash, SCRIPT);
    for tested in each_way().await {
        let (outcome, output) = run(&tested.machines, &program, Duration::from_secs(60)).await;
        outcome.unwrap();
        let expected = "root /root /tmp [] user\n[1]\n[2]\nuser\nnothing to do\nin\nerr\ncode 7\nmade\nprivate\nsudo:\nroot\ncode 3\n\
                        got it\n";
        // Its standard error has what bash says about a job that was ended.
        // gVisor does not say who has connected.
        let caller = if tested.runtime == "runsc" { "[] root" } else { "[] user" };
        assert_eq!(output.stdout, expected.replace("[] user", caller));
    }
}
