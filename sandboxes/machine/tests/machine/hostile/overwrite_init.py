# Overwrites the program of the first process, which other machines run too.
# prints: held True True
# gvisor: a file system does not say that it is read-only
INIT = "/run/switchtower/init"
attempt("write", lambda: os.open(INIT, os.O_WRONLY))
attempt("truncate", lambda: os.truncate(INIT, 0))
attempt("unlink", lambda: os.unlink(INIT))
attempt("rename", lambda: os.rename(INIT, INIT + "x"))
attempt("chmod", lambda: os.chmod(INIT, 0o777))
attempt("chown", lambda: os.chown(INIT, 1000, 1000))
attempt("link", lambda: os.link(INIT, "/run/switchtower/x"))
attempt("new file", lambda: os.open("/run/switchtower/x", os.O_CREAT))
attempt("kernel", lambda: os.open("/run/switchtower/python/kernel.py", os.O_WRONLY))
attempt("folder", lambda: os.rename("/run/switchtower", "/run/other"))
attempt("remove folder", lambda: os.rmdir("/run/switchtower"))
attempt("by link of the first process", lambda: os.open("/proc/1/exe", os.O_WRONLY))
# As CVE-2019-5736: a program that runs as ours is opened for writing by its link, and again when it has ended. The same file
# is the first process of all machines, so that the kernel says first that it runs.
child = os.fork()
if child == 0:
    call(101, 0, 0, 0, 0)
    os.execv(INIT, [INIT, "serve"])
os.waitpid(child, 0)
link = os.open(f"/proc/{child}/exe", os.O_PATH)
attempt("by link", lambda: os.open(f"/proc/self/fd/{link}", os.O_WRONLY))
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
for _ in range(100):
    attempt("by link afterwards", lambda: os.open(f"/proc/self/fd/{link}", os.O_WRONLY))
attempt("by link, in place", lambda: os.truncate(f"/proc/self/fd/{link}", 0))
print("held", bool(os.statvfs(INIT).f_flag & os.ST_RDONLY), bool(os.fstatvfs(link).f_flag & os.ST_RDONLY))
