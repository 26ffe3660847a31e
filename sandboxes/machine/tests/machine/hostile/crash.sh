# Crashes, which must leave no file.
# prints: held
cd /tmp
bash -c 'kill -SEGV $$' 2>/dev/null
ls -A /tmp | grep -q core && echo ESCAPED
ulimit -c unlimited 2>/dev/null
bash -c 'kill -SEGV $$' 2>/dev/null
ls -A /tmp | grep -q core && echo ESCAPED
echo held
