# moves
# %%
import datetime, decimal, fractions, pathlib, re, uuid, array, ipaddress, string, types
from collections import deque, Counter, OrderedDict, defaultdict, ChainMap
from zoneinfo import ZoneInfo
price, third = decimal.Decimal("1.10"), fractions.Fraction(1, 3)
day = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc)
gap, date = datetime.timedelta(days=3, seconds=5), datetime.date(2020, 1, 1)
path = pathlib.Path("/home/user") / "notes.txt"
pattern = re.compile(r"(\d+)-(\w+)", re.I)
match = pattern.match("12-ab")
queue, counts, ordered = deque([1, 2, 3], maxlen=5), Counter("hello"), OrderedDict(b=1, a=2)
groups = defaultdict(list, a=[1])
deep = defaultdict(lambda: defaultdict(int))
deep["x"]["y"] += 1
ident, numbers = uuid.UUID(int=5), array.array("d", [1.5, 2.5])
net, space = ipaddress.ip_network("10.0.0.0/8"), types.SimpleNamespace(a=1, b=[2])
chain = ChainMap({"a": 1}, {"b": 2})
z, r, s = 3 + 4j, range(0, 10, 3), slice(1, 2)
buffer, view = bytearray(b"abc"), memoryview(b"xyz")
zone = ZoneInfo("UTC")
# %%
print(price, third, day, gap, date, path, pattern.pattern, match.group(2), queue, counts, list(ordered), groups)
print(deep["x"]["y"], deep["q"]["z"], ident, numbers, net, space, chain["b"], z, r, s, buffer, bytes(view), zone)
