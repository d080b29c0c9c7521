"""Run the code of a Markdown file and compare what it prints.

Every ```python block runs, all blocks of a file in one namespace. A ```text block right after it is its output, to the
letter; a block without one prints nothing. A block that needs packages which an installation may lack has a comment on
the line before it, ``<!-- needs: onnx, onnxruntime -->``, and is left out where one of them is missing. Needs nothing
but Python itself, so that it also checks a fresh installation::

    python tests/markdown.py README.md
"""

import contextlib
import importlib.util
import io
import re
import sys
from dataclasses import dataclass

FENCE = re.compile(r"^(?:<!-- needs: ([\w, ]+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """A block of Python and what it is to print, with the line that its code starts at and the packages it needs."""

    code: str
    output: str
    line: int
    needs: list

    def missing(self):
        """The packages that it needs and that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


def blocks(text):
    """The Python blocks of a Markdown text, in order."""
    found, previous_end = [], None
    for match in FENCE.finditer(text):
        needs, language, body = match.groups()
        if language == "python":
            line = text.count("\n", 0, match.start(3)) + 1
            found.append(Block(body, "", line, [name.strip() for name in (needs or "").split(",") if name.strip()]))
            previous_end = match.end()
        elif language == "text" and previous_end is not None and not text[previous_end:match.start()].strip():
            found[-1].output = body
            previous_end = None
        else:
            previous_end = None
    return found


def run(path):
    """Run the blocks of a file; AssertionError with file and line where the output differs.

    Returns the number of blocks that ran and the names of the missing packages for which others were left out.
    """
    with open(path, encoding="utf-8") as file:
        found = blocks(file.read())
    namespace = {"__name__": "__main__"}
    ran, missing = 0, []
    for block in found:
        if block.missing():
            missing += block.missing()
            continue
        printed = io.StringIO()
        code = compile("\n" * (block.line - 1) + block.code, str(path), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if printed.getvalue() != block.output:
            raise AssertionError(f"{path}, line {block.line}: the block prints\n{printed.getvalue()}\n"
                                 f"not\n{block.output}")
        ran += 1
    return ran, sorted(set(missing))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        count, absent = run(name)
        print(f"{name}: {count} blocks of code run and print what the text says"
              + (f"; others need {', '.join(absent)}" if absent else ""))
