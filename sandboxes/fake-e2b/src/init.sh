# The first process of a sandbox: makes its root, mounts its folders, prints its process number, and waits. When it ends, all others
# in its namespaces end.
# $1: the folder that is the sandbox's root. $2: the interpreter, which must be reachable afterwards.
read -r pid rest < /proc/self/stat
mount --rbind "$1" "$1" && cd "$1" || exit 1
# The machine's own folders, except those that the sandbox has itself.
for path in /* /.[!.]*; do
    own=${path#/}
    if [ -L "$path" ]; then
        cp -P "$path" . 2>/dev/null
    elif [ ! -d "$path" ] || [ "$own" = tmp ] || [ "$own" = proc ]; then
        :
    elif [ "$own" = etc ] || [ "$own" = run ] || [ "$own" = var ]; then
        # Links are copied, since they may be relative; the rest is reached through a mount of the machine's own folder.
        find "/$own" -mindepth 1 -maxdepth 1 -type l -exec cp -P -t "$own" {} + 2>/dev/null
        (cd "$own" && mount --rbind "/$own" .host && ln -s .host/* . 2>/dev/null)
    elif [ "$own" = home ]; then
        for home in /home/*; do
            [ -d "$home" ] && [ "$home" != /home/user ] && mkdir -p "home/${home##*/}" && mount --rbind "$home" "home/${home##*/}"
        done
    else
        mkdir -p "$own" && mount --rbind "$path" "$own"
    fi
done
mkdir -p proc .machine && pivot_root . .machine || exit 1
cd /
# Where this is not allowed, programs see the machine's processes and cannot signal them.
mount -t proc proc /proc 2>/dev/null || mount --rbind /.machine/proc /proc
umount -l /.machine && rmdir /.machine
[ -x "$2" ] && cd /home/user || exit 1
echo "$pid"
exec >/dev/null
# Waiting also reaps the processes that programs leave behind. The one that is waited for ends with them when all are killed.
while :; do
    sleep infinity &
    wait
done
