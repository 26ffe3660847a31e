"""What hashlib has only with OpenSSL, in terms of what it has without."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any


def pbkdf2_hmac(hash_name: Any, password: Any, salt: Any, iterations: Any, dklen: Any = None) -> Any:
    """Password based key derivation function 2 (PKCS #5 v2.0, RFC 8018) with HMAC as its pseudorandom function."""
    if iterations < 1:
        raise ValueError("iteration value must be greater than 0.")
    if dklen is not None and dklen < 1:
        raise ValueError("key length must be greater than 0.")
    inner, outer = hashlib.new(hash_name), hashlib.new(hash_name)
    key = bytes(password)
    if len(key) > inner.block_size:
        key = hashlib.new(hash_name, key).digest()
    key = key.ljust(inner.block_size, b"\0")
    inner.update(key.translate(hmac.trans_36))
    outer.update(key.translate(hmac.trans_5C))

    def digest(message: Any) -> Any:
        first, second = inner.copy(), outer.copy()
        first.update(message)
        second.update(first.digest())
        return second.digest()

    length = dklen or inner.digest_size
    derived, block = b"", 0
    while len(derived) < length:
        block += 1
        last = digest(bytes(salt) + block.to_bytes(4, "big"))
        mixed = int.from_bytes(last, "big")
        for _ in range(iterations - 1):
            last = digest(last)
            mixed ^= int.from_bytes(last, "big")
        derived += mixed.to_bytes(inner.digest_size, "big")
    return derived[:length]


def install() -> None:
    if not hasattr(hashlib, "pbkdf2_hmac"):
        hashlib.pbkdf2_hmac = pbkdf2_hmac
