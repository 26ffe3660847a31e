# Looks for /sys.
attempt entries bash -c 'ls -A /sys | grep -v "^fs$" | grep -q .'
attempt groups bash -c 'find /sys -name cgroup.procs | grep -q .'
attempt uevent bash -c 'find /sys -name uevent_helper | grep -q .'
