# Writes settings of the kernel.
# gvisor: they are those of its own kernel
set_to() { echo "$2" > "$1"; }
for file in sysrq-trigger; do attempt "$file" set_to "/proc/$file" b; done
for file in kernel/core_pattern kernel/modprobe kernel/hostname kernel/panic kernel/sysrq kernel/ns_last_pid \
    kernel/shmmax kernel/msgmax kernel/sem vm/overcommit_memory vm/drop_caches fs/file-max fs/protected_symlinks \
    fs/binfmt_misc/register net/ipv4/ip_forward net/ipv4/conf/all/forwarding net/core/somaxconn \
    net/ipv4/ip_unprivileged_port_start user/max_user_namespaces fs/inotify/max_user_watches fs/mqueue/queues_max; do
    attempt "$file" set_to "/proc/sys/$file" 1
done
attempt oom_own set_to /proc/self/oom_score_adj -1000
attempt uid_map set_to /proc/self/uid_map "0 0 1"
attempt setgroups set_to /proc/self/setgroups deny
attempt attribute set_to /proc/1/attr/current x
attempt irq set_to /proc/irq/default_smp_affinity 1
