# Writes until there is no space.
# prints: full
# prints: held
# prints: again
head -c 120M /dev/zero > "$HOME/first"
why=$(head -c 120M /dev/zero 2>&1 > "$HOME/large")
[[ $why == *"No space left"* ]] && echo full
test "$(wc -c < "$HOME/large")" -lt 100000000 && echo held
rm "$HOME/large" && echo again > "$HOME/small" && cat "$HOME/small"
