# Leaves processes in sessions of their own.
# prints: left
for number in 1 2 3; do setsid nohup sleep 71077 >/dev/null 2>&1 & done
echo left
