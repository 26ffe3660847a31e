# Forks for ever in the background, in sessions of its own.
# prints: left
# then: wedged
cat > /tmp/bomb <<'END'
while :; do setsid /bin/bash /tmp/bomb & setsid /bin/bash /tmp/bomb & wait; done
END
setsid bash /tmp/bomb >/dev/null 2>&1 &
sleep 1
echo left
