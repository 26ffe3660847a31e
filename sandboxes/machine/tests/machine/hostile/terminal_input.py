# Writes to the input of a terminal.
import fcntl, pty, termios

leader, follower = pty.openpty()
attempt("TIOCSTI", lambda: fcntl.ioctl(follower, termios.TIOCSTI, b"x"))
attempt("TIOCSTI with high bits", lambda: call(16, follower, (1 << 32) | termios.TIOCSTI, ctypes.c_char_p(b"x")))
attempt("TIOCLINUX", lambda: fcntl.ioctl(follower, 0x541C, b"\x02"))
