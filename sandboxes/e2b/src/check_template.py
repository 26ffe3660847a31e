# Runs once in a sandbox of a template: prints which of the promised modules are missing, and what identifies the
# processor. Modules are looked for without importing them.
def _switchtower_check_template(names: "list[str]") -> None:
    import hashlib
    import importlib.util
    import json
    import sys

    missing = []
    for name in names:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            found = None
        if found is None:
            missing.append(name)
    # The processor fields that native code dispatches on. `sandboxes/native/src/processor.rs` has the same.
    identifying = {
        "vendor_id",
        "cpu family",
        "model",
        "flags",
        "Features",
        "CPU implementer",
        "CPU architecture",
        "CPU variant",
        "CPU part",
    }
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            fields = {tuple(part.strip() for part in line.split(":", 1)) for line in cpuinfo if ":" in line}
        read = sorted(field for field in fields if field[0] in identifying)
        processor = hashlib.sha256(repr(read).encode()).hexdigest()[:16] if read else None
    except OSError:
        processor = None
    print(json.dumps({"python": sys.version.split()[0], "missing": missing, "processor": processor}))
