# moves
# %%
# impure
import time
began = time.time()
import io
text, data, ended = io.StringIO(), io.BytesIO(b"abc"), io.StringIO("x")
text.write(f"{began}")
data.read(1)
ended.close()
wrapped = io.TextIOWrapper(io.BytesIO(b"one"), encoding="utf-8")
content = wrapped.read()
wrapped.close()
# %%
text.getvalue() == f"{began}", text.tell() > 3, data.read(), ended.closed, wrapped.closed, content
