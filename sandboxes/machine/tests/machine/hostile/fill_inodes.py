# Makes empty files until it cannot.
# prints: stopped True True
os.mkdir("/tmp/many")
count = 0
try:
    while True:
        os.close(os.open(f"/tmp/many/{count}", os.O_CREAT))
        count += 1
except OSError as error:
    print("stopped", error.errno == errno.ENOSPC, count <= 20000)
