# Many processes take memory together.
# prints: held
# gvisor: the whole machine ends
for number in 1 2 3 4 5 6 7 8 9 10; do
    python3 -c 'held = bytearray(60 << 20); import time; time.sleep(2)' &
    jobs="$jobs $!"
done
killed=0
for job in $jobs; do wait "$job" 2>/dev/null || killed=$((killed + 1)); done
test "$killed" -ge 4 && echo held
