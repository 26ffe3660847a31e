# Closes its streams and runs on.
for number in range(3):
    os.close(number)
time.sleep(0.5)
