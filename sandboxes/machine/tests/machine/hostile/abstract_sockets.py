# Sockets without a file, which belong to a network.
# prints: 0
def reach(name, kind):
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.connect(name)

attempt("of the host", lambda: reach("\0" + os.environ["HOST_SOCKET"], socket.SOCK_STREAM))
attempt("of another machine", lambda: reach("\0neighbour", socket.SOCK_STREAM))
for path in ("/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/containerd/containerd.sock", "/run/systemd/private"):
    attempt(path, lambda: reach(path, socket.SOCK_STREAM))
print(sum(1 for line in open("/proc/net/unix") if "@" in line))
