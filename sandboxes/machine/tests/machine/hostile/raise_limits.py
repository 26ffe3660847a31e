# Raises limits.
# prints: True True
import resource

for name in ("NOFILE", "NPROC", "FSIZE", "CORE", "MEMLOCK", "MSGQUEUE"):
    kind = getattr(resource, "RLIMIT_" + name, None) or 12
    most = resource.getrlimit(kind)[1]
    attempt(name, lambda: resource.setrlimit(kind, (most + 1, most + 1)))
    attempt(name + " without", lambda: resource.setrlimit(kind, (-1, -1)))
print(resource.getrlimit(resource.RLIMIT_CORE)[1] < 4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 4096)
