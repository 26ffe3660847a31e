# Looks for variables of the server.
# prints: 0
env
cat /proc/*/environ 2>/dev/null | tr '\0' '\n' | grep -c CARGO_
cat /proc/*/cmdline 2>/dev/null | tr '\0' '\n' | grep -c machines-
true
