# Says which of the modules that a template promises are not there, and names the processors. Finds modules without
# importing them.
def _switchtower_check(names):
    import hashlib, importlib.util, json, sys
    missing = []
    for name in names:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            found = None
        if found is None:
            missing.append(name)
    counts = {"vendor_id", "cpu family", "model", "flags", "Features", "CPU implementer", "CPU architecture", "CPU variant",
              "CPU part"}
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            fields = {tuple(part.strip() for part in line.split(":", 1)) for line in cpuinfo if ":" in line}
        counted = sorted(field for field in fields if field[0] in counts)
        processor = hashlib.sha256(repr(counted).encode()).hexdigest()[:16] if counted else None
    except OSError:
        processor = None
    print(json.dumps({"python": sys.version.split()[0], "missing": missing, "processor": processor}))
