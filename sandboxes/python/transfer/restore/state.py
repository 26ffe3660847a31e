# The state: checked name by name, then mended.
class State:
    def __init__(self, kernel):
        self.kernel, self.told = kernel, kernel.told
        self.canon = prepare(self.told["canon"])
        self.groups = self.told["groups"]
        self.keys = {name: group["digest"] for group in self.groups for name in group["names"]}
        self.view = self.canon.View(kernel.main, kernel.files, (kernel.home.rstrip("/") + "/", "/tmp/"),
                                    kernel.baseline - set(self.keys), known=kernel.modules)
        self._readings = None

    def settle(self):
        """The names that were carried."""
        roots = self.view.roots()
        for key in [key for key in roots if key not in self.keys]:
            if self.told.get("outputs", True) or not key.startswith("Out["):
                self._unbind(key)
            del roots[key]
        needed = self._different(roots)
        differing = {name for group in needed for name in group["names"]}
        self._check_modules(differing)
        carried = []
        for group in self.groups:
            if group not in needed and not self._doubtful(group, differing):
                continue
            try:
                carried += self._carry(group)
            except Stuck:
                if not all(name.startswith("Out[") or self._never_named(name) for name in group["names"]):
                    raise
                for name in group["names"]:  # who asks for it is told that it is not there
                    self._unbind(name)
        Settings(self.kernel, self.told["settings"]).apply()
        return carried

    def _different(self, roots):
        """Groups that came out other than they were told."""
        canon, found = self.canon, []
        encoders = canon.survey(self.view, roots)
        home = {name: at for at, group in enumerate(self.groups) for name in group["names"]}
        mixed = set()
        for keys in canon.groups(encoders):
            at = {home[key] for key in keys}
            if len(at) > 1:
                mixed |= at  # these share here what they did not share there
        for at, group in enumerate(self.groups):
            names = group["names"]
            if at in mixed or not all(name in roots for name in names):
                found.append(group)
                continue
            encoder = encoders[names[0]] if len(names) == 1 else canon.together(
                self.view, {name: roots[name] for name in names})
            if encoder.digest() != group["digest"]:
                found.append(group)
        return found

    def _doubtful(self, group, differing):
        """Whether a group holds what cannot be compared, and a cell may have made it otherwise this time."""
        if not group["opaque"] or not (differing or self._impure()):
            return False
        return bool(self._reading(differing).tainted & {_bare(name) for name in group["names"]})

    def _never_named(self, name):
        """Whether a name came with all the names of a module, of which this version has fewer, and was never used."""
        sources = "\n".join(cell["code"] for cell in self.kernel.cells)
        return "import *" in sources and re.search(rf"\b{re.escape(name)}\b", sources) is None

    def _impure(self):
        return any(not cell["pure"] or self._strayed(cell) for cell in self.kernel.cells)

    def _strayed(self, cell):
        return bool(cell.get("raised")) != (cell["number"] in self.kernel.raised)

    def _reading(self, differing):
        if self._readings is None:
            cells = [(cell["number"], cell["code"], not cell["pure"] or self._strayed(cell), cell.get("cut"))
                     for cell in self.kernel.cells]
            opaque = {_bare(name) for group in self.groups for name in group["opaque"]}
            names = self.kernel.names
            at_rest = {name for name in names if type(names[name]) in _AT_REST}
            self._readings = Reading(cells, {_bare(name) for name in differing}, opaque, at_rest)
        return self._readings

    def _check_modules(self, differing):
        if self._impure():
            for number, why in self._reading(differing).unseen:
                raise Stuck(f"{why}; that can be neither replayed nor carried", number)

    def _carry(self, group):
        if "parcel" not in group:
            self._give_up(group, group.get("why") or "it cannot be carried")
        names = group["names"]
        try:
            values, classes, functions = pickle.loads(base64.b64decode(group["parcel"]))
        except ImportError as error:
            self._give_up(group, f"it needs a module that is not there ({error})")
        except Exception as error:
            self._give_up(group, f"it could not be rebuilt there ({type(error).__name__}: {str(error)[:200]})")
        for key, value in values.items():
            self._bind(key, value)
        for key, attributes in classes.items():
            self._mend_class(key, attributes)
        for key, parts in functions.items():
            self._mend_function(key, *parts)
        roots = {}
        for key in names:
            place, name = self.view.place(key)
            if name not in place:
                self._give_up(group, "the cell that defined it did not do so there", key)
            roots[key] = place[name]
        canon = self.canon
        if canon.together(self.view, roots).digest() != group["digest"]:
            loose = group.get("loose")
            if loose is None or canon.together(self.view, roots, loose=True).digest() != loose:
                self._give_up(group, "it came out different when it was rebuilt there")
        return names

    def _mend_class(self, key, attributes):
        place, name = self.view.place(key)
        kind = place.get(name)
        if isinstance(kind, type):
            for name in self.canon.data_attributes(self.view, kind):
                if name not in attributes:
                    delattr(kind, name)
            now = vars(kind)
            for name, value in attributes.items():
                if now.get(name, attributes) is not value:
                    setattr(kind, name, value)

    def _mend_function(self, key, defaults, kwdefaults, cells, attributes):
        place, name = self.view.place(key)
        function = place.get(name)
        if type(function) is types.FunctionType:
            function.__defaults__, function.__kwdefaults__ = defaults, kwdefaults
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
                if name in cells:
                    cell.cell_contents = cells[name]
            for name in [name for name in vars(function) if name not in attributes and name != "__wrapped__"]:
                delattr(function, name)
            vars(function).update(attributes)

    def _bind(self, key, value):
        place, name = self.view.place(key)
        old = place.get(name, place)
        place[name] = value
        if isinstance(name, int):
            names = self.kernel.names
            names[f"_{name}"] = value
            for recent in ("_", "__", "___"):
                if recent in names and names[recent] is old:
                    names[recent] = value

    def _unbind(self, key):
        place, name = self.view.place(key)
        old = place.pop(name, place)
        if isinstance(name, int):
            names = self.kernel.names
            for other in (f"_{name}", "_", "__", "___"):
                if other in names and names[other] is old:
                    del names[other]

    def _give_up(self, group, why, name=None):
        """Names the variable and the cell."""
        opaque = group["opaque"]
        if name is None:
            name = next((each for each in group["names"] if each in opaque), group["names"][0])
        reading = self._reading(set())
        number = reading.bound.get(_bare(name))
        raised = self.kernel.raised.get(number)
        cell = next((cell for cell in self.kernel.cells if cell["number"] == number), None)
        if raised is not None and not cell.get("raised"):
            why = f"its cell raised an exception there ({raised}), and {why}"
        elif name in opaque:
            why = (f"{opaque[name]} whose making was not the same there can be neither replayed nor carried: "
                   f"{why}")
        else:
            why = f"running the cells again gave another value, and {why}"
        raise Stuck(why, number, name) from None


def _bare(key):
    """The name in `__main__` through which a root is reached."""
    return key if key.startswith("Out[") else key.partition(".")[0]
