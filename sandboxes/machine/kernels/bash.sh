# The kernel for bash of a machine: `bash bash.sh`, with the socket to the host as descriptor 3. A JSON object a line, in
# both directions. It needs no other program.
#
# Cells are evaluated by one interactive shell, as with E2B: a failed command does not end it, and an interrupt ends the
# command line that runs and nothing else. That shell reads its command lines from a pipe that it writes to itself. Each
# is the same one, a turn: it writes the next one, takes a message, runs the cell and reports. So no loop and no function is
# around a cell, which `break`, `return` and `declare` would see.
#
# What cells write to either stream is output, also with E2B. A failed cell has an exception without a name, whose value
# is the exit code. `exit` ends the shell, and the next cell gets a new one.
#
# Of JSON this reads what the host writes: strings with the escapes \" \\ \/ \b \f \n \r \t \u00XX, objects of objects, null
# and numbers. Text has no NUL.

if [[ $- != *i* ]]; then
    # What descriptors are called from here on. Those from 10 on are the shell's to choose.
    exec {SWITCHTOWER_SOCKET}<&3 {SWITCHTOWER_ERRORS}>&2
    export SWITCHTOWER_SOCKET SWITCHTOWER_ERRORS SWITCHTOWER_KERNEL=$BASH_SOURCE
    # A pipe of which this process has both ends. The interactive shell complains that it has no terminal.
    exec "$BASH" --noprofile --rcfile "$BASH_SOURCE" --noediting -i 0<> <(:) 2>/dev/null 3>&-
fi

__switchtower_socket=$SWITCHTOWER_SOCKET __switchtower_errors=$SWITCHTOWER_ERRORS __switchtower_kernel=$SWITCHTOWER_KERNEL
unset SWITCHTOWER_SOCKET SWITCHTOWER_ERRORS SWITCHTOWER_KERNEL HISTFILE MAILCHECK PROMPT_COMMAND
PS1='' PS2=''
set +o history +o histexpand
trap '' INT
exec 2>&1

# Sends a message. The arguments are those of printf.
__switchtower_send() {
    builtin printf "$@" 1>&"$__switchtower_socket" || builtin kill -KILL "$$"
}

# Decodes `part`. The host writes text as it is, another might escape each character beyond ASCII.
__switchtower_decode() {
    local high low
    if [[ $part == *\\u* ]]; then
        while [[ $part =~ \\u([dD][89aAbB]..)\\u([dD][c-fC-F]..) ]]; do
            high=$((16#${BASH_REMATCH[1]})) low=$((16#${BASH_REMATCH[2]}))
            builtin printf -v high '\\U%08x' $((0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff)))
            part=${part/"${BASH_REMATCH[0]}"/$high}
        done
        local LC_ALL=C.UTF-8
    fi
    builtin printf -v part %b "$part"
}

# Reads a message into variables: op, source, stdin, folder, and the environments as lists of names and values.
__switchtower_receive() {
    # Bytes are enough, and faster by far.
    local IFS='"' LC_ALL=C line parts part name='' path='' at character flags=$-
    if ! IFS= builtin read -r -u "$__switchtower_socket" line; then
        builtin trap - EXIT
        builtin exit 0
    fi
    # After this, quotes are only around strings.
    line=${line//\\\\/\\0134}
    line=${line//\\\"/\\0042}
    line=${line//\\\//\/}
    line=${line//\\u0000/}
    builtin set -f
    parts=($line)
    [[ $flags == *f* ]] || builtin set +f
    __switchtower_op='' __switchtower_source='' __switchtower_folder='' __switchtower_cell_env=() __switchtower_env=()
    builtin unset __switchtower_stdin
    for ((at = 0; at < ${#parts[@]}; at++)); do
        part=${parts[at]}
        if ((at % 2 == 0)); then
            while [[ -n $part ]]; do
                character=${part:0:1} part=${part:1}
                case $character in
                '{') path+=$name. ;;
                '}') path=${path%.} path=${path%"${path##*.}"} ;;
                esac
            done
        else
            __switchtower_decode
            if [[ ${parts[at + 1]} == :* ]]; then
                name=$part
                continue
            fi
            case $path$name in
            .op) __switchtower_op=$part ;;
            .source) __switchtower_source=$part ;;
            .stdin) __switchtower_stdin=$part ;;
            .options.folder) __switchtower_folder=$part ;;
            .env.*) __switchtower_cell_env+=("$name" "$part") ;;
            .options.env.*) __switchtower_env+=("$name" "$part") ;;
            esac
        fi
    done
}

