# fails: cell 1: the logger 'quiet' holds it too
# %%
import io, logging, random
stream = io.StringIO()
logging.getLogger("quiet").addHandler(logging.StreamHandler(stream))
# %%
# impure
stream.write(str(random.random()))
# %%
1
