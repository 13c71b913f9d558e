"""What the pages show: their blocks, and how each is run.

* A `python` block is a complete program. It runs by itself, in virtual time, and must print what it
  promises in comments behind `print` or at its end: that, letter by letter, and nothing else.
* A block whose first line is a comment with the name of a file is that file.
* The lines of a `console` block that begin with `$ ` are commands. The lines after one, if there
  are any, are its output, where `...` stands for whatever is there. One that shows no output must
  end with exit code 0.

The blocks of a page are run from top to bottom in one folder; `examples/` is that of the project. A
comment above a block, `<!-- not run: because -->`, excepts it.
"""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import attrs

import tgtrio

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
PROGRAMS = {
    "python": [sys.executable, "-W", "error"],
    "tgtrio": [sys.executable, "-m", "tgtrio.cli"],
}
RUN = ("python", "console")
# Not run anyway.
SHOWN = ("", "text", "yaml", "json", "toml", "{toctree}", "{eval-rst}", "{literalinclude}")

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"(?P<fence>`{3,})(?P<language>[^\n]*)\n(?P<source>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


@attrs.frozen
class Block:
    """A block of a page.

    Attributes:
        where: The page and the line on which the block begins.
        language: The word behind the fence.
        source: What stands between the fences.
        reason: Why it is not run; "" if it is.
    """

    where: str
    language: str
    source: str
    reason: str

    @property
    def file(self) -> str:
        """The name of the file that the block is; "" for none."""
        named = re.match(r"# ([\w./-]+\.\w+)\n", self.source)
        return named[1] if named else ""


def blocks(path: Path) -> list[Block]:
    """The blocks of a page, in order."""
    page = path.read_text(encoding="utf-8")
    return [
        Block(
            f"{path.relative_to(ROOT)}:{page.count(chr(10), 0, found.start('source'))}",
            found["language"].strip(),
            found["source"],
            found["reason"] or "",
        )
        for found in _BLOCK.finditer(page)
    ]


def promised_output(source: str) -> list[str]:
    """The comments that stand behind a call of `print`, or else at the end, in order."""
    end = re.search(r"(?:^# .*\n)+\Z", source, re.MULTILINE)
    if end is not None:
        return [line.removeprefix("# ") for line in end[0].splitlines()]
    printing = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "print" and (line := node.end_lineno)
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        token.string.removeprefix("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT and token.start[0] in printing
    ]


def commands(source: str) -> Iterator[tuple[str, str]]:
    """The commands of a `console` block, and the output that it shows of each."""
    yield from re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", source, re.MULTILINE)


def environment() -> dict[str, str]:
    """That of a program which finds this very package, before a screen of 80 columns."""
    package = str(Path(tgtrio.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": package, "COLUMNS": "80", "NO_COLOR": "1"}


def run_command(command: str, folder: Path) -> tuple[int, str]:
    """Its exit code, and what it prints."""
    program, *arguments = shlex.split(command)
    arguments = [str(ROOT / a) if a.startswith("examples/") else a for a in arguments]
    done = subprocess.run(
        [*PROGRAMS[program], *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def is_as_shown(shown: str, printed: str) -> bool:
    """Is it what the page shows, where `...` stands for anything?"""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else _as_pattern(line)
        for line in shown.rstrip().splitlines()
    )
    return re.fullmatch(pattern, printed.rstrip() + "\n") is not None


def _as_pattern(line: str) -> str:
    return r".*?".join(map(re.escape, line.rstrip().split("..."))) + r"[ ]*\n"
