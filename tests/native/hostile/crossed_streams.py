# Turns its streams into one another and the channel for results.
import os, sys
for _ in range(3):
    print("one", flush=True)
os.dup2(3, 1)
print("over the channel", flush=True)
os.dup2(2, 3)
os.close(2)
sys.stderr.write("nowhere\n")
'two'
