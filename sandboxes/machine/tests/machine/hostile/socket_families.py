# Sockets of other families.
for family in range(3, 47):
    if family in (socket.AF_INET6, socket.AF_NETLINK):
        continue
    for kind in (1, 2, 3, 5):
        attempt(f"family {family} {kind}", lambda: call(41, family, kind, 0))
        attempt(f"pair {family} {kind}", lambda: call(53, family, kind, 0, ctypes.create_string_buffer(8)))
for protocol in range(1, 23):
    attempt(f"netlink {protocol}", lambda: call(41, socket.AF_NETLINK, 3, protocol))
