# Makes a sandbox's view of the files, says so, and stays as its first process: when this ends, all others in it end.
# $1: the folder that is the sandbox's root. $2: the interpreter that must be there.
cd "$1" || exit 1
read -r pid rest < /proc/self/stat
for own in etc run; do
    # Links as they are, since they may be relative; the rest through the machine's own folder.
    find "/$own" -mindepth 1 -maxdepth 1 -type l -exec cp -P -t "$own" {} + 2>/dev/null
    (cd "$own" && mount --rbind "/$own" .host && ln -s .host/* . 2>/dev/null)
done
for home in /home/*; do
    [ -d "$home" ] && [ "$home" != /home/user ] && mkdir -p "home/${home##*/}" && mount --rbind "$home" "home/${home##*/}"
done
mount --rbind etc /etc && mount --rbind run /run && mount --bind var/tmp /var/tmp && mount --rbind home /home || exit 1
# Last: the root itself is usually in there.
mount --bind tmp /tmp || exit 1
# Where this is not allowed, the machine's processes are seen, and cannot be signalled.
mount -t proc proc /proc 2>/dev/null
[ -x "$2" ] && cd /home/user || exit 1
echo "$pid"
exec >/dev/null
# The wait also reaps what programs leave behind.
sleep infinity &
wait
