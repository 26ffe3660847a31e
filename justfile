# What CI runs.
check:
    .ci/run

# Licences, advisories, sources. Needs cargo-deny.
deny:
    cargo deny check

# Benchmarks, on a quiet machine.
bench:
    cargo bench
