# Fills /dev/shm, which counts as files.
# prints: held
head -c 2G /dev/zero > /dev/shm/large 2>/dev/null
test "$(wc -c < /dev/shm/large)" -lt 300000000 && echo held
