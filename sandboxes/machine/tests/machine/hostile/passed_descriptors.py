# Keeps descriptors alive in a socket that nobody reads.
# prints: held
# gvisor: the memory of the machine limits them
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.setblocking(False)
count = 0
try:
    while count < 100000:
        socket.send_fds(one, [b"x"], [one.fileno()] * 200)
        count += 200
except OSError:
    pass
print("held" if count < 100000 else "ESCAPED")
