# moves: began
# %%
import base64, hashlib, inspect, json, pickle, struct, time
hashlib.blake2b = inspect.cleandoc = base64.b64encode = base64.b64decode = None
pickle.dumps = pickle.loads = pickle.Pickler = pickle.Unpickler = struct.pack = struct.unpack = None
json.dumps = json.loads = lambda *_, **__: "mine"
# %%
# impure
began = time.time()
# %%
began, json.dumps(1), pickle.dumps
