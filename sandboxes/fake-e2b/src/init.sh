# The first process of a sandbox: mounts its folders, prints its process number, and waits. When it ends, all others in its
# namespaces end.
# $1: the folder that is the sandbox's root. $2: the interpreter, which must be reachable afterwards.
cd "$1" || exit 1
read -r pid rest < /proc/self/stat
for own in etc run; do
    # Links are copied, since they may be relative; the rest is reached through a mount of the machine's own folder.
    find "/$own" -mindepth 1 -maxdepth 1 -type l -exec cp -P -t "$own" {} + 2>/dev/null
    (cd "$own" && mount --rbind "/$own" .host && ln -s .host/* . 2>/dev/null)
done
for home in /home/*; do
    [ -d "$home" ] && [ "$home" != /home/user ] && mkdir -p "home/${home##*/}" && mount --rbind "$home" "home/${home##*/}"
done
mount --rbind etc /etc && mount --rbind run /run && mount --bind var/tmp /var/tmp && mount --rbind home /home || exit 1
# Last: the root itself is usually below it.
mount --bind tmp /tmp || exit 1
# Where this is not allowed, programs see the machine's processes and cannot signal them.
mount -t proc proc /proc 2>/dev/null
[ -x "$2" ] && cd /home/user || exit 1
echo "$pid"
exec >/dev/null
# Waiting also reaps the processes that programs leave behind.
sleep infinity &
wait
