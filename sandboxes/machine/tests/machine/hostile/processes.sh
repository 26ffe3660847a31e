# Sees processes of others.
# prints: held
count=$(ls /proc | grep -c '^[0-9]')
test "$count" -lt 10 && echo held
attempt launcher bash -c 'cat /proc/*/cmdline | tr "\0" " " | grep -q "[i]nit launch"'
