# Starts threads until it cannot.
# prints: stopped True
count = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        count += 1
except RuntimeError:
    print("stopped", count < 600)
sys.stdout.flush()
os._exit(0)
