# Mounts what a container must not.
mkdir -p /tmp/m
attempt tmpfs mount -t tmpfs none /tmp/m
attempt proc mount -t proc none /tmp/m
attempt sysfs mount -t sysfs none /tmp/m
attempt cgroup mount -t cgroup -o memory none /tmp/m
attempt cgroup2 mount -t cgroup2 none /tmp/m
attempt debugfs mount -t debugfs none /tmp/m
attempt bind mount --bind / /tmp/m
attempt overlay mount -t overlay -o lowerdir=/usr,upperdir=/tmp/m,workdir=/tmp none /tmp/m
attempt remount mount -o remount,rw,bind /run/switchtower
attempt remount_usr mount -o remount,suid,dev /usr
attempt unmount umount -l /proc
attempt unmount_mask umount /proc/kcore
attempt unmount_init umount -l /run/switchtower
attempt pivot pivot_root / /tmp/m
