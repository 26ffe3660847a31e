# Makes message queues until it cannot.
# prints: held
# gvisor: the memory of the machine limits them
rt = ctypes.CDLL("librt.so.1", use_errno=True)
count = 0
while count < 10000:
    if rt.mq_open(f"/q{count}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None) == -1:
        break
    count += 1
print("held" if count < 300 else "ESCAPED", count)
