# Attributes by which an overlay reads other folders.
os.makedirs("/tmp/a", exist_ok=True)
for prefix in ("trusted.overlay.",):
    for name in ("redirect", "opaque", "origin", "metacopy", "whiteout"):
        attempt(prefix + name, lambda: os.setxattr("/tmp/a", prefix + name, b"/etc"))