# Exports pairs of names and values. What a shell cannot name is left out.
__switchtower_export() {
    while (($#)); do
        if [[ $1 =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then
            builtin export "$1=$2" 2>/dev/null
        fi
        builtin shift 2
    done
}

# Sets what a cell is given, and remembers what that replaces.
__switchtower_begin() {
    __switchtower_export "${__switchtower_env[@]}"
    if [[ -n $__switchtower_folder ]]; then
        [[ -d $__switchtower_folder ]] || command mkdir -p -- "$__switchtower_folder"
        builtin cd -- "$__switchtower_folder" 2>/dev/null ||
            builtin echo "switchtower: no working directory $__switchtower_folder"
    fi
    local at name
    __switchtower_replaced=() __switchtower_added=()
    for ((at = 0; at < ${#__switchtower_cell_env[@]}; at += 2)); do
        name=${__switchtower_cell_env[at]}
        [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || continue
        if [[ -n ${!name+set} ]]; then
            __switchtower_replaced+=("$name" "${!name}")
        else
            __switchtower_added+=("$name")
        fi
    done
    __switchtower_export "${__switchtower_cell_env[@]}"
    if [[ -n ${__switchtower_stdin+set} ]]; then
        exec {__switchtower_input}< <(builtin printf %s "$__switchtower_stdin")
    else
        exec {__switchtower_input}</dev/null
    fi
}

# Reports the end of the cell, whose status is the argument, and takes back what it was given.
__switchtower_end() {
    __switchtower_is_running=
    exec {__switchtower_input}<&-
    __switchtower_export "${__switchtower_replaced[@]}"
    ((${#__switchtower_added[@]})) && builtin unset "${__switchtower_added[@]}"
    if [[ $1 == 0 || $__switchtower_op == program ]]; then
        __switchtower_send '{"ended":{"exit":"finished","code":%d}}\n' "$1"
    else
        __switchtower_send '{"ended":{"exit":"raised","name":"","value":"%d","traceback":"","line":null}}\n' "$1"
    fi
}

# Runs a program as `bash main.sh` would be.
__switchtower_program() {
    local file=$PWD/main.sh
    if [[ -e $file ]] || ! builtin printf %s "$__switchtower_source" 2>/dev/null >"$file"; then
        file=/tmp/main-$$.sh
        builtin printf %s "$__switchtower_source" >"$file"
    fi
    "$BASH" "$file" 2>&"$__switchtower_errors" {__switchtower_socket}>&- {__switchtower_errors}>&-
    local status=$?
    command rm -f -- "$file"
    builtin return $status
}

# What the shell does where a cell ends it.
__switchtower_restart() {
    # What is ignored now could never be let through again.
    builtin trap : INT
    builtin cd -- "$__switchtower_start" 2>/dev/null
    builtin echo 'Restarting Bash'
    exec env -i "${__switchtower_first[@]}" SWITCHTOWER_RESTARTS=yes "$BASH" "$__switchtower_kernel" \
        3<&"$__switchtower_socket" 2>&"$__switchtower_errors" {__switchtower_socket}>&- {__switchtower_errors}>&-
}

__switchtower_line='builtin eval "$__switchtower_turn"'
__switchtower_turn='{
    builtin trap "" INT
    builtin printf "%s\n" "$__switchtower_line" >&0
    [[ -z $__switchtower_is_running ]] || { __switchtower_flags=$-; builtin set +eux; __switchtower_end 130; }
    __switchtower_receive
    __switchtower_begin
    __switchtower_is_running=yes
    for __switchtower_flag in x f v u e; do
        [[ $__switchtower_flags != *$__switchtower_flag* ]] ||
            __switchtower_source="builtin set -$__switchtower_flag; $__switchtower_source"
    done
    builtin eval "${__switchtower_interrupt:-builtin trap - INT}"
} 2>/dev/null
if [[ $__switchtower_op == program ]]; then
    __switchtower_program <&$__switchtower_input
else
    builtin eval "$__switchtower_source" <&$__switchtower_input {__switchtower_socket}>&- {__switchtower_input}<&- {__switchtower_errors}>&-
fi
{
    __switchtower_status=$? __switchtower_flags=$-
    builtin set +euxvf
    __switchtower_interrupt=$(builtin trap -p INT)
    builtin trap "" INT
    __switchtower_end "$__switchtower_status"
} 2>/dev/null'

# The environment and the folder of the next shell, if this one ends.
__switchtower_start=$PWD __switchtower_first=() __switchtower_flags=
for __switchtower_flag in $(compgen -e); do
    [[ $__switchtower_flag == SWITCHTOWER_RESTARTS ]] || __switchtower_first+=("$__switchtower_flag=${!__switchtower_flag}")
done
trap __switchtower_restart EXIT
if [[ -n $SWITCHTOWER_RESTARTS ]]; then
    __switchtower_send '{"ended":{"exit":"finished","code":0}}\n'
else
    __switchtower_send '{"ready":true}\n'
fi
unset SWITCHTOWER_RESTARTS
printf '%s\n' "$__switchtower_line" >&0
