# Prints a hundred megabytes.
# ends: any
head -c 20M /dev/zero | tr '\0' 'y'
head -c 1M /dev/urandom >&2
