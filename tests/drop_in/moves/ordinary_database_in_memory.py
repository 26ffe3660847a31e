# moves
# %%
# impure
import time
began = time.time()
import sqlite3
db = sqlite3.connect(":memory:")
db.execute("create table t (a integer primary key, b text)")
db.executemany("insert into t (b) values (?)", [("x",), ("y",)])
db.commit()
cursor = db.cursor()
cursor.execute("select * from t")
rows = cursor.fetchall()
# %%
cursor.execute("insert into t (b) values ('z')")
cursor.lastrowid, rows, db.execute("select count(*), max(b) from t").fetchone(), db.in_transaction
