"""Error numbers as Linux has them: programs print them, and WASI numbers its errors in another order."""

from __future__ import annotations

import errno
import os
from typing import Any

from .replacements import Replacements

_TEXTS = """
1 EPERM Operation not permitted|2 ENOENT No such file or directory|3 ESRCH No such process|4 EINTR Interrupted system call
5 EIO Input/output error|6 ENXIO No such device or address|7 E2BIG Argument list too long|8 ENOEXEC Exec format error
9 EBADF Bad file descriptor|10 ECHILD No child processes|11 EAGAIN Resource temporarily unavailable
12 ENOMEM Cannot allocate memory|13 EACCES Permission denied|14 EFAULT Bad address|16 EBUSY Device or resource busy
17 EEXIST File exists|18 EXDEV Invalid cross-device link|19 ENODEV No such device|20 ENOTDIR Not a directory
21 EISDIR Is a directory|22 EINVAL Invalid argument|23 ENFILE Too many open files in system|24 EMFILE Too many open files
25 ENOTTY Inappropriate ioctl for device|26 ETXTBSY Text file busy|27 EFBIG File too large|28 ENOSPC No space left on device
29 ESPIPE Illegal seek|30 EROFS Read-only file system|31 EMLINK Too many links|32 EPIPE Broken pipe
33 EDOM Numerical argument out of domain|34 ERANGE Numerical result out of range|35 EDEADLK Resource deadlock avoided
36 ENAMETOOLONG File name too long|37 ENOLCK No locks available|38 ENOSYS Function not implemented
39 ENOTEMPTY Directory not empty|40 ELOOP Too many levels of symbolic links|61 ENODATA No data available
71 EPROTO Protocol error|75 EOVERFLOW Value too large for defined data type|84 EILSEQ Invalid or incomplete multibyte or wide character
88 ENOTSOCK Socket operation on non-socket|89 EDESTADDRREQ Destination address required|90 EMSGSIZE Message too long
91 EPROTOTYPE Protocol wrong type for socket|92 ENOPROTOOPT Protocol not available|93 EPROTONOSUPPORT Protocol not supported
95 EOPNOTSUPP Operation not supported|97 EAFNOSUPPORT Address family not supported by protocol|98 EADDRINUSE Address already in use
99 EADDRNOTAVAIL Cannot assign requested address|100 ENETDOWN Network is down|101 ENETUNREACH Network is unreachable
103 ECONNABORTED Software caused connection abort|104 ECONNRESET Connection reset by peer|105 ENOBUFS No buffer space available
106 EISCONN Transport endpoint is already connected|107 ENOTCONN Transport endpoint is not connected
110 ETIMEDOUT Connection timed out|111 ECONNREFUSED Connection refused|113 EHOSTUNREACH No route to host
114 EALREADY Operation already in progress|115 EINPROGRESS Operation now in progress|116 ESTALE Stale file handle
122 EDQUOT Disk quota exceeded|125 ECANCELED Operation canceled
"""

TEXT: dict[int, str] = {}


def text(code: int) -> Any:
    """Returns the message of an error number."""
    return TEXT.get(code, f"Unknown error {code}")


def error(number: int, *names: Any) -> Any:
    """Returns a plain OSError. Its constructor would take Linux's number for one of WASI's, and choose a class by that."""
    made = OSError(text(number))
    made.args = (number, text(number))
    made.errno, made.strerror = made.args
    if names:
        made.filename = names[0]
    if len(names) > 1:
        made.filename2 = names[1]
    return made


def install(replacements: Replacements) -> None:
    errno.errorcode.clear()  # type: ignore[attr-defined]
    for entry in _TEXTS.replace("\n", "|").split("|"):
        if entry:
            number, name, message = entry.split(" ", 2)
            setattr(errno, name, int(number))
            errno.errorcode[int(number)] = name  # type: ignore[index]
            TEXT[int(number)] = message
    errno.EWOULDBLOCK, errno.ENOTSUP = errno.EAGAIN, errno.EOPNOTSUPP
    replacements.put(os, "strerror", text)
