# %%
# error: StdinNotImplementedError: raw_input was called, but this frontend does not support input requests.
input("name? ")
# %%
# text: "'still here'"
import getpass
"still here"
# %%
# none
# stdout: "StdinNotImplementedError\n"
try:
    input()
except NotImplementedError as error:
    print(type(error).__name__)
