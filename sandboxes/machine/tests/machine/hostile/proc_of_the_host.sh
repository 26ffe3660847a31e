# Reads what /proc knows of the host.
for file in kcore keys key-users kallsyms timer_list sched_debug kmsg kpageflags kpagecount vmallocinfo slabinfo; do
    attempt "$file" bash -c "head -c 1000 /proc/$file | grep -q '[^0 ]'"
done
attempt acpi bash -c 'ls -A /proc/acpi | grep -q .'
attempt bus bash -c 'ls -A /proc/bus | grep -q .'
attempt scsi bash -c 'ls -A /proc/scsi | grep -q .'
attempt kmsg dmesg
