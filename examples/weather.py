"""Reads CSV on standard input and reports each station's mean; rows that cannot be read are counted, not hidden."""

import csv
import json
import statistics
import sys
from collections import defaultdict

readings, broken = defaultdict(list), 0
for row in csv.DictReader(sys.stdin):
    try:
        readings[row["station"]].append(float(row["celsius"]))
    except (KeyError, TypeError, ValueError):
        broken += 1

report = {
    station: {"n": len(values), "mean": round(statistics.fmean(values), 2), "max": max(values)}
    for station, values in sorted(readings.items())
}
print(json.dumps({"stations": report, "unreadable rows": broken}, indent=2))
