# %%
# none
kept = [1]
# %%
# error: SystemExit: 3
import sys
sys.exit(3)
# %%
# text: "[1]"
kept
# %%
# error: SystemExit: bye
raise SystemExit("bye")
# %%
# error: KeyboardInterrupt: 
raise KeyboardInterrupt
# %%
# none
class FinalAnswerException(BaseException):
    def __init__(self, value):
        self.value = value
        super().__init__(value)
    def __str__(self):
        return "safe:" + self.value
# %%
# error: FinalAnswerException: safe:[1, 2]
raise FinalAnswerException("[1, 2]")
# %%
# text: "[1, 2]"
kept.append(2)
kept
# %%
# error: GeneratorExit: 
raise GeneratorExit
# %%
# text: "[1, 2]"
kept
