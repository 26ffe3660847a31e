//! Twelve programs, as agents write them for numerical questions; each computes for about a second in native Python.

pub(super) const QUERIES: [(&str, &str); 12] = [
    (
        "primes",
        "n = 4_000_000\nsieve = bytearray([1]) * (n + 1)\nsieve[:2] = b'\\0\\0'\nfor i in range(2, int(n ** 0.5) + 1):\n    if sieve[i]:\n        sieve[i * i :: i] = bytes(len(range(i * i, n + 1, i)))\nprint(sum(sieve), sum(i for i in range(n) if sieve[i]) % 1_000_003)",
    ),
    (
        "collatz",
        "best, top = 0, 0\nknown = {1: 1}\nfor start in range(1, 250_000):\n    n, steps = start, 0\n    while n not in known:\n        n = n // 2 if n % 2 == 0 else 3 * n + 1\n        steps += 1\n    known[start] = known[n] + steps\n    if known[start] > best:\n        best, top = known[start], start\nprint(top, best)",
    ),
    (
        "monte carlo",
        "import random\nrandom.seed(7)\ninside = sum(random.random() ** 2 + random.random() ** 2 < 1 for _ in range(3_000_000))\nprint(round(4 * inside / 3_000_000, 3))",
    ),
    (
        "matrix",
        "n = 180\na = [[(i * j) % 7 for j in range(n)] for i in range(n)]\nb = [[(i + j) % 5 for j in range(n)] for i in range(n)]\ncolumns = list(zip(*b))\nc = [[sum(x * y for x, y in zip(row, column)) for column in columns] for row in a]\nprint(sum(map(sum, c)))",
    ),
    (
        "n-body",
        "from math import sqrt\nbodies = [[x, y, z, 0.0, 0.0, 0.0, m] for x, y, z, m in [(0, 0, 0, 40), (5, 0, 1, 0.04), (8, 4, 0, 0.01), (13, 0, 2, 0.002), (16, 2, 0, 0.002)]]\nfor _ in range(45_000):\n    for i, p in enumerate(bodies):\n        for q in bodies[i + 1 :]:\n            dx, dy, dz = p[0] - q[0], p[1] - q[1], p[2] - q[2]\n            d = 0.001 / (dx * dx + dy * dy + dz * dz) ** 1.5\n            for k, e in enumerate((dx, dy, dz), 3):\n                p[k] -= e * q[6] * d\n                q[k] += e * p[6] * d\n    for p in bodies:\n        for k in range(3):\n            p[k] += 0.001 * p[k + 3]\nprint([round(sqrt(sum(x * x for x in p[:3])), 3) for p in bodies])",
    ),
    (
        "mandelbrot",
        "width, height, inside = 240, 160, 0\nfor y in range(height):\n    for x in range(width):\n        c, z = complex(-2.2 + 3 * x / width, -1.2 + 2.4 * y / height), 0j\n        for _ in range(120):\n            z = z * z + c\n            if abs(z) > 2:\n                break\n        else:\n            inside += 1\nprint(inside)",
    ),
    (
        "common subsequence",
        "import random\nrandom.seed(3)\na = [random.choice('ACGT') for _ in range(2600)]\nb = [random.choice('ACGT') for _ in range(2600)]\nrow = [0] * (len(b) + 1)\nfor x in a:\n    before = 0\n    for j, y in enumerate(b, 1):\n        keep = row[j]\n        row[j] = before + 1 if x == y else max(row[j], row[j - 1])\n        before = keep\nprint(row[-1])",
    ),
    (
        "queens",
        "def solve(n, row=0, columns=0, left=0, right=0):\n    if row == n:\n        return 1\n    count, free = 0, ~(columns | left | right) & ((1 << n) - 1)\n    while free:\n        bit = free & -free\n        free ^= bit\n        count += solve(n, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)\n    return count\nprint(solve(10), solve(10))",
    ),
    (
        "amortisation",
        "from decimal import Decimal, getcontext\ngetcontext().prec = 50\ntotal = Decimal(0)\nfor rate in range(1, 700):\n    r = Decimal(rate) / 12_000\n    for years in (10, 15, 20, 25, 30):\n        n = years * 12\n        total += 300_000 * r * (1 + r) ** n / ((1 + r) ** n - 1)\n    for n in range(400):\n        total += 1 / (1 + r * n)\nprint(round(total, 6))",
    ),
    (
        "sorting",
        "import random\nrandom.seed(11)\ndef merge_sort(items):\n    if len(items) < 2:\n        return items\n    middle = len(items) // 2\n    left, right, merged = merge_sort(items[:middle]), merge_sort(items[middle:]), []\n    i = j = 0\n    while i < len(left) and j < len(right):\n        if left[i] <= right[j]:\n            merged.append(left[i])\n            i += 1\n        else:\n            merged.append(right[j])\n            j += 1\n    return merged + left[i:] + right[j:]\nitems = [random.random() for _ in range(260_000)]\nprint(merge_sort(items) == sorted(items))",
    ),
    (
        "shortest paths",
        "import heapq, random\nrandom.seed(5)\nn = 20_000\nedges = [[] for _ in range(n)]\nfor _ in range(n * 8):\n    a, b = random.randrange(n), random.randrange(n)\n    edges[a].append((b, random.randrange(1, 100)))\ntotal = 0\nfor start in range(2):\n    far, queue = {start: 0}, [(0, start)]\n    while queue:\n        d, at = heapq.heappop(queue)\n        if d > far[at]:\n            continue\n        for to, cost in edges[at]:\n            if d + cost < far.get(to, 1 << 60):\n                far[to] = d + cost\n                heapq.heappush(queue, (d + cost, to))\n    total += sum(far.values())\nprint(total)",
    ),
    (
        "integral",
        "from math import exp, sin\nn = 2_000_000\nh = 10 / n\nprint(round(h * sum(exp(-(i * h) ** 2 / 9) * sin(i * h) ** 2 for i in range(n)), 6))",
    ),
];
