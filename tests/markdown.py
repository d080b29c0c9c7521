"""Run the code of a Markdown file and compare what it prints.

Every ```python block runs, all blocks of a file in one namespace. A ```text block right after it is its output, to the
letter; a block without one prints nothing. Needs nothing but Python, so that it also checks a fresh installation::

    python tests/markdown.py README.md
"""

import contextlib
import io
import re
import sys
from dataclasses import dataclass

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """A block of Python and what it is to print, with the line that its code starts at."""

    code: str
    output: str
    line: int


def blocks(text):
    """The Python blocks of a Markdown text, in order."""
    found, previous_end = [], None
    for match in FENCE.finditer(text):
        language, body = match.groups()
        if language == "python":
            found.append(Block(body, "", text.count("\n", 0, match.start()) + 2))
            previous_end = match.end()
        elif language == "text" and previous_end is not None and not text[previous_end:match.start()].strip():
            found[-1].output = body
            previous_end = None
        else:
            previous_end = None
    return found


def run(path):
    """Run the blocks of a file; AssertionError with file and line where the output differs. Returns their number."""
    with open(path, encoding="utf-8") as file:
        found = blocks(file.read())
    namespace = {"__name__": "__main__"}
    for block in found:
        printed = io.StringIO()
        code = compile("\n" * (block.line - 1) + block.code, str(path), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if printed.getvalue() != block.output:
            raise AssertionError(f"{path}, line {block.line}: the block prints\n{printed.getvalue()}\n"
                                 f"not\n{block.output}")
    return len(found)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {run(name)} blocks of code run and print what the text says")
