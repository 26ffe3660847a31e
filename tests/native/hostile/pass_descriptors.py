# Sends descriptors over the channel for results, until the reader has none left.
import array, os, socket
channel = socket.socket(fileno=3)
files = [os.open("/tmp/f%d" % n, os.O_CREAT | os.O_RDWR) for n in range(20)]
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
sent = 0
try:
    for _ in range(5000):
        channel.sendmsg([b""], rights) if sent % 2 else channel.sendmsg([b"\x00"], rights)
        sent += 1
except OSError as error:
    print("refused", sent > 0)
