# moves: stream
# %%
import io, logging, random
stream = io.StringIO()
log = logging.getLogger("in memory")
log.addHandler(logging.StreamHandler(stream))
log.setLevel(logging.INFO)
# %%
# impure
log.info(str(random.random()))
# %%
log.info("more")
stream.getvalue(), log.handlers[0].stream is stream, len(log.handlers), log.level, log is logging.getLogger("in memory")
