# moves
# %%
# impure
import time
began = time.time()
import csv
with open(f"{time.time_ns()}.csv", "w", newline="") as f:
    writer = csv.writer(f, delimiter=";")
    writer.writerow([1, 2])
    table = csv.DictWriter(f, fieldnames=["a", "b"])
with open(f.name, newline="") as g:
    reader = csv.reader(g, delimiter=";")
    rows = list(reader)
# %%
try:
    next(reader)
except ValueError as error:
    print(error)
rows, reader.line_num, reader.dialect.delimiter, writer.dialect.delimiter, table.fieldnames, f.closed
