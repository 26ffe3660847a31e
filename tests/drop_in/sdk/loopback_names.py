"""Resolves names below `localhost` as this machine, and fails where another name is looked up.

That such names are this machine (RFC 6761) is not known to every resolver.
"""

import socket

looked_up = set()
resolve = socket.getaddrinfo


def resolve_here(host, *arguments, **named):
    name = host.decode() if isinstance(host, bytes) else host
    assert name == "localhost" or name.endswith(".localhost"), f"{name} was looked up"
    looked_up.add(name)
    return resolve("127.0.0.1", *arguments, **named)


socket.getaddrinfo = resolve_here
