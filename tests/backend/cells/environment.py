# %%
# none
import os
os.environ["SWITCHTOWER_TRIED"] = "1"
# %%
# text: "'1'"
os.environ["SWITCHTOWER_TRIED"]
# %%
# text: "('1', False)"
os.getenv("SWITCHTOWER_TRIED"), "SWITCHTOWER_NOT" in os.environ
# %%
# none
del os.environ["SWITCHTOWER_TRIED"]
# %%
# error: KeyError: 'SWITCHTOWER_TRIED'
os.environ["SWITCHTOWER_TRIED"]
