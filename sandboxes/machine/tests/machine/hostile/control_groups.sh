# Leaves its control group.
cut -d: -f3 /proc/self/cgroup | sort -u
attempt others bash -c 'cut -d: -f3 /proc/self/cgroup | grep -qv "^/$"'
mkdir -p /tmp/c
for kind in memory rdma pids devices; do attempt "$kind" mount -t cgroup -o $kind cgroup /tmp/c; done
attempt agent bash -c 'find / -xdev -name release_agent 2>/dev/null | grep -q .'
attempt procs bash -c 'find / -name cgroup.procs 2>/dev/null | grep -q .'
