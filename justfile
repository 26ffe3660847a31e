# Runs the checks of CI.
check:
    .ci/run

# Checks licences, advisories and sources of dependencies. Requires cargo-deny.
deny:
    cargo deny check

# Runs the benchmarks. Use an idle machine.
bench:
    cargo bench
