# What all scripts here use.
# attempt NAME COMMAND...: does what must be refused.
attempt() {
    local name=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "ESCAPED $name"; else echo "refused $name"; fi
}
