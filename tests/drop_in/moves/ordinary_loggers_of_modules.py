# moves
# %%
# impure
import time
began = time.time()
import logging, sys
logging.basicConfig(level=logging.INFO)
logger = logging.getLogger(__name__)
handler = logging.StreamHandler(sys.__stdout__)
handler.setFormatter(logging.Formatter("%(message)s"))
logger.addHandler(handler)
logger.setLevel(logging.DEBUG)
# %%
logger.name, logger.level, len(logger.handlers), handler.level, handler.formatter._fmt, logger.handlers[0] is handler
