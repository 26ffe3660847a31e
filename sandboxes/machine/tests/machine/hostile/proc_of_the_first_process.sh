# Reads and enters the first process by /proc.
# gvisor: other users read what the first process runs with, which is no secret
for file in environ maps mem auxv stack syscall pagemap io; do
    attempt "$file" bash -c "head -c 1 /proc/1/$file | grep -qa ."
done
for link in root cwd exe; do attempt "$link" readlink "/proc/1/$link"; done
attempt fd bash -c 'readlink /proc/1/fd/* | grep -q .'
attempt fdinfo bash -c 'cat /proc/1/fdinfo/* | grep -q .'
attempt map_files bash -c 'ls /proc/1/map_files | grep -q .'
attempt root_files ls /proc/1/root/
attempt ns readlink /proc/1/ns/mnt
attempt task bash -c 'head -c 1 /proc/1/task/1/mem | grep -qa .'
