"""Would three retries with full jitter have been enough? A seeded simulation of a service that fails one call in five."""

import random
from statistics import mean, quantiles


def call(chance, attempts, failing=0.2, base=1.0, cap=10.0):
    """Seconds waited, and whether the call got through."""
    waited = 0.0
    for attempt in range(attempts):
        if chance.random() >= failing:
            return waited, True
        if attempt + 1 < attempts:
            waited += chance.uniform(0, min(cap, base * 2**attempt))
    return waited, False


chance = random.Random(20250805)
for attempts in (1, 2, 4):
    runs = [call(chance, attempts) for _ in range(5000)]
    failed = sum(not through for _, through in runs) / len(runs)
    waits = [waited for waited, _ in runs]
    print(f"{attempts} attempts: {failed:7.2%} fail, mean wait {mean(waits):.3f} s, p99 {quantiles(waits, n=100)[98]:.2f} s")
