# Says which of the modules that a template promises are not there. Finds them without importing them.
def _switchtower_check(names):
    import importlib.util, json, sys
    missing = []
    for name in names:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            found = None
        if found is None:
            missing.append(name)
    print(json.dumps({"python": sys.version.split()[0], "missing": missing}))
