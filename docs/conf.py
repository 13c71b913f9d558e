"""How the pages are built, without a network:

sphinx-build -W -n --keep-going -b html docs docs/_build
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tgtrio

project = "tgtrio"
author = "The tgtrio developers"
copyright = author  # noqa: A001  # the name that Sphinx reads
version = release = tgtrio.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "tgtrio"
html_show_sphinx = False

myst_heading_anchors = 3  # pages link to sections as they do where Markdown is read as it is

default_role = "code"  # docstrings are read with help(), too: one backtick is enough
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_custom_sections = [("Cancellation", "notes_style")]
napoleon_use_ivar = True

# What has no page here: the standard library, other libraries, and what signatures borrow from
# private modules (what it means stands with the arguments). A public name must have its place.
_ELSEWHERE = "collections|contextlib|datetime|io|logging|os|random|rich|threading|trio|typing"
nitpick_ignore_regex = [
    ("py:.*", rf"({_ELSEWHERE})\..*"),
    ("py:.*", r"tgtrio\.(\w+\.)?_.*"),
    ("py:.*", rf"(?!({'|'.join(tgtrio.__all__)})$)\w+"),
]

# Users get these, and do not make them.
_GIVEN = {"Permit", "Run", "RunInfo", "StoredEvent", "StoredRun", "TaskContext", "TaskExecution"}


def _signature(_app: Any, what: str, name: str, *_rest: Any) -> tuple[str, None] | None:
    given = what == "class" and name.removeprefix("tgtrio.") in _GIVEN
    return ("", None) if given else None


def _docstring(_app: Any, what: str, _name: str, _value: Any, _options: Any, lines: Any) -> None:
    """Read docstrings as they are meant: Markdown tables, and `Task`s with a letter behind."""
    if what == "module":  # says how the package is made, to who reads its source
        lines.clear()
    lines[:] = [re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in _with_tables(lines)]


def _with_tables(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            inside = False
            yield line
        elif not inside:
            inside = True
            yield from (".. list-table::", "   :header-rows: 1", "")
            yield from _row(cells)
        elif not all(set(cell) <= set("-:") for cell in cells):
            yield from _row(cells)


def _row(cells: list[str]) -> Iterator[str]:
    for n, cell in enumerate(cells):
        yield f"   {'  -' if n else '* -'} {cell}"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring, priority=100)  # before napoleon
