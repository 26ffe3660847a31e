# Settings of the interpreter that programs change.
class Settings:
    def __init__(self, kernel, told):
        self.kernel, self.told = kernel, told

    def apply(self):
        told, sources = self.told, "\n".join(cell["code"] for cell in self.kernel.cells)
        if "setrecursionlimit" in sources:
            sys.setrecursionlimit(told["recursion_limit"])
        if "set_int_max_str_digits" in sources and hasattr(sys, "set_int_max_str_digits"):
            sys.set_int_max_str_digits(told["int_digits"])
        self._environment()
        folder = told.get("folder") or self.kernel.home
        if os.getcwd() != folder:
            os.makedirs(folder, exist_ok=True)
            os.chdir(folder)
        if told.get("chance") and "random" in sys.modules:
            state = pickle.loads(base64.b64decode(told["chance"]))
            if sys.modules["random"].getstate() != state:
                sys.modules["random"].setstate(state)
        if told.get("numpy_chance") and "numpy.random.mtrand" in sys.modules:
            sys.modules["numpy.random.mtrand"]._rand.set_state(pickle.loads(base64.b64decode(told["numpy_chance"])))
        self._decimal()
        if "logging" in sys.modules and "log_level" in told and "logging" in sources:
            root = sys.modules["logging"].root
            if root.level != told["log_level"]:
                root.setLevel(told["log_level"])

    def _environment(self):
        """What the program changed there, and no more: the two machines' own environments differ."""
        before, changed = self.kernel.environment, self.told.get("environment", {})
        for name in [name for name in os.environ if name not in changed and os.environ[name] != before.get(name)]:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
        os.environ.update(changed)
        for name in self.told.get("environment_gone", ()):
            os.environ.pop(name, None)

    def _decimal(self):
        told = self.told.get("decimal")
        if told is None or "decimal" not in sys.modules and told[:6] == [28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0]:
            return
        import decimal

        def now(context):
            return [context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp,
                    sorted(signal.__name__ for signal, on in context.traps.items() if on)]

        def same(context):
            # A 32-bit build has smaller exponents at its limits, but both begin with the same.
            return now(context) == told

        # A kernel may run each cell in a context of its own; new ones begin as the default does.
        context = decimal.getcontext()
        for each in (context, decimal.DefaultContext):
            if not same(each):
                each.prec, each.rounding, each.Emin, each.Emax, each.capitals, each.clamp, traps = told
                for trap in each.traps:
                    each.traps[trap] = trap.__name__ in traps
