# moves
# %%
# impure
import time
began = time.time()
import csv
with open("a.csv", "w", newline="") as f:
    writer = csv.writer(f, delimiter=";")
    writer.writerow([1, 2])
    table = csv.DictWriter(f, fieldnames=["a", "b"])
    table.writeheader()
with open("a.csv", newline="") as f:
    reader = csv.reader(f, delimiter=";")
    rows = list(reader)
with open("a.csv", newline="") as g:
    records = csv.DictReader(g)
    rows += list(records)
# %%
try:
    writer.writerow([1])
except ValueError as error:
    print(error)
rows, reader.dialect.delimiter, writer.dialect.delimiter, table.fieldnames, records.fieldnames
