# moves: db
# packages: native
# %%
# impure
import time
began = time.time()
import sqlite3
db = sqlite3.connect(":memory:")
db.row_factory = sqlite3.Row
db.execute("create table t (a integer primary key, b real)")
db.execute("insert into t (b) values (?)", (time.time(),))
db.commit()
cursor = db.cursor()
rows = cursor.execute("select * from t").fetchall()
# %%
value = db.execute("select b from t").fetchone()["b"]
cursor.execute("insert into t (b) values (1)")
value == rows[0]["b"] > 0, cursor.lastrowid, cursor.connection is db, db.in_transaction
