# moves: began
# %%
# impure
import logging, time
logging.basicConfig(level=logging.INFO)
log = logging.getLogger("mine")
log.setLevel(logging.DEBUG)
began = time.time()
# %%
import sys
out = sys.stdout
log.info("started")
# %%
print(logging.root.level, log.level, log.isEnabledFor(10), began)
out is sys.__stdout__ or out.write("") == 0
