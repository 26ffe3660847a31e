# %%
# none
display(1, [2])
# %%
# text: "<IPython.core.display.HTML object>"
from IPython.display import HTML, Markdown, display as show, clear_output
HTML("<b>bold</b>")
# %%
# none
show(Markdown("# head"))
# %%
# none
clear_output(wait=True)
# %%
# text: "both"
class Both:
    def _repr_html_(self):
        return "<i>both</i>"
    def __repr__(self):
        return "both"
Both()
# %%
# none
# stdout: "displays itself\n"
class Own:
    def _ipython_display_(self):
        print("displays itself")
Own()
# %%
# text: "__main__.Own"
type(_)
# %%
# text: "True"
import IPython
IPython.display.HTML is HTML
# %%
# none
class Bad:
    def __repr__(self):
        raise ValueError("no text")
bad = Bad()
# %%
# none
# stdout: "Bad\n"
print(type(bad).__name__)
