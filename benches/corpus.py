"""Writes a public corpus of programs that language models wrote while they used a Python interpreter.

    python3 benches/corpus.py > corpus.jsonl        # clones what it needs, about 40 MB
    python3 benches/corpus.py --from CLONE > corpus.jsonl
    switchtower workload corpus.jsonl

The programs are those of the conversations that the benchmark MINT publishes with its results (Apache-2.0): arithmetic, algebra,
theorems, multiple choice, and functions to write. A conversation is one program: its cells one after the other, as the interpreter
there had them. Conversations that call functions which only that benchmark has are left out. Nothing of it is in this repository.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = "https://github.com/xingyaoww/mint-bench"
#: Another commit may have other programs, and so another share.
COMMIT = "3f7f12c10bf763be1e6dbdeb42feb57624121f61"
#: Models whose conversations are taken: the strongest ones of different makers, and one that was trained to use an interpreter.
MODELS = ("gpt-4-0613", "claude-2", "Meta-Llama-3-70B-Instruct", "Qwen1.5-72B-Chat", "lemur-70b-chat-v1")
#: Without a second model's feedback, five turns.
SETTING = "F=None/max5_p2+tool+cd"
CATEGORIES = {
    "reasoning/gsm8k": "arithmetic",
    "reasoning/math": "algebra",
    "reasoning/theoremqa": "theorems",
    "reasoning/mmlu": "multiple_choice",
    "code_generation/humaneval": "functions",
    "code_generation/mbpp": "functions",
}
CELL = re.compile(r"<execute>\n?(.*?)</execute>", re.DOTALL)
#: A function of the benchmark, and the marker of a text that is no code.
FOREIGN = re.compile(r"wikipedia_search|^\s*>>>", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a public corpus of programs for `switchtower workload`.")
    parser.add_argument("--from", dest="clone", metavar="CLONE", help=f"a clone of {REPOSITORY} to read")
    clone = parser.parse_args().clone
    if clone:
        write(Path(clone))
        return
    with tempfile.TemporaryDirectory() as folder:
        git(folder, "init", "--quiet")
        git(folder, "remote", "add", "origin", REPOSITORY)
        # The commit alone: each file comes when it is read.
        git(folder, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", COMMIT)
        write(Path(folder))


def git(folder: str | Path, *arguments: str) -> str:
    """Returns what a command of git prints; exits with its message if it fails."""
    done = subprocess.run(["git", "-C", folder, *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def write(clone: Path) -> None:
    """Prints one JSON object a line for each program: id, source, category, code."""
    seen: set[str] = set()
    for model in MODELS:
        for task, category in CATEGORIES.items():
            path = f"data/outputs/{model}/{SETTING}/{task}/results.jsonl"
            for number, code in programs(git(clone, "show", f"{COMMIT}:{path}")):
                if code in seen:
                    continue
                seen.add(code)
                name = "{}/{}/{}".format(model, task.split("/")[1], number)
                print(json.dumps({"id": name, "source": "mint", "category": category, "code": code}))
    print(f"{len(seen)} programs", file=sys.stderr)


def programs(results: str) -> Iterator[tuple[int, str]]:
    """Returns the program of each conversation that has one, with the number of its line."""
    for number, line in enumerate(results.splitlines()):
        turns = json.loads(line)["state"]["history"]
        # The first message is the task, with an example of another conversation.
        cells = [cell for turn in turns[1:] if turn["role"] == "assistant" for cell in CELL.findall(turn["content"])]
        code = "\n".join(cell.strip("\n") for cell in cells)
        if code.strip() and not FOREIGN.search(code):
            yield number, code + "\n"


if __name__ == "__main__":
    main()
